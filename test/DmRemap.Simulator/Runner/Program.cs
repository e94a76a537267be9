using System;
using System.Diagnostics;
using System.IO;
using System.Security.Cryptography;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Runner;

/// <summary>
/// What a run says goes to stderr; the last line of stdout, alone, is the sum. Exit code 1: a promise was
/// broken; 2: the arguments make no sense.
/// </summary>
internal static class Program
{
    private static int Main(string[] arguments)
    {
        if (RunOptions.Parse(arguments, out string reason) is not RunOptions options)
        {
            Console.Error.WriteLine(reason);
            return 2;
        }
        if (options.Only is ulong seed)
        {
            return Replay(seed, options);
        }
        SeedRunner runner = new(options, outcome => Report(outcome, options));
        long began = Stopwatch.GetTimestamp();
        if (options.RegressionFile is string file)
        {
            RunRegressions(runner, file);
        }
        if (options.Seeds > 0 || options.Minutes > 0)
        {
            ulong first = options.From ?? RandomSeed();
            Console.Error.WriteLine($"fresh seeds from {first:x} on");
            TimeSpan time = options.Minutes > 0
                ? TimeSpan.FromMinutes(options.Minutes)
                : TimeSpan.FromDays(365);
            runner.Run(first, options.Seeds > 0 ? options.Seeds : long.MaxValue, time);
        }
        double seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
        Console.Error.WriteLine(runner.Totals.Details(seconds, options.Threads));
        Console.Out.WriteLine(runner.Totals.LastLine());
        return runner.Totals.Violations == 0 ? 0 : 1;
    }

    /// <summary>
    /// As it was, event by event where that is asked for; and a second time, with the same trace.
    /// </summary>
    private static int Replay(ulong seed, RunOptions options)
    {
        Workshop workshop = new();
        TextWriter? printer = options.PrintsTrace ? Console.Error : null;
        Simulation simulation = new(seed, options.Allowed, workshop, new World.Trace(printer));
        Console.Error.WriteLine(simulation.Config.Describe());
        Outcome outcome = simulation.Run();
        Outcome again = new Simulation(seed, options.Allowed, workshop, new World.Trace(null)).Run();
        if (again.TraceHash != outcome.TraceHash)
        {
            Violation different = new("determinism", "the second run was another one");
            outcome = outcome with { Broken = different };
        }
        Console.Error.WriteLine($"trace {outcome.TraceHash:x16}, {outcome.Events} events");
        if (outcome.Broken is Exception broken)
        {
            Console.Error.WriteLine(broken);
        }
        Totals totals = new();
        totals.Add(outcome);
        Console.Out.WriteLine(totals.LastLine());
        return outcome.Broken is null ? 0 : 1;
    }

    private static void RunRegressions(SeedRunner runner, string file)
    {
        Workshop workshop = new();
        foreach (RegressionSeed regression in RegressionList.Read(file))
        {
            Outcome outcome = runner.RunOne(regression.Seed, workshop);
            string verdict = outcome.Broken is null ? "ok    " : "FAILED";
            Console.Error.WriteLine($"{verdict} {regression.Seed:x} {regression.Name}: {regression.Why}");
        }
    }

    private static void Report(Outcome outcome, RunOptions options)
    {
        Exception broken = outcome.Broken!;
        string what = broken is Violation ? broken.Message : broken.ToString();
        Console.Error.WriteLine($"VIOLATION {what}");
        Console.Error.WriteLine($"  replay with: ./sim.sh --seed {outcome.Seed:x}{options.AlsoText}");
    }

    private static ulong RandomSeed()
    {
        Span<byte> bytes = stackalloc byte[8];
        RandomNumberGenerator.Fill(bytes);
        // Short enough to be typed, and leaves room to count on.
        return BitConverter.ToUInt64(bytes) >> 16;
    }
}
