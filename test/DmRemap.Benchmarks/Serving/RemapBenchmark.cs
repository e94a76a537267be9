using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using DmRemap.Benchmarks.Metadata;

namespace DmRemap.Benchmarks.Serving;

/// <summary>
/// `remaps PROGRAM FOLDER SECONDS ROUNDS`: devices that differ in how many units of theirs are remapped, each
/// over a main device of 1 TiB that has only holes, read at random. FOLDER should lie in memory; each table
/// has a spare of its own size there.
/// </summary>
internal static class RemapBenchmark
{
    private static readonly Workload[] s_workloads =
    [
        new("batching randread 4k, depth 1", LoadClient.Batching, "randread", 4096, 1),
        new("batching randread 4k, depth 32", LoadClient.Batching, "randread", 4096, 32),
    ];

    /// <summary>Not a write: the holes would be filled.</summary>
    private static readonly Workload s_warmUp = new("warm-up", LoadClient.Batching, "randread", 4096, 32);

    public static void Run(string[] arguments)
    {
        (string program, string folder) = (arguments[0], arguments[1]);
        int seconds = int.Parse(arguments[2], CultureInfo.InvariantCulture);
        int rounds = int.Parse(arguments[3], CultureInfo.InvariantCulture);
        List<ServerKind> servers = [];
        foreach ((long remaps, int spareMib) in ((long, int)[])[(1_000_000, 5400), (1000, 64), (0, 64)])
        {
            string device = string.Create(CultureInfo.InvariantCulture, $"remaps{remaps}");
            MakeDevice(program, folder, device, remaps, spareMib);
            string name = remaps.ToString("N0", CultureInfo.InvariantCulture) + " remaps";
            servers.Add(ServerKind.Dmremap(program, device, name));
        }
        string none = servers[^1].Name;
        foreach (ServerKind[] pair in (ServerKind[][])[[servers[0], servers[2]], [servers[1], servers[2]]])
        {
            Comparison comparison = new(pair, s_workloads, s_warmUp);
            comparison.Run(folder, rounds, TimeSpan.FromSeconds(seconds), Console.Error.WriteLine);
            double wanted = 0.96;
            ComparisonTable.Write(
                Console.Out, comparison,
                [.. s_workloads.Select(workload => new Goal(workload, none, wanted))]);
            Console.Out.WriteLine();
        }
    }

    private static void MakeDevice(
        string program, string folder, string device, long remaps, int spareMib)
    {
        string main = Path.Combine(folder, device + ".main");
        string spare = Path.Combine(folder, device + ".spare");
        using (FileStream file = File.Create(main))
        {
            file.SetLength(BenchSet.Units * 4096);
        }
        ServingBenchmark.RunQuietly(
            program, mayFail: false, "create", device, "--main", main, "--spare", spare, "--spare-size",
            $"{spareMib}M", "--yes");
        if (remaps > 0)
        {
            BenchSet.FillSpare(spare, remaps.ToString(CultureInfo.InvariantCulture));
        }
    }
}
