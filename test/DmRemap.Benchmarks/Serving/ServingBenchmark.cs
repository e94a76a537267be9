using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Linq;

namespace DmRemap.Benchmarks.Serving;

/// <summary>
/// `serving PROGRAM FOLDER SECONDS ROUNDS file|memory [SVG]`: dmremap as shipped (created with a spare,
/// the remap layer in the path) beside nbdkit and qemu-nbd, over one image in FOLDER, or each over its own
/// memory. Prints tables; the picture goes to the file SVG.
/// </summary>
internal sealed class ServingBenchmark(string program, string folder)
{
    private const int ImageMib = 512;
    private const int SpareMib = 64;
    private const string Device = "bench";

    private static readonly Workload[] s_fio =
    [
        new("fio randread 4k, depth 1", LoadClient.Fio, "randread", 4096, 1),
        new("fio randread 4k, depth 8", LoadClient.Fio, "randread", 4096, 8),
        new("fio randread 4k, depth 32", LoadClient.Fio, "randread", 4096, 32),
        new("fio randwrite 4k, depth 1", LoadClient.Fio, "randwrite", 4096, 1),
        new("fio randwrite 4k, depth 32", LoadClient.Fio, "randwrite", 4096, 32),
        new("fio randrw 4k, depth 8", LoadClient.Fio, "randrw", 4096, 8),
        new("fio read 128k, depth 8", LoadClient.Fio, "read", 131072, 8),
        new("fio write 128k, depth 8", LoadClient.Fio, "write", 131072, 8),
        new("fio read 1M, depth 4", LoadClient.Fio, "read", 1048576, 4),
    ];

    /// <summary>All of the image, once or more.</summary>
    private static readonly Workload s_warmUp = new("warm-up", LoadClient.Batching, "write", 131072, 8);

    private static readonly Workload[] s_batching =
    [
        new("batching randread 4k, depth 32", LoadClient.Batching, "randread", 4096, 32),
        new("batching randwrite 4k, depth 32", LoadClient.Batching, "randwrite", 4096, 32),
    ];

    public static void Run(string[] arguments)
    {
        ServingBenchmark benchmark = new(arguments[0], arguments[1]);
        int seconds = int.Parse(arguments[2], CultureInfo.InvariantCulture);
        int rounds = int.Parse(arguments[3], CultureInfo.InvariantCulture);
        bool isMemory = arguments[4] == "memory";
        string? picture = arguments.Length > 5 ? arguments[5] : null;
        benchmark.Compare(isMemory, TimeSpan.FromSeconds(seconds), rounds, picture);
    }

    private static List<Goal> GoalsOf(bool isMemory)
    {
        if (isMemory)
        {
            return [new Goal(s_fio[0], "nbdkit", 2), new Goal(s_batching[0], "nbdkit", 8)];
        }
        Dictionary<string, (double Nbdkit, double Qemu)> wanted = new()
        {
            [s_fio[0].Name] = (2, 1.3),
            [s_fio[2].Name] = (1.5, 1.8),
            [s_fio[3].Name] = (1.8, 1.3),
            [s_fio[4].Name] = (1.3, 1.8),
            [s_fio[6].Name] = (1.8, 0),
            [s_fio[7].Name] = (1.4, 0),
        };
        List<Goal> goals = [];
        foreach (Workload workload in s_fio.Where(workload => wanted.ContainsKey(workload.Name)))
        {
            (double nbdkit, double qemu) = wanted[workload.Name];
            goals.Add(new Goal(workload, "nbdkit", nbdkit));
            if (qemu > 0)
            {
                goals.Add(new Goal(workload, "qemu-nbd", qemu));
            }
        }
        return goals;
    }

    private void Compare(bool isMemory, TimeSpan duration, int rounds, string? picture)
    {
        string image = Path.Combine(folder, "main");
        string main = isMemory ? $"memory:{ImageMib}M" : image;
        if (!isMemory)
        {
            WriteImage(image);
        }
        CreateDevice(main);
        Workload[] workloads = isMemory ? [s_fio[0], s_fio[2], .. s_batching] : [.. s_fio, .. s_batching];
        Comparison comparison = new(Servers(isMemory, image), workloads, s_warmUp);
        comparison.Run(folder, rounds, duration, Console.Error.WriteLine);
        List<Goal> goals = GoalsOf(isMemory);
        ComparisonTable.Write(Console.Out, comparison, goals);
        if (picture is not null)
        {
            string below = isMemory ? "each over its own memory" : "over one image";
            RatioPlot.Write(picture, $"dmremap, requests a second, {below}", comparison, goals);
        }
    }

    /// <summary>A device in memory is served once, so each turn makes it anew.</summary>
    private ServerKind[] Servers(bool isMemory, string image)
    {
        if (isMemory)
        {
            ServerKind ours = new("dmremap", program, socket =>
            {
                CreateDevice($"memory:{ImageMib}M");
                return ["serve", Device, "--socket", socket];
            });
            string size = $"{ImageMib}M";
            return
            [
                ours,
                ServerKind.NbdkitMemory(size, isOneThread: false),
                ServerKind.NbdkitMemory(size, isOneThread: true),
            ];
        }
        // qemu-nbd's native and io_uring modes want O_DIRECT; in memory there is none.
        string cache = IsInMemory() ? "writeback" : "none";
        return
        [
            ServerKind.Dmremap(program, Device),
            ServerKind.NbdkitFile(image, isOneThread: false),
            ServerKind.NbdkitFile(image, isOneThread: true),
            ServerKind.QemuNbd(image, "io_uring", cache),
            ServerKind.QemuNbd(image, "threads", cache),
        ];
    }

    private bool IsInMemory() => new DriveInfo(folder).DriveFormat == "tmpfs";

    private void CreateDevice(string main)
    {
        string spare = Path.Combine(folder, "spare");
        RunQuietly(program, mayFail: true, "delete", Device, "--yes");
        File.Delete(spare);
        RunQuietly(
            program, mayFail: false, "create", Device, "--main", main, "--spare", spare, "--spare-size",
            $"{SpareMib}M", "--yes");
    }

    /// <summary>In full: the first write into a hole would measure the file system.</summary>
    private static void WriteImage(string path)
    {
        byte[] block = new byte[1 << 20];
        Random random = new(1);
        using FileStream file = File.Create(path);
        for (int i = 0; i < ImageMib; i++)
        {
            random.NextBytes(block);
            file.Write(block);
        }
        file.Flush(flushToDisk: true);
    }

    internal static void RunQuietly(string program, bool mayFail, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        string errors = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0 && !mayFail)
        {
            throw new InvalidDataException($"{program} {string.Join(' ', arguments)}: {errors}");
        }
    }
}
