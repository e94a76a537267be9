using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Benchmarks.Metadata;

/// <summary>
/// `./bench.sh metadata`: what a table of a size costs: to open, in memory, while a checkpoint is made, to
/// stop. Each figure beside its goal; a Markdown table on standard output.
/// </summary>
internal static class MetadataMeasurements
{
    private const int Repeats = 5;

    /// <summary>Arguments: a directory with room for 6 GB, and how many remaps, several times.</summary>
    public static void Run(string[] arguments)
    {
        string directory = arguments[0];
        long[] sizes = arguments.Length > 1
            ? [.. arguments[1..].Select(text => long.Parse(text, CultureInfo.InvariantCulture))]
            : [1_000, 1_000_000];
        Console.Out.WriteLine("| remaps | mode | open to ready, s | checkpoint, s | longest turn while it is "
            + "made, ms | stop, ms | table, bytes a remap |");
        Console.Out.WriteLine("|--:|---|--:|--:|--:|--:|--:|");
        foreach (long remaps in sizes)
        {
            Measure(Path.Combine(directory, $"spare-{remaps}"), remaps);
        }
    }

    private static void Measure(string path, long remaps)
    {
        // A unit and two and a half cells for each remap, and something to spare.
        BenchSet.MakeFile(path, (remaps * 5200) + (64L << 20));
        try
        {
            using (BenchSet set = new(path))
            {
                set.Format();
                set.Recover(2);
                set.Fill(remaps);
                set.Stop();
            }
            List<double> opens = [];
            List<double> stops = [];
            string mode = "";
            double bytesEach = 0;
            for (int i = 0; i < Repeats; i++)
            {
                using BenchSet set = new(path);
                mode = set.IsDirect ? "direct" : "page cache";
                opens.Add(TimeOf(() => set.Recover((ulong)(100 + i))));
                RemapTable table = set.Recovered.Table;
                bytesEach = (double)table.MemoryBytes / table.Count;
                stops.Add(TimeOf(set.Stop));
            }
            (double seconds, double longestTurn) = MeasureCheckpoint(path);
            Console.Out.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"| {remaps:n0} | {mode} | {Median(opens):f3} | {seconds:f2} | {longestTurn * 1e3:f2} |"
                    + $" {Median(stops) * 1e3:f1} | {bytesEach:f1} |"));
        }
        finally
        {
            File.Delete(path);
        }
    }

    /// <summary>
    /// Fill the ring until a checkpoint begins; while it runs, a timer on the loop says by how much it is
    /// called too late.
    /// </summary>
    private static (double Seconds, double LongestTurn) MeasureCheckpoint(string path)
    {
        using BenchSet set = new(path);
        set.Recover(999);
        LatenessProbe probe = new(set.Loop);
        long before = set.Recovered.Store.CheckpointsDone;
        long began = Stopwatch.GetTimestamp();
        bool isSeen = false;
        while (set.Recovered.Store.CheckpointsDone == before)
        {
            set.Touch();
            if (!isSeen && set.Recovered.Store.JournalSlotsUsed * 2 >= set.Recovered.Store.JournalSlots)
            {
                isSeen = true;
                began = Stopwatch.GetTimestamp();
                set.OnLoop(probe.Start);
            }
        }
        double seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
        set.OnLoop(probe.Stop);
        set.Stop();
        return (seconds, probe.WorstSeconds);
    }

    private static double TimeOf(Action action)
    {
        long began = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(began).TotalSeconds;
    }

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

    /// <summary>A timer that is due every 200 µs, and how much too late it came at worst.</summary>
    private sealed class LatenessProbe : ITimerOwner
    {
        private static readonly Duration s_period = new(200_000);

        private readonly IEventLoop _loop;
        private readonly LoopTimer _timer;
        private long _last;

        public LatenessProbe(IEventLoop loop)
        {
            _loop = loop;
            _timer = new LoopTimer(this);
        }

        public double WorstSeconds { get; private set; }

        public void Start()
        {
            _last = Stopwatch.GetTimestamp();
            _loop.Schedule(_timer, _loop.Now + s_period);
        }

        public void Stop() => _loop.Cancel(_timer);

        public void OnTimer(LoopTimer timer)
        {
            double late = Stopwatch.GetElapsedTime(_last).TotalSeconds - (s_period.Nanoseconds / 1e9);
            WorstSeconds = Math.Max(WorstSeconds, late);
            Start();
        }
    }
}
