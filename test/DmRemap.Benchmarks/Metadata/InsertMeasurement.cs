using System;
using System.Diagnostics;
using System.Globalization;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Benchmarks.Metadata;

/// <summary>
/// `-- inserts`: 200,000 units of a table that begins empty, in a burst, as a storm of bad sectors makes
/// them: how many garbage collections that takes, and how long each insert.
/// </summary>
internal static class InsertMeasurement
{
    private const int Inserts = 200_000;

    public static void Run()
    {
        Random random = new(1);
        UnitNumber[] units = new UnitNumber[Inserts];
        foreach (ref UnitNumber unit in units.AsSpan())
        {
            unit = new UnitNumber(random.NextInt64(BenchSet.Units));
        }
        RemapTable table = new(BenchSet.Geometry);
        int collections = GC.CollectionCount(0);
        long began = Stopwatch.GetTimestamp();
        for (int i = 0; i < Inserts; i++)
        {
            table.Set(new RemapEntry
            {
                Unit = units[i],
                State = UnitState.Remapped,
                Location = new SpareLocation(0, new UnitNumber(i)),
                Blocks = new BlockStates(0xFF, 0),
            });
        }
        double nanoseconds = Stopwatch.GetElapsedTime(began).TotalNanoseconds / Inserts;
        Console.Out.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{GC.CollectionCount(0) - collections} ({nanoseconds:F0} ns each)"));
    }
}
