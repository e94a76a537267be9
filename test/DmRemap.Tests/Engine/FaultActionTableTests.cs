using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>
/// What the device does about an error of its primary, by errno, elapsed time, operation and what a control
/// elsewhere says (F-17): a cell for each, each tried on a device of its own.
/// </summary>
public sealed class FaultActionTableTests
{
    private const long Target = 800;
    private const int UnitBlocks = 8;

    /// <summary>A fifth less than the kernel's time-out for a command, and just under that.</summary>
    private static readonly long[] s_elapsedMs = [0, 23_900, 24_000, 60_000];

    private enum Action
    {
        /// <summary>The request has the error; no unit moves, none is suspect.</summary>
        Error,

        /// <summary>The request has the error; the unit is suspect.</summary>
        Suspect,

        /// <summary>The request succeeds; the unit is on a spare.</summary>
        Moved,

        /// <summary>The request has the error; the breaker has tripped.</summary>
        Storm,

        /// <summary>The request has the error; the disk is said to reject writes.</summary>
        Rejected,

        /// <summary>The request succeeds, and nothing has moved: only a hint may end so.</summary>
        Ignored,
    }

    /// <summary>
    /// Errno; what a read, a write, write-zeroes get where the disk works elsewhere; and where it does not.
    /// A flush always gets the error, and so does whatever took too long; a discard is a hint.
    /// </summary>
    private static readonly Row[] s_rows =
    [
        new(SimulatedDisk.EndedEarly, "short"),
        new(6, "ENXIO"),
        new(19, "ENODEV"),
        new(123, "ENOMEDIUM"),
        new(28, "ENOSPC"),
        new(122, "EDQUOT"),
        new(110, "ETIMEDOUT"),
        new(62, "ETIME"),
        new(104, "ECONNRESET"),
        new(12, "ENOMEM"),
        new(22, "EINVAL"),
        new(1, "EPERM"),
        new(30, "EROFS"),
        new(61, "ENODATA", Action.Suspect, Action.Moved, Action.Storm, Action.Rejected),
        new(84, "EILSEQ", Action.Suspect, Action.Moved, Action.Storm, Action.Rejected),
        new(5, "EIO", Action.Suspect, Action.Moved, Action.Storm, Action.Rejected),
        new(121, "EREMOTEIO", Action.Suspect, Action.Moved, Action.Storm, Action.Rejected),
    ];

    [Fact]
    public void Each_errno_time_operation_and_control_has_its_action()
    {
        List<string> wrong = [];
        int cells = 0;
        foreach (Row row in s_rows)
        {
            foreach (long elapsedMs in s_elapsedMs)
            {
                foreach (IoOperation operation in Operations())
                {
                    foreach (bool worksElsewhere in new[] { true, false })
                    {
                        Action expected = Expected(row, elapsedMs, operation, worksElsewhere);
                        Action found = Try(row.Errno, elapsedMs, operation, worksElsewhere);
                        cells++;
                        if (found != expected)
                        {
                            wrong.Add($"{row.Name} {elapsedMs} ms {operation}, elsewhere "
                                + $"{(worksElsewhere ? "works" : "fails")}: {found}, not {expected}");
                        }
                    }
                }
            }
        }
        Assert.Empty(wrong);
        Assert.Equal(s_rows.Length * s_elapsedMs.Length * 5 * 2, cells);
    }

    private static IoOperation[] Operations() =>
    [
        IoOperation.Read, IoOperation.Write, IoOperation.WriteZeroes, IoOperation.Flush, IoOperation.Discard,
    ];

    private static Action Expected(in Row row, long elapsedMs, IoOperation operation, bool worksElsewhere)
    {
        if (operation == IoOperation.Discard)
        {
            return Action.Ignored;
        }
        if (elapsedMs >= 24_000)
        {
            return Action.Error;
        }
        return operation switch
        {
            IoOperation.Read => worksElsewhere ? row.Read : row.ReadNowhere,
            IoOperation.Write or IoOperation.WriteZeroes => worksElsewhere ? row.Write : row.WriteNowhere,
            _ => Action.Error,
        };
    }

    private static Action Try(int errno, long elapsedMs, IoOperation operation, bool worksElsewhere)
    {
        EngineBench bench = new();
        byte[] data = EngineBench.Pattern(UnitBlocks, 512, 7);
        // A place that has read and been written: what a control may be made with.
        Assert.Equal(IoStatus.Ok, bench.Write(0, data).Status);
        Assert.Equal(IoStatus.Ok, bench.Read(0, UnitBlocks).Status);
        // The good read is older than the failure then, and proves nothing of it.
        bench.Loop.RunFor(Duration.FromSeconds(1));
        bench.Primary.FaultElapsed = Duration.FromMilliseconds(elapsedMs);
        bool isWriting = operation is IoOperation.Write or IoOperation.WriteZeroes;
        bench.Primary.Fault = (_, request) =>
            IsHit(request, operation, isWriting, worksElsewhere) ? errno : 0;
        if (isWriting && !worksElsewhere)
        {
            // One unit is believed; that all of them fail is what tells a disk that rejects writes.
            for (int i = 1; i < WriteControl.DistinctUnitsMax; i++)
            {
                bench.Write(Target + (i * UnitBlocks), data);
            }
        }
        BufferSlice buffer = AlignedMemory.Allocate(data.Length);
        bool hasBuffer = operation is IoOperation.Read or IoOperation.Write;
        Outcome outcome = bench.Run(operation, operation == IoOperation.Flush ? 0 : Target,
            operation == IoOperation.Flush ? 0 : UnitBlocks, hasBuffer ? buffer : default, IoFlags.None);
        return Judge(bench, outcome);
    }

    private static bool IsHit(IoRequest request, IoOperation operation, bool isWriting, bool worksElsewhere)
    {
        bool isKind = request.Operation == operation
            || (isWriting && request.Operation is IoOperation.Write or IoOperation.WriteZeroes);
        Extent target = new(new BlockNumber(Target), new BlockCount(UnitBlocks));
        return isKind
            && (!worksElsewhere || operation == IoOperation.Flush || request.Extent.Overlaps(target));
    }

    private static Action Judge(EngineBench bench, Outcome outcome)
    {
        UnitNumber unit = new(Target / UnitBlocks);
        if (outcome.Status == IoStatus.Ok)
        {
            return bench.Device.Table.TryGet(unit, out _) ? Action.Moved : Action.Ignored;
        }
        Assert.False(bench.Device.Table.TryGet(unit, out _));
        Assert.False(bench.Device.Breaker.IsTripped && bench.Device.AreWritesRejected);
        return bench.Device.Breaker.IsTripped ? Action.Storm
            : bench.Device.AreWritesRejected ? Action.Rejected
            : bench.Device.Suspects.TryGet(unit, out Suspect suspect) && suspect.BadBlocks != 0
                ? Action.Suspect
                : Action.Error;
    }

    private readonly record struct Row(
        int Errno, string Name, Action Read = Action.Error, Action Write = Action.Error,
        Action ReadNowhere = Action.Error, Action WriteNowhere = Action.Error);
}
