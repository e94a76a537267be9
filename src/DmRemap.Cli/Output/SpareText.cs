using System.Collections.Generic;
using System.Globalization;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Spares;

namespace DmRemap.Cli.Output;

/// <summary>The spares of a device, for people.</summary>
internal static class SpareText
{
    public static IEnumerable<string> Of(DeviceStatus status)
    {
        foreach (SpareStatus spare in status.Spares)
        {
            // The number that `spare remove` takes is the set's; the order of the registry is another.
            string number = spare.Index is int index ? $"{index}: " : "";
            yield return $"{number}{spare.Path}: {spare.State}";
            if (spare.Units is SpareUnits units)
            {
                yield return $"    {Amounts.Plural(units.Used, "unit")} used of {units.Total}, "
                    + $"{units.Free} free, {units.Retired} failed";
            }
            if (spare.Table is TableCopies table)
            {
                yield return $"    table: {table.Superblocks} of 6 superblocks, "
                    + $"{table.Journals} of 2 journals, {table.Checkpoints} of 2 checkpoints are good";
            }
        }
        if (status.Forecast is SpareForecast forecast)
        {
            bool isNoneLeft = Findings.Contains(status.Conditions, ConditionCatalog.Exhausted);
            yield return isNoneLeft
                ? $"{Moved(forecast)}: no spare unit is left. Add a spare: dmremap spare add "
                    + $"{status.Name} PATH"
                : Of(forecast);
        }
    }

    public static string Of(SpareForecast forecast)
    {
        if (forecast.SecondsLeft is long left && forecast.MovesPerHour is double rate)
        {
            return $"{Moved(forecast)}, {rate.ToString("0.#", CultureInfo.InvariantCulture)} an hour: at "
                + $"that rate the spares are used up in {Amounts.Time(left)}";
        }
        string why = forecast.MovesLastDay < ExhaustionForecast.MovesMin
            ? "too few"
            : "too early after the start";
        return $"{Moved(forecast)}: {why} to say when the spares will be used up";
    }

    private static string Moved(SpareForecast forecast) =>
        $"{Amounts.Plural(forecast.MovesLastDay, "unit")} moved in the last day";

    public static string Of(string name, SpareRemoveReport report)
    {
        string moved = $"{Amounts.Plural(report.UnitsMoved, "unit")} moved to other spares";
        moved += report.UnitsLetGo > 0 ? $", {Amounts.Plural(report.UnitsLetGo, "unit")} let go" : "";
        string lost = report.BlocksLost > 0
            ? "; " + Amounts.Plural(report.BlocksLost, "block of it is", "blocks of it are")
                + " lost until written"
            : "";
        if (report.Removed)
        {
            return $"{name}: {report.Path} is no spare any more: {moved}{lost}"
                + (report.Erased
                    ? ""
                    : "; its superblocks could not be erased: it will be refused as a spare");
        }
        string unread = report.UnitsUnread > 0
            ? $"; {Amounts.Plural(report.UnitsUnread, "unit")} did not read"
            : "";
        return $"{name}: {report.Path} stays a spare: {report.Failure}; {moved}{unread}{lost}";
    }

    /// <summary>
    /// Why a spare stays, and what to do. One that is absent was not there at the start: a person may do
    /// without it.
    /// </summary>
    public static string WhyNot(string name, string path, IoStatus error, bool isAbsent)
    {
        string giveUp = $"dmremap spare remove {name} {path} --accept-loss";
        return error switch
        {
            IoStatus.Unreadable =>
                $"units of it do not read: they stay where they are. To give up what does not: {giveUp}",
            IoStatus.OutOfSpares =>
                $"the other spares have no free unit left. Add one: dmremap spare add {name} PATH",
            IoStatus.MetadataUnavailable => "the remap table could not be made durable. Look at the other "
                + $"spares: dmremap status {name}",
            IoStatus.Ok => "it was ended before its last unit",
            _ when isAbsent => "it was missing at the start. Where it is back, take it in, then repeat this: "
                + $"dmremap stop {name}, dmremap serve {name}. To give up what only it holds: {giveUp}",
            _ => "it cannot be read now. Bring it back and repeat this. Where it is dead, and what only it "
                + $"holds is to be given up: dmremap stop {name}, dmremap serve {name} --degraded --without "
                + $"{path}, then {giveUp}",
        };
    }
}
