using System;
using System.Globalization;
using DmRemap.Control.Contracts;

namespace DmRemap.Cli.Output;

/// <summary>A scrub in a line, for people.</summary>
internal static class ScrubText
{
    public static string Of(ScrubReport scrub)
    {
        string failed = scrub.BlocksFailed == 0
            ? (scrub.State == ScrubStates.Ended ? "all of it read" : "no block failed")
            : $"{Amounts.Plural(scrub.BlocksFailed, "block")} did not read";
        string last = scrub.LastEnded is DateTimeOffset ended
            ? $"; the last whole pass ended {ended.ToLocalTime().ToString("g", CultureInfo.CurrentCulture)}"
            : "";
        string rate = Amounts.Bytes(scrub.BytesPerSecond);
        return scrub.State switch
        {
            ScrubStates.Running => $"{Share(scrub)}, {Progress(scrub)} (at most {rate}/s), {failed}",
            ScrubStates.Waiting when scrub.WaitsFor == ScrubWaits.Resume =>
                $"{Share(scrub)}, waits: the device is suspended; {failed}",
            ScrubStates.Waiting =>
                $"{Share(scrub)}, waits: the disk fails as a whole, or a storm is on; {failed}",
            ScrubStates.Stopped => $"stopped at {Share(scrub)}, {failed}",
            ScrubStates.Ended => $"the whole device, {failed}{last}",
            _ => $"not started{last}",
        };
    }

    private static string Progress(ScrubReport scrub)
    {
        string rate = scrub.BytesPerSecondMeasured is long measured
            ? $"{Amounts.Bytes(measured)}/s"
            : "rate not known yet";
        string left = scrub.SecondsLeft is long seconds ? Amounts.Time(seconds) : "unknown";
        return $"{rate}, time left {left}";
    }

    private static string Share(ScrubReport scrub) =>
        (scrub.Done * 100).ToString("F1", CultureInfo.InvariantCulture) + " %";
}
