using System;
using System.Globalization;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Devices;
using DmRemap.Engine;
using DmRemap.Engine.Metadata;

namespace DmRemap.Cli.Composition;

/// <summary>A spare goes: emptied, retired, erased, forgotten.</summary>
internal sealed partial class DeviceSpares
{
    /// <exception cref="RefusalException">Nothing was moved.</exception>
    public async Task<SpareRemoveReport> RemoveAsync(
        string given, bool acceptLoss, IProgress<RemapProgress> progress, CancellationToken cancellation)
    {
        using Turn turn = TakeTurn();
        RequireSettled();
        Evacuation request = new() { Spare = Find(given), AcceptsLoss = acceptLoss };
        long all = await host.RunAsync(() => Start(request));
        try
        {
            while (await Task.WhenAny(
                request.Ended, Task.Delay(s_progressInterval, services.Time, CancellationToken.None))
                != request.Ended)
            {
                progress.Report(new RemapProgress(request.UnitsMoved + request.UnitsLetGo, all));
                if (cancellation.IsCancellationRequested)
                {
                    await host.RunAsync(Device.AbandonMove);
                }
            }
            return await ConcludeAsync(request);
        }
        finally
        {
            Leaving = -1;
        }
    }

    public async Task<SpareStopReport> StopRemovalAsync()
    {
        bool wasRunning = await host.RunAsync(() => Device.IsEvacuating);
        if (wasRunning)
        {
            await host.RunAsync(Device.AbandonMove);
        }
        return new SpareStopReport(wasRunning);
    }

    /// <summary>On the loop's thread. The units to be moved.</summary>
    private long Start(Evacuation request)
    {
        int spare = request.Spare;
        // Second copies need no room: they are made again where there is some.
        long used = Device.CountUnitsFirstOn(spare);
        long room = Enumerable.Range(0, Device.Members.Length - 1)
            .Where(i => i != spare && Device.Allocator.IsUsable(i))
            .Sum(Device.Allocator.UnitsFree);
        string path = Device.Spare(spare).Name;
        if (!IsAnotherActive(spare))
        {
            throw new RefusalException(new Refusal(
                "DMR-SPARE-LAST",
                ExitCode.RefusedForSafety,
                path,
                $"{path} is the only spare of {served.Name} that holds the whole remap table.",
                $"Add another one first: dmremap spare add {served.Name} PATH"));
        }
        bool isWithoutRoom = used > room && !(request.AcceptsLoss && Device.Spare(spare).IsAbsent);
        if (isWithoutRoom)
        {
            throw new RefusalException(new Refusal(
                "DMR-SPARE-OTHERS-FULL",
                ExitCode.RefusedForSafety,
                path,
                $"{path} holds {Amounts.Plural(used, "unit")}, and the other spares have room for "
                    + $"{(room == 0 ? "none" : $"{room}")}: nothing was moved.",
                $"Add a larger spare first: dmremap spare add {served.Name} PATH"));
        }
        if (!Device.TryStartEvacuation(request))
        {
            throw new RefusalException(new Refusal(
                "DMR-HANDWORK-NOT-NOW",
                ExitCode.Failed,
                served.Name,
                "A remap is running, or the device is suspended, stopping or read-only.",
                "Try again when that has ended."));
        }
        Leaving = spare;
        return used;
    }

    private async Task<SpareRemoveReport> ConcludeAsync(Evacuation request)
    {
        int index = request.Spare;
        SpareRemoveReport report = new()
        {
            Path = Device.Spare(index).Name,
            Removed = false,
            UnitsMoved = request.UnitsMoved,
            UnitsLetGo = request.UnitsLetGo,
            UnitsUnread = request.UnitsUnread,
            BlocksLost = request.BlocksLost,
        };
        Guid uuid = Store.DescriptionOf(index).Uuid;
        if (!request.IsComplete)
        {
            await host.RunAsync(() => StayWith(index));
            return report with
            {
                Failure = SpareText.WhyNot(
                    served.Name, report.Path, request.FirstError, Device.Spare(index).IsAbsent),
            };
        }
        // First: the next start finds it retired, or a member still, and takes both.
        SpareRecord entry = MarkLeaving(uuid, report.Path);
        if (!await RetireAsync(index))
        {
            if (await host.RunAsync(() => IsCounted(index)))
            {
                // Nobody has been told that it leaves.
                Settle(uuid);
                await host.RunAsync(() => StayWith(index));
            }
            return report with
            {
                Failure = "the other spares could not be told that it leaves; the next start says what "
                    + "became of it",
            };
        }
        bool isErased = await LeaveAsync(index, entry);
        events.Say($"DMR-EVENT-SPARE-REMOVED {report.Path}: no spare of {served.Name} any more; "
            + (isErased ? "its superblocks are erased" : "its superblocks could not be erased"));
        return report with { Removed = true, Erased = isErased };
    }

    /// <summary>By its path as it is registered, or its index in the set.</summary>
    private int Find(string given)
    {
        string path = int.TryParse(given, NumberStyles.None, CultureInfo.InvariantCulture, out int index)
            ? ""
            : MemberPath.Complete(given);
        for (int i = 0; i < Device.Members.Length - 1; i++)
        {
            Member spare = Device.Spare(i);
            bool isIt = path.Length == 0 ? i == index : spare.Name == path;
            if (isIt && !spare.IsRemoved)
            {
                return i;
            }
        }
        throw new RefusalException(new Refusal(
            "DMR-SPARE-UNKNOWN",
            ExitCode.Usage,
            given,
            $"{given} is not a spare of {served.Name}.",
            $"`dmremap spare list {served.Name}` shows them."));
    }

    /// <summary>On the loop's thread: it is a spare as before.</summary>
    private void StayWith(int index)
    {
        if (IsCounted(index) && !Device.Spare(index).IsAbsent)
        {
            Device.LendFrom(index);
        }
    }

    private async Task<bool> RetireAsync(int index)
    {
        MembershipChange change = new();
        bool isBegun = await host.RunAsync(() =>
        {
            bool may = IsAnotherActive(index) && !Store.IsMembershipChanging && Store.IsStarted;
            if (may)
            {
                Store.BeginRetirement(index, change);
            }
            return may;
        });
        return isBegun && await change.Ended;
    }

    /// <summary>It is retired, or was never listed. True when its superblocks are erased.</summary>
    private async Task<bool> LeaveAsync(int index, SpareRecord entry)
    {
        // A start with it alone is told from here on, also when it cannot be erased (F-16).
        NoteHistory();
        (IMemberDevice? file, bool isOurs) = await host.RunAsync(() => LetGo(index, entry.Path));
        bool isErased = file is not null && isOurs && await EraseAsync(file);
        WriteRecord(served.Record with
        {
            Spares = [.. served.Record.Spares.Where(one => one.Uuid != entry.Uuid)],
        });
        if (file is not null)
        {
            await ReleaseAsync(file);
        }
        return isErased;
    }

    /// <summary>
    /// On the loop's thread. Its file, where it is here, and whether that is to be erased: of a member, or of
    /// what was left aside with superblocks of ours; not what somebody else may have written to since.
    /// </summary>
    private (IMemberDevice? File, bool IsOurs) LetGo(int index, string path)
    {
        bool isMember = index >= 0 && index < Device.Members.Length - 1;
        if (isMember && !Device.Spare(index).IsRemoved)
        {
            Device.RemoveSpare(index);
        }
        bool isHere = isMember && assembled.Members[index + 1] is not null;
        IMemberDevice? file = Array.Find(assembled.Files[1..], one => one.Name == path);
        return (file, isHere || (file is not null && file == assembled.Aside));
    }

    private async Task<bool> EraseAsync(IMemberDevice file)
    {
        Erasure erasure = new();
        bool isBegun = await host.RunAsync(() =>
        {
            // A superblock that is late would land behind the erasure.
            bool may = Store.Busy == 0;
            if (may)
            {
                new MemberErasure(host.Loop, file, erasure).Begin();
            }
            return may;
        });
        return isBegun
            && await Task.WhenAny(erasure.Ended, Task.Delay(s_eraseTimeout, services.Time)) == erasure.Ended
            && await erasure.Ended;
    }

    /// <summary>Where something is still on its way to it, the end of the device lets go of it.</summary>
    private async Task ReleaseAsync(IMemberDevice file)
    {
        bool isIdle = await host.RunAsync(() =>
        {
            if (file.IsIdle)
            {
                file.Retire();
                assembled.Files = [.. assembled.Files.Where(one => one != file)];
                assembled.Aside = assembled.Aside == file ? null : assembled.Aside;
                for (int i = 1; i < assembled.Members.Length; i++)
                {
                    bool isIt = i < Device.Members.Length
                        && ReferenceEquals(Device.Members[i].Device, file);
                    assembled.Members[i] = isIt ? null : assembled.Members[i];
                }
                return true;
            }
            return false;
        });
        if (isIdle)
        {
            await Task.Run(file.Dispose);
        }
    }

    private bool IsCounted(int index) =>
        index < Store.MemberCount && Store.Members[index] is { IsActive: true };

    private bool IsAnotherActive(int index) =>
        Enumerable.Range(0, Store.MemberCount).Any(i => i != index && IsCounted(i));

    private sealed class Evacuation : EvacuationRequest
    {
        private readonly TaskCompletionSource _ended =
            new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Ended => _ended.Task;

        public override void OnFinished() => _ended.SetResult();
    }

    private sealed class MembershipChange : IMembershipChangeOwner
    {
        private readonly TaskCompletionSource<bool> _ended =
            new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<bool> Ended => _ended.Task;

        public void OnMembershipChanged(bool isDone) => _ended.SetResult(isDone);
    }

    private sealed class Erasure : IMemberErasureOwner
    {
        private readonly TaskCompletionSource<bool> _ended =
            new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<bool> Ended => _ended.Task;

        public void OnErased(bool isDone) => _ended.SetResult(isDone);
    }
}
