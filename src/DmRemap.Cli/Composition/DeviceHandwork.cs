using System;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;
using DmRemap.Control.Server;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Engine;

namespace DmRemap.Cli.Composition;

/// <summary>
/// What a person does to blocks of a served device by hand: one such work at a time. A client that goes away
/// ends it after the unit at hand; what is done stays done.
/// </summary>
internal sealed class DeviceHandwork(LoopHost host, RemapDevice device, string name, TimeProvider time)
{
    private static readonly TimeSpan s_progressInterval = TimeSpan.FromMilliseconds(100);

    public async Task<RemapReport> RemapAsync(
        BlockNumber first, BlockNumber last, IProgress<RemapProgress> progress,
        CancellationToken cancellation)
    {
        Move move = await MoveAsync(first, last, MoveTarget.Spare, progress, cancellation);
        return new RemapReport
        {
            FirstBlock = first.Value,
            LastBlock = last.Value,
            UnitsRemapped = move.UnitsMoved,
            UnitsAlreadyRemapped = move.UnitsAlreadyMoved,
            UnitsFailed = move.UnitsFailed,
            BlocksCopied = move.BlocksCopied,
            BlocksUnread = move.BlocksUnread,
            UnreadExtents = ListUnread(move),
            Failure = move.FirstError switch
            {
                IoStatus.Ok => EndedEarly(move.IsAbandoned),
                IoStatus.OutOfSpares => "no spare unit is left",
                IoStatus.MetadataUnavailable => "the remap table could not be made durable",
                IoStatus.Unreadable => WhyUnread(move.FirstLostAs, name),
                _ => "a member failed",
            },
        };
    }

    public async Task<UnremapReport> UnremapAsync(
        BlockNumber first, BlockNumber last, IProgress<RemapProgress> progress,
        CancellationToken cancellation)
    {
        Move move = await MoveAsync(first, last, MoveTarget.Primary, progress, cancellation);
        return new UnremapReport
        {
            FirstBlock = first.Value,
            LastBlock = last.Value,
            UnitsReturned = move.UnitsMoved,
            UnitsNotOnSpare = move.UnitsAlreadyMoved,
            UnitsFailed = move.UnitsFailed,
            BlocksCopied = move.BlocksCopied,
            BlocksLost = move.BlocksLost,
            StayedExtents = ListUnread(move),
            Failure = move.FirstError switch
            {
                IoStatus.Ok => EndedEarly(move.IsAbandoned),
                IoStatus.OutOfSpares => "a spare did not take the blocks that only the main device had",
                IoStatus.MetadataUnavailable => "the remap table could not be made durable",
                IoStatus.Unreadable => "not every block of a unit could be read",
                _ => "the main device did not take a unit, or read back something else",
            },
        };
    }

    public async Task<RetestReport> RetestAsync(
        BlockNumber first, BlockNumber last, IProgress<RemapProgress> progress,
        CancellationToken cancellation)
    {
        RequireInside(first, last);
        Retest retest = new() { First = device.Units.UnitOf(first), Last = device.Units.UnitOf(last) };
        Require(await host.RunAsync(() => device.TryStartRetest(retest)));
        long all = retest.Last.Value - retest.First.Value + 1;
        await WaitAsync(
            retest.Ended, () => new RemapProgress(Math.Min(retest.UnitsPassed, all), all), retest.Abandon,
            progress, cancellation);
        return new RetestReport
        {
            FirstBlock = first.Value,
            LastBlock = last.Value,
            SuspectsTried = retest.SuspectsTried,
            SuspectsGood = retest.SuspectsGood,
            LostUnitsTried = retest.LostUnitsTried,
            BlocksBack = retest.BlocksBack,
            Failure = EndedEarly(retest.IsAbandoned),
        };
    }

    public async Task<MarkLostReport> MarkLostAsync(
        BlockNumber first, BlockNumber last, IProgress<RemapProgress> progress,
        CancellationToken cancellation)
    {
        RequireInside(first, last);
        Extent blocks = new(first, new BlockCount(last.Value - first.Value + 1));
        Declaration declaration = new() { Blocks = blocks };
        Require(await host.RunAsync(() => device.TryStartDeclaration(declaration)));
        long all = device.Units.UnitOf(last).Value - device.Units.UnitOf(first).Value + 1;
        await WaitAsync(
            declaration.Ended, () => new RemapProgress(declaration.UnitsPassed, all), declaration.Abandon,
            progress, cancellation);
        return new MarkLostReport
        {
            FirstBlock = first.Value,
            LastBlock = last.Value,
            BlocksDeclared = declaration.BlocksDeclared,
            BlocksOnSpare = declaration.BlocksOnSpare,
            Failure = declaration.Error == IoStatus.Ok
                ? EndedEarly(declaration.IsAbandoned)
                : "the remap table could not be made durable",
        };
    }

    public static Refusal NoRoom(string name, long asked, long free) => new(
        "DMR-REMAP-NO-ROOM",
        ExitCode.RefusedForSafety,
        name,
        $"{name}: to move {Amounts.Plural(asked, "unit")} takes as many free units of spares, and there "
            + $"{(free == 0 ? "is none" : free == 1 ? "is 1" : $"are {free}")}: nothing was moved.",
        $"Add a spare: dmremap spare add {name} PATH; or ask for a smaller range. `dmremap unremap {name} "
            + "FIRST-LAST` gives units back.");

    public static string WhyUnread(UnitState lostAs, string name) => lostAs switch
    {
        UnitState.LostDeclared =>
            "all blocks of a unit are declared lost (mark-lost), so there is nothing to copy: writing them "
                + "ends that",
        UnitState.LostUnreadable =>
            "all blocks of a unit are given up as lost, so there is nothing to copy: writing them ends that, "
                + $"and `dmremap retest {name}` tries to read them once more",
        _ => "not one block of a unit could be read",
    };

    private async Task<Move> MoveAsync(
        BlockNumber first, BlockNumber last, MoveTarget to, IProgress<RemapProgress> progress,
        CancellationToken cancellation)
    {
        RequireInside(first, last);
        UnitGeometry units = device.Units;
        Move move = new() { First = units.UnitOf(first), Last = units.UnitOf(last), To = to };
        if (to == MoveTarget.Spare)
        {
            await RequireRoomAsync(move);
        }
        else
        {
            await RequireCalmAsync();
        }
        Require(await host.RunAsync(() => device.TryStartMove(move)));
        long all = move.Last.Value - move.First.Value + 1;
        await WaitAsync(
            move.Ended,
            () => new RemapProgress(move.UnitsMoved + move.UnitsAlreadyMoved + move.UnitsFailed, all),
            move.Abandon, progress, cancellation);
        return move;
    }

    private async Task WaitAsync(
        Task ended, Func<RemapProgress> look, Action abandon, IProgress<RemapProgress> progress,
        CancellationToken cancellation)
    {
        while (await Task.WhenAny(
            ended, Task.Delay(s_progressInterval, time, CancellationToken.None)) != ended)
        {
            progress.Report(look());
            if (cancellation.IsCancellationRequested)
            {
                await host.RunAsync(abandon);
            }
        }
    }

    private static string? EndedEarly(bool isAbandoned) =>
        isAbandoned ? "it was ended before the last unit" : null;

    private static LostExtent[] ListUnread(Move move) =>
    [
        .. move.Unread.Take(DeviceStatus.LostExtentsMax)
            .Select(extent => new LostExtent(extent.Start.Value, extent.Count.Value)),
    ];

    private void Require(bool isStarted)
    {
        if (!isStarted)
        {
            throw new RefusalException(new Refusal(
                "DMR-HANDWORK-NOT-NOW",
                ExitCode.Failed,
                name,
                "Another work on blocks (remap, unremap, retest, mark-lost, mark-bad) is running, or the "
                    + "device is stopping or read-only.",
                "Try again when it has ended."));
        }
    }

    /// <summary>
    /// All or nothing: half a range moved would leave no spare unit for the next bad sector.
    /// </summary>
    private async Task RequireRoomAsync(Move move)
    {
        long asked = move.Last.Value - move.First.Value + 1;
        long free = await host.RunAsync(() => device.Allocator.TotalUnitsAllocatable);
        if (asked > free)
        {
            throw new RefusalException(NoRoom(name, asked, free));
        }
    }

    /// <summary>A disk that fails as a whole is given nothing back.</summary>
    private async Task RequireCalmAsync()
    {
        bool isStorm = await host.RunAsync(() => device.Breaker.IsTripped || device.AreWritesRejected);
        if (isStorm)
        {
            throw new RefusalException(new Refusal(
                "DMR-UNREMAP-STORM",
                ExitCode.RefusedForSafety,
                name,
                $"{name}: the main device fails as a whole (condition storm or writes-rejected): nothing was "
                    + "given back to it.",
                $"Look at disk, cable and controller; then `dmremap clear {name} storm`, and repeat it."));
        }
    }

    private void RequireInside(BlockNumber first, BlockNumber last)
    {
        long blocks = device.Geometry.Blocks.Value;
        if (first.Value < 0 || last < first || last.Value >= blocks)
        {
            throw new RefusalException(BlockRange.BeyondEnd(
                name, first.Value, last.Value, blocks, device.Units.BlockSize.Bytes));
        }
    }

    private sealed class Move : MoveRequest
    {
        private readonly TaskCompletionSource _ended =
            new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Ended => _ended.Task;

        public override void OnFinished() => _ended.SetResult();
    }

    private sealed class Retest : RetestRequest
    {
        private readonly TaskCompletionSource _ended =
            new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Ended => _ended.Task;

        public override void OnFinished() => _ended.SetResult();
    }

    private sealed class Declaration : DeclareRequest
    {
        private readonly TaskCompletionSource _ended =
            new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Ended => _ended.Task;

        public override void OnFinished() => _ended.SetResult();
    }
}
