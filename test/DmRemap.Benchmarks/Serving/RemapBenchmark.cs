using System;
using System.Globalization;
using System.IO;
using System.Linq;
using DmRemap.Benchmarks.Metadata;

namespace DmRemap.Benchmarks.Serving;

/// <summary>
/// `remaps PROGRAM FOLDER SECONDS ROUNDS`: devices that differ in how many units of theirs are remapped, each
/// over a main device of 1 TiB that has only holes, read at random. FOLDER should lie in memory; each table
/// has a spare of its own size there. That of 10^7 remaps would take 54 GB in full, as `create` makes files;
/// nbdkit exports one with holes instead, and what it is compared with has such a spare, too.
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
        ServerKind Make(long remaps, int spareMib, string where = "", long from = 0) =>
            MakeServer(program, folder, remaps, spareMib, where, from);
        ServerKind million = Make(1_000_000, 5400);
        ServerKind elsewhere = Make(1_000_000, 5400, "elsewhere", BenchSet.Units / 2);
        ServerKind thousand = Make(1000, 64);
        ServerKind none = Make(0, 64);
        void Compare(ServerKind with, ServerKind without, params Workload[] workloads)
        {
            Comparison comparison = new([with, without], workloads, s_warmUp);
            comparison.Run(folder, rounds, TimeSpan.FromSeconds(seconds), Console.Error.WriteLine);
            Goal[] goals = [.. workloads.Select(workload => new Goal(workload, without.Name, Wanted))];
            ComparisonTable.Write(Console.Out, comparison, goals);
            Console.Out.WriteLine();
        }
        Compare(elsewhere, none, [.. s_workloads.Select(all => all with
        {
            Name = all.Name + ", of the half without",
            IsOfFirstHalf = true,
        })]);
        Compare(million, none, s_workloads);
        Compare(thousand, none, s_workloads);
        Compare(million, none, MeetingRemaps(BenchSet.Units / 1_000_000));
        using ExportedSpare large = new(folder, "large", 54_000);
        using ExportedSpare small = new(folder, "small", 64);
        ServerKind tenMillion = MakeServer(program, folder, 10_000_000, large) with
        {
            // A checkpoint of such a table is made beside its first clients.
            Settles = TimeSpan.FromSeconds(8),
        };
        Compare(tenMillion, MakeServer(program, folder, 0, small), s_workloads);
    }

    private static Workload MeetingRemaps(long stride) => s_workloads[1] with
    {
        Name = s_workloads[1].Name + ", 1 % of them of remapped units",
        HundredthStride = stride,
    };

    private static ServerKind MakeServer(
        string program, string folder, long remaps, int spareMib, string where, long from)
    {
        string device = string.Create(CultureInfo.InvariantCulture, $"remaps{remaps}{where}");
        string spare = Path.Combine(folder, device + ".spare");
        Create(program, folder, device, "--spare", spare, "--spare-size", $"{spareMib}M");
        Fill(spare, remaps, from);
        return ServerKind.Dmremap(program, device, $"{NameOf(remaps)} {where}".TrimEnd());
    }

    private static ServerKind MakeServer(string program, string folder, long remaps, ExportedSpare spare)
    {
        string device = string.Create(CultureInfo.InvariantCulture, $"exported{remaps}");
        Create(program, folder, device, "--spare", spare.Uri);
        spare.End();
        Fill(spare.Path, remaps);
        spare.Begin();
        return ServerKind.Dmremap(program, device, NameOf(remaps));
    }

    private static void Create(string program, string folder, string device, params string[] spare)
    {
        string main = Path.Combine(folder, device + ".main");
        MakeHoles(main, BenchSet.Units * 4096);
        ServingBenchmark.RunQuietly(
            program, mayFail: false, ["create", device, "--main", main, .. spare, "--yes"]);
    }

    private static void Fill(string spare, long remaps, long from = 0)
    {
        if (remaps > 0)
        {
            BenchSet.FillSpare(spare, remaps, from);
        }
    }

    private static string NameOf(long remaps) =>
        remaps.ToString("N0", CultureInfo.InvariantCulture) + " remaps";

    private static void MakeHoles(string path, long bytes)
    {
        using FileStream file = File.Create(path);
        file.SetLength(bytes);
    }

    /// <summary>A spare file with holes, served by nbdkit.</summary>
    private sealed class ExportedSpare : IDisposable
    {
        private readonly string _socket;
        private ServerProcess? _server;

        public ExportedSpare(string folder, string name, int mib)
        {
            Path = System.IO.Path.Combine(folder, name + ".exported");
            _socket = System.IO.Path.Combine(folder, name + ".sock");
            MakeHoles(Path, (long)mib << 20);
            Begin();
        }

        public string Path { get; }

        public string Uri => $"nbd+unix:///?socket={_socket}";

        public void Begin() => _server = ServerProcess.Start(ServerKind.NbdkitFile(Path, false), _socket);

        public void End()
        {
            _server?.Dispose();
            _server = null;
        }

        public void Dispose() => End();
    }
}
