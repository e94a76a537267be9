using System;
using System.Globalization;
using BenchmarkDotNet.Running;
using DmRemap.Benchmarks.Faults;
using DmRemap.Benchmarks.Metadata;
using DmRemap.Benchmarks.Serving;
using DmRemap.Benchmarks.Year;

namespace DmRemap.Benchmarks;

/// <summary>
/// By hand: `dotnet run -c Release --project test/DmRemap.Benchmarks -- --filter '*'`, or `./bench.sh
/// --lookup`; `-- metadata DIR [REMAPS …]` for what tables of a size cost; `-- fill SPARE REMAPS` to put
/// such a table on the spare of a device of 1 TiB; `-- inserts` for a burst of them in memory; `-- stop
/// SOCKET SECONDS` for how long a served device takes to stop; `-- serving …` for us beside others (see
/// <see cref="ServingBenchmark"/>); `-- remaps PROGRAM FOLDER SECONDS ROUNDS` for what a table costs (see
/// <see cref="RemapBenchmark"/>); `-- load SOCKET KIND BYTES DEPTH SECONDS` for the batching client alone,
/// beside which a server can be looked at; `-- faults FILE` for the picture of the lab's models; `-- year
/// FILE DISKS` for what rescuing, probing and scrubbing save (see <see cref="YearMeasurement"/>).
/// </summary>
internal static class Program
{
    private static void Main(string[] arguments)
    {
        if (arguments.Length > 1 && arguments[0] == "metadata")
        {
            MetadataMeasurements.Run(arguments[1..]);
            return;
        }
        if (arguments.Length > 5 && arguments[0] == "serving")
        {
            ServingBenchmark.Run(arguments[1..]);
            return;
        }
        if (arguments.Length > 4 && arguments[0] == "remaps")
        {
            RemapBenchmark.Run(arguments[1..]);
            return;
        }
        if (arguments.Length > 5 && arguments[0] == "load")
        {
            BatchingClient.Run(arguments[1..], Console.Out);
            return;
        }
        if (arguments.Length > 2 && arguments[0] == "stop")
        {
            StopMeasurement.Run(arguments[1], arguments[2]);
            return;
        }
        if (arguments.Length == 2 && arguments[0] == "faults")
        {
            FaultPlots.Run(arguments[1]);
            return;
        }
        if (arguments.Length == 3 && arguments[0] == "year")
        {
            YearMeasurement.Run(arguments[1], int.Parse(arguments[2], CultureInfo.InvariantCulture));
            return;
        }
        if (arguments.Length == 1 && arguments[0] == "inserts")
        {
            InsertMeasurement.Run();
            return;
        }
        if (arguments.Length > 2 && arguments[0] == "fill")
        {
            BenchSet.FillSpare(arguments[1], long.Parse(arguments[2], CultureInfo.InvariantCulture));
            return;
        }
        BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(arguments);
    }
}
