using System.Globalization;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Runner;

/// <summary>What all runs together did.</summary>
internal sealed class Totals
{
    private const double NanosecondsPerHour = 3.6e12;

    public long Seeds { get; private set; }

    public long Violations { get; private set; }

    public long Events { get; private set; }

    public long Requests { get; private set; }

    public long Remaps { get; private set; }

    public long Rewritten { get; private set; }

    public long Healed { get; private set; }

    public long SparesAdded { get; private set; }

    public long SparesRemoved { get; private set; }

    public long Crashes { get; private set; }

    public long Recoveries { get; private set; }

    public double Hours { get; private set; }

    public void Add(Outcome outcome)
    {
        Seeds++;
        Violations += outcome.Broken is null ? 0 : 1;
        Events += outcome.Events;
        Requests += outcome.Requests;
        Remaps += outcome.Remaps;
        Rewritten += outcome.Rewritten;
        Healed += outcome.Healed;
        SparesAdded += outcome.SparesAdded;
        SparesRemoved += outcome.SparesRemoved;
        Crashes += outcome.Crashes;
        Recoveries += outcome.Recoveries;
        Hours += outcome.Nanoseconds / NanosecondsPerHour;
    }

    public string Details(double seconds, int threads) => string.Create(
        CultureInfo.InvariantCulture,
        $"{Events} events, {Requests} requests, {Remaps} remaps, {Rewritten} rewritten and {Healed} healed,"
            + $" {SparesAdded} spares added and {SparesRemoved} removed;"
            + $" {Seeds / seconds / threads:0} runs a second and thread");

    public string LastLine() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Seeds} seeds, {Hours:0.0} simulated hours, {Crashes} crashes, {Recoveries} recoveries,"
            + $" {Violations} violations");
}
