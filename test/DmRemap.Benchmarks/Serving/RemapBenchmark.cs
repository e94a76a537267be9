using System;
using System.Globalization;
using System.IO;
using System.Linq;
using DmRemap.Benchmarks.Metadata;

namespace DmRemap.Benchmarks.Serving;

/// <summary>
/// `remaps PROGRAM FOLDER SECONDS ROUNDS [TABLES]`: devices that differ in how many units of theirs are
/// remapped, each over a main device of 1 TiB that has only holes, read at random. FOLDER should lie in
/// memory; each table has a spare of its own size there. With TABLES, a folder with room for 54 GB, also 10^7
/// remaps, whose spare lies there.
/// </summary>
internal static class RemapBenchmark
{
    private const double Wanted = 0.96;

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
        ServerKind Make(long remaps, int spareMib, string spareFolder) =>
            MakeServer(program, folder, remaps, spareMib, spareFolder);
        ServerKind million = Make(1_000_000, 5400, folder);
        ServerKind thousand = Make(1000, 64, folder);
        ServerKind none = Make(0, 64, folder);
        void Compare(ServerKind with, params Workload[] workloads)
        {
            Comparison comparison = new([with, none], workloads, s_warmUp);
            comparison.Run(folder, rounds, TimeSpan.FromSeconds(seconds), Console.Error.WriteLine);
            Goal[] goals = [.. workloads.Select(workload => new Goal(workload, none.Name, Wanted))];
            ComparisonTable.Write(Console.Out, comparison, goals);
            Console.Out.WriteLine();
        }
        Compare(million, s_workloads);
        Compare(thousand, s_workloads);
        Compare(million, MeetingRemaps(BenchSet.Units / 1_000_000));
        if (arguments.Length > 4)
        {
            Compare(Make(10_000_000, 54_000, arguments[4]), s_workloads);
        }
    }

    private static Workload MeetingRemaps(long stride) => s_workloads[1] with
    {
        Name = s_workloads[1].Name + ", 1 % of them of remapped units",
        HundredthStride = stride,
    };

    private static ServerKind MakeServer(
        string program, string folder, long remaps, int spareMib, string spareFolder)
    {
        string device = string.Create(CultureInfo.InvariantCulture, $"remaps{remaps}");
        string main = Path.Combine(folder, device + ".main");
        string spare = Path.Combine(spareFolder, device + ".spare");
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
        string name = remaps.ToString("N0", CultureInfo.InvariantCulture) + " remaps";
        return ServerKind.Dmremap(program, device, name);
    }
}
