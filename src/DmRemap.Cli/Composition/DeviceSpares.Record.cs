using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Nbd;

namespace DmRemap.Cli.Composition;

/// <summary>What the host knows of the spares, and what it refuses.</summary>
internal sealed partial class DeviceSpares
{
    /// <exception cref="RefusalException">DMR-USAGE: no file or block device of this machine.</exception>
    public static void RequireLocal(string path)
    {
        if (NbdUri.IsMeant(path) || MemoryDisk.IsMeant(path))
        {
            throw new RefusalException(new Refusal(
                MessageIds.Usage,
                ExitCode.Usage,
                path,
                $"{path}: only a file or block device of this machine can be added while the device is "
                    + "served.",
                "NBD exports can be spares from `dmremap create` on."));
        }
    }

    /// <exception cref="RefusalException">A change is under way.</exception>
    private Turn TakeTurn()
    {
        if (Interlocked.Exchange(ref _isBusy, 1) != 0)
        {
            throw new RefusalException(new Refusal(
                "DMR-SPARE-BUSY",
                ExitCode.InUse,
                served.Name,
                $"A spare of {served.Name} is being added or removed.",
                $"Wait for its end, or end a removal: dmremap spare remove {served.Name} --stop"));
        }
        return new Turn(this);
    }

    /// <summary>One change at a time, also over a change that could not be finished.</summary>
    private void RequireSettled()
    {
        if (UnsettledSpare.Of(served.Record) is SpareRecord unsettled)
        {
            throw new RefusalException(new Refusal(
                "DMR-SPARE-BUSY",
                ExitCode.InUse,
                unsettled.Path,
                $"Adding or removing {unsettled.Path} is not finished.",
                $"Stop {served.Name} and serve it again: the start finishes that."));
        }
    }

    private void RequireAddable(string path)
    {
        RequireLocal(path);
        MemberPath.RequireNoMember(
            served.Name, path, served.Record.MainPath, served.Record.Spares.Select(spare => spare.Path));
        if (served.Record.Spares.Count >= Limits.SparesMax)
        {
            throw new RefusalException(new Refusal(
                "DMR-SPARE-TOO-MANY",
                ExitCode.Usage,
                served.Name,
                $"{served.Name} has {served.Record.Spares.Count} spares; {Limits.SparesMax} is the most.",
                $"Remove one first: dmremap spare remove {served.Name} PATH"));
        }
    }

    private void RequireUnconcerned(OpenedMember spare, bool force, List<string> warnings)
    {
        foreach (Refusal concern in DeviceCreator.FindConcerns(served.Record.MainPath, [spare.Path], [spare]))
        {
            if (!force || !concern.CanBeForced)
            {
                throw new RefusalException(concern);
            }
            warnings.Add(concern.Message);
        }
    }

    /// <summary>On the loop's thread: the member of this UUID; index -1 where the set lists none.</summary>
    private (int Index, MemberState State, long Used) Look(Guid uuid)
    {
        for (int i = 0; i < Store.MemberCount; i++)
        {
            MemberDescription member = Store.DescriptionOf(i);
            if (member.Uuid == uuid)
            {
                bool isCounted = IsCounted(i);
                MemberState state = member.State == MemberState.Retired ? MemberState.Retired
                    : isCounted ? MemberState.Active : MemberState.Inactive;
                return (i, state, Device.Allocator.UnitsUsed(i));
            }
        }
        return (-1, MemberState.None, 0);
    }

    private SpareRecord MarkLeaving(Guid uuid, string path)
    {
        SpareRecord entry = new(path, uuid) { Transit = SpareTransit.Removing };
        WriteRecord(served.Record with
        {
            Spares = [.. served.Record.Spares.Select(one => one.Uuid == uuid ? entry : one)],
        });
        return entry;
    }

    /// <summary>It is a spare like any other.</summary>
    private void Settle(Guid uuid) => WriteRecord(served.Record with
    {
        Spares =
        [
            .. served.Record.Spares.Select(one => one.Uuid == uuid
                ? one with { Transit = SpareTransit.None }
                : one),
        ],
    });

    private void WriteRecord(DeviceRecord record)
    {
        services.OpenRegistry().Replace(record);
        served.Record = record;
    }

    /// <summary>How far the set has come: a spare that knows less does not stand for it.</summary>
    private void NoteHistory() => assembled.History?.Note(
        new HistoryPoint(Store.Epoch, Store.SettledGeneration, Store.Sequence));

    private Refusal NotCounted(string path) => new(
        "DMR-SPARE-FAILED",
        ExitCode.Failed,
        path,
        $"{path} could not be counted in: a write to it failed or hung, or the device is stopping. It is no "
            + $"spare of {served.Name}.",
        "Look at the kernel's log for this disk; give another one.");

    private sealed class Turn(DeviceSpares spares) : IDisposable
    {
        public void Dispose() => Volatile.Write(ref spares._isBusy, 0);
    }
}
