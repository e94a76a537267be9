using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using DmRemap.Control.Contracts;

namespace DmRemap.Cli.Output;

/// <summary>
/// `status` for people, in the shape of `zpool status`: state, what it means, what to do, where to read on, a
/// line per member, and at the end whether data is lost.
/// </summary>
internal sealed class StatusText(TextWriter writer, int width, Paint paint)
{
    private const int LostLinesMax = 10;
    private const int LabelWidth = 8;

    public void Write(DeviceStatus status)
    {
        IReadOnlyList<Finding> findings = Findings.Of(status);
        Line("device", status.Name);
        Line("uuid", status.Uuid);
        WriteState(status, findings);
        WriteFindings(status, findings);
        WriteExports(status);
        writer.WriteLine();
        WriteMembers(status);
        writer.WriteLine();
        if (IsServed(status))
        {
            WriteRemaps(status);
            WriteTraffic(status);
            WriteLatencies(status);
            WriteMetadata(status);
            WriteScrub(status);
            WriteCache(status);
            WriteUncertain(status);
        }
        WriteErrors(status);
    }

    private void Line(string label, string text) =>
        TextWrap.Paragraph(writer, $"{label.PadLeft(LabelWidth)}: ", text, width);

    private void WriteState(DeviceStatus status, IReadOnlyList<Finding> findings)
    {
        string[] more = status.Phase is null ? [.. status.Conditions] : [status.Phase, .. status.Conditions];
        string words = more.Length == 0 ? status.State : $"{status.State} ({string.Join(", ", more)})";
        bool isWell = status.State == DeviceStates.Running && findings.Count == 0;
        string painted = isWell ? paint.Good(words) : paint.Of(Findings.WorstOf(findings), words);
        writer.WriteLine($"{"state".PadLeft(LabelWidth)}: {painted}");
    }

    private void WriteFindings(DeviceStatus status, IReadOnlyList<Finding> findings)
    {
        if (status.State == DeviceStates.Stopped)
        {
            Line("status", "The device is not served. Remaps and errors are shown while it is.");
            Line("action", $"Start it with: dmremap serve {status.Name}");
        }
        if (status.State == DeviceStates.Unreachable)
        {
            Line("status", $"Process {status.Pid} holds its members, and no control socket in this run "
                + "directory answers for it: its server has another one, or the socket's file was removed.");
            Line("action", "Set DMREMAP_RUN_DIR to the directory that the server was started with. Where "
                + $"the socket's file is gone, `kill {status.Pid}` stops it.");
        }
        if (status.State is DeviceStates.Suspending or DeviceStates.Suspended)
        {
            Line("status", "Requests of clients are held, not failed, until the device is resumed.");
            Line("action", $"Resume it with: dmremap resume {status.Name}");
        }
        foreach (Finding finding in findings)
        {
            Line("status", finding.Meaning);
            Line("action", finding.Action);
            Line("see", $"{finding.MessageId} in docs/messages.md");
        }
    }

    private void WriteExports(DeviceStatus status)
    {
        foreach (string export in status.Exports)
        {
            Line("export", export);
        }
        if (status.Attached is Attachment attached)
        {
            Line("attached", attached.Link is string link ? $"{attached.Path} ({link})" : attached.Path);
        }
        PrimaryStatus primary = status.Primary;
        Line("size", $"{Amounts.Bytes(primary.SizeBytes)}, blocks of {primary.BlockSize} bytes (physical "
            + $"{primary.PhysicalBlockSize}), units of {primary.UnitBytes}");
        if (status.Pid is int pid && status.State != DeviceStates.Unreachable)
        {
            Line("served", IsServed(status)
                ? $"by process {pid}, up {Amounts.Time(status.UptimeSeconds ?? 0)}, "
                    + $"{status.Backend}, {MemoryWords(status)}"
                    + $"{Amounts.Plural(status.Clients ?? 0, "client")}, "
                    + $"dmremap {status.Version}"
                : $"not yet; process {pid} is starting it");
        }
    }

    private static string MemoryWords(DeviceStatus status) =>
        status.MemoryLocked == false ? "memory not locked, " : "";

    private void WriteMembers(DeviceStatus status)
    {
        MemberTable table = new(writer, width);
        PrimaryStatus primary = status.Primary;
        table.WriteHead();
        table.WriteRow(primary.Path, "main", PrimaryState(status), primary.Errors, "-");
        WriteGone(primary.Gone);
        WriteSlow(primary.Slow);
        WriteOutstanding(status, primary.Io);
        WriteErrorRecovery(primary.ErrorRecovery);
        foreach (SpareStatus spare in status.Spares)
        {
            // Its number is the set's, which the registry does not know.
            string role = spare.Index is int index ? $"spare {index}" : "spare";
            string used = spare.Units is null ? "-" : UsedUnits(spare.Units);
            table.WriteRow(spare.Path, role, spare.State, spare.Errors, used);
            WriteGone(spare.Gone);
            WriteSlow(spare.Slow);
            WriteOutstanding(status, spare.Io);
            WriteErrorRecovery(spare.ErrorRecovery);
        }
    }

    /// <summary>
    /// Of a member that takes long: what waits for it. Of one that is asked during a start: all.
    /// </summary>
    private void WriteOutstanding(DeviceStatus status, MemberIo? io)
    {
        bool isShown = status.State == DeviceStates.Starting || io?.OldestMs is not null;
        if (io is null || io.InFlight == 0 || !isShown)
        {
            return;
        }
        string oldest = io.OldestMs is long ms ? $", oldest I/O: {Amounts.Time(ms / 1000)}" : "";
        writer.WriteLine(
            $"    waits for {Amounts.Plural(io.InFlight, "operation")}{oldest}");
    }

    private void WriteGone(MemberGone? gone)
    {
        if (gone is null)
        {
            return;
        }
        string fate = !gone.Holds ? "fails at once"
            : gone.HoldsForMs is long left
                ? $"is held for {Amounts.Time((left + 999) / 1000)} more, then fails"
                : "is held until it is back";
        TextWrap.Paragraph(
            writer,
            "    ",
            $"gone for {Amounts.Time(gone.SinceMs / 1000)}, "
                + $"{Amounts.Plural(gone.RequestsHeld, "request")} waiting for it; what needs it {fate}",
            width);
    }

    private void WriteErrorRecovery(ErrorRecoveryStatus? recovery)
    {
        if (recovery is null)
        {
            return;
        }
        string text = recovery.State switch
        {
            ErrorRecoveryStates.Known =>
                $"read {Limit(recovery.ReadSeconds)}, write {Limit(recovery.WriteSeconds)}"
                    + (recovery.GivesUpEarly
                        ? " (disk gives up early: weak sectors may be lost; serve --erc=max)"
                        : ""),
            ErrorRecoveryStates.Unsupported => $"none that can be set ({recovery.Why})",
            _ => $"not known ({recovery.Why})",
        };
        TextWrap.Paragraph(writer, "    error recovery: ", text, width);
    }

    private static string Limit(double? seconds) => seconds is double known
        ? string.Create(CultureInfo.InvariantCulture, $"{known:0.0} s")
        : "as long as the drive likes";

    private void WriteSlow(MemberSlow? slow)
    {
        if (slow is not null)
        {
            writer.WriteLine($"    slow for {Amounts.Time(slow.SinceMs / 1000)}: half of the operations "
                + $"within {Amounts.ShortTime(slow.MedianUs)}, "
                + $"usually {Amounts.ShortTime(slow.UsualMedianUs)}");
        }
    }

    private static bool IsServed(DeviceStatus status) =>
        status.State is not DeviceStates.Stopped and not DeviceStates.Starting
            and not DeviceStates.Unreachable;

    private static string PrimaryState(DeviceStatus status)
    {
        if (!IsServed(status))
        {
            return "unknown";
        }
        bool isGone = status.Primary.Gone is not null
            || status.Primary.Connection == MemberConnections.Disconnected;
        return isGone ? "gone" : "active";
    }

    private static string UsedUnits(SpareUnits units) =>
        $"{Amounts.Count(units.Used)}/{Amounts.Count(units.Total)}";

    private void WriteRemaps(DeviceStatus status)
    {
        SpareUnits units = Findings.SpareTotals(status);
        string text = $"{Amounts.Plural(status.Remaps ?? 0, "unit")} on spares "
            + $"({Amounts.Percent(units.Used, units.Total)} of the spare units)";
        text += units.Retired > 0 ? $", {Amounts.Plural(units.Retired, "spare unit")} failed" : "";
        text += status.ZeroBlocks > 0
            ? $", {Amounts.Plural(status.ZeroBlocks ?? 0, "block")} kept as zeros"
            : "";
        Line("remaps", text);
        if (status.Forecast is { SecondsLeft: not null } forecast)
        {
            Line("forecast", SpareText.Of(forecast));
        }
        if (status.Healing is { } healing && healing.InProbation + healing.Healed + healing.Failed > 0)
        {
            Line("healing", $"{Amounts.Plural(healing.InProbation, "unit")} rewritten on the main device and "
                + $"watched, {Amounts.Count(healing.Healed)} back there, {Amounts.Count(healing.Failed)} "
                + $"refused{(healing.On ? "" : "; off")}");
        }
        if (status.Copies is { Wanted: 2 } copies)
        {
            long remaps = status.Remaps ?? 0;
            string doubt = copies.InStep || copies.UnitsWithTwo == 0
                ? ""
                : "; after a crash or a lost cache they are made anew before they count";
            Line("copies", $"second copies of {Amounts.Count(copies.UnitsWithTwo)} of "
                + $"{Amounts.Plural(remaps, "unit")} on spares{doubt}");
        }
        if (status.SuspectUnits > 0)
        {
            Line("suspect", $"{Amounts.Plural(status.SuspectUnits ?? 0, "unit")} of which blocks could not "
                + "be read: they fail at once, are tried again from time to time, and count as lost at the "
                + "third time");
        }
    }

    private void WriteTraffic(DeviceStatus status)
    {
        if (status.Counters is not IoCounters counters)
        {
            return;
        }
        string text = $"{Amounts.CountOf(counters.Reads, "read", "reads")}, "
            + $"{Amounts.CountOf(counters.Writes, "write", "writes")}, "
            + $"{Amounts.CountOf(counters.Flushes, "flush", "flushes")}; "
            + $"{Amounts.Plural(counters.ClientErrors, "request")} answered with an error";
        Line("traffic", text);
    }

    private void WriteLatencies(DeviceStatus status)
    {
        (string Name, Latency? Latency)[] all =
        [
            ("reads", status.Latencies?.Reads),
            ("writes", status.Latencies?.Writes),
            ("flushes", status.Latencies?.Flushes),
        ];
        string[] seen = [.. all.Where(one => one.Latency is not null).Select(one =>
            $"{one.Name} half within {Amounts.ShortTime(one.Latency!.P50Us)}, "
                + $"99 % within {Amounts.ShortTime(one.Latency.P99Us)}, "
                + $"longest {Amounts.ShortTime(one.Latency.LongestUs)}")];
        if (seen.Length > 0)
        {
            Line("latency", string.Join("; ", seen));
        }
    }

    private void WriteScrub(DeviceStatus status)
    {
        if (status.Scrub is ScrubReport scrub && scrub.State != ScrubStates.Idle)
        {
            Line("scrub", ScrubText.Of(scrub));
        }
    }

    private void WriteMetadata(DeviceStatus status)
    {
        if (status.Metadata is not MetadataStatus metadata)
        {
            return;
        }
        string start = metadata.FirstStart ? "started for the first time"
            : metadata.CleanStart ? "started clean" : "recovered at start";
        string failures = status.Counters?.CommitFailures > 0
            ? $", {Amounts.Plural(status.Counters.CommitFailures, "commit")} failed"
            : "";
        Line("table", $"generation {metadata.Generation}, "
            + $"{(metadata.ActiveCopies == 1 ? "1 copy" : $"{metadata.ActiveCopies} copies")}, "
            + $"{start}{failures}");
        if (metadata.Stuck > 0)
        {
            Line("stuck", $"{Amounts.Plural(metadata.Stuck, "metadata operation")} given up at the deadline"
                + " and not back yet");
        }
    }

    /// <summary>Where something is done about it that costs time, or was asked for.</summary>
    private void WriteCache(DeviceStatus status)
    {
        if (status.Primary.WriteCache is WriteCacheStatus cache
            && (cache.WritesForced || cache.Policy != "auto"))
        {
            Line("cache", $"--write-cache={cache.Policy}: "
                + (cache.WritesForced ? "each write to the main device is forced to its medium"
                    : cache.IsOff ? "the main device has none that loses anything"
                    : "a write of the main device is durable when it is flushed"));
        }
    }

    private void WriteUncertain(DeviceStatus status)
    {
        if (status.UncertainBlocks is not (long blocks and > 0))
        {
            return;
        }
        Line("unsure", $"{Amounts.Plural(blocks, "block")} "
            + $"({Amounts.Bytes(blocks * status.Primary.BlockSize)}) were written and may hold what was "
            + "there before:");
        WriteRuns(status.UncertainExtents, isAll: true);
    }

    private void WriteErrors(DeviceStatus status)
    {
        if (status.LostBlocks is not long lost)
        {
            Line("errors", $"not known while {status.State}");
            return;
        }
        if (status.UnavailableUnits > 0)
        {
            long units = status.UnavailableUnits ?? 0;
            string bytes = Amounts.Bytes(units * status.Primary.UnitBytes);
            string until = status.Spares.Any(IsLeftOut)
                ? "it is taken in again: connect it, then: dmremap stop "
                    + $"{status.Name}, and dmremap serve {status.Name} without --degraded"
                : "it is back";
            Line("away", $"{Amounts.Plural(units, "unit")} ({bytes}) on a missing spare: not lost; "
                + $"reading them fails until {until}");
        }
        if (lost == 0)
        {
            Line("errors", "no known lost data");
            return;
        }
        Line("errors", $"{Amounts.Plural(lost, "block")} lost "
            + $"({Amounts.Bytes(lost * status.Primary.BlockSize)}); reading them fails until they are "
            + "written:");
        WriteRuns(status.LostExtents, status.LostExtentsComplete);
    }

    /// <summary>It was missing at the start: that it comes back is not noticed before the next one.</summary>
    private static bool IsLeftOut(SpareStatus spare) =>
        spare is { State: "missing", Gone: null, Connection: not MemberConnections.Disconnected };

    private void WriteRuns(IReadOnlyList<LostExtent> extents, bool isAll)
    {
        int shown = Math.Min(extents.Count, LostLinesMax);
        for (int i = 0; i < shown; i++)
        {
            LostExtent extent = extents[i];
            long last = extent.FirstBlock + extent.Blocks - 1;
            string run = Amounts.Blocks(extent.FirstBlock, last);
            writer.WriteLine($"{new string(' ', LabelWidth + 2)}{run}");
        }
        if (shown < extents.Count || !isAll)
        {
            string least = isAll ? "" : "at least ";
            writer.WriteLine(
                $"{new string(' ', LabelWidth + 2)}and {least}{extents.Count - shown} more runs"
                + " (status --json lists them)");
        }
    }
}
