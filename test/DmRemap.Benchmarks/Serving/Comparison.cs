using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;

namespace DmRemap.Benchmarks.Serving;

/// <summary>A workload and what is wanted of it: at least so many times what a competitor does.</summary>
/// <param name="Workload">What is asked.</param>
/// <param name="Competitor">Of these, the better one is the base: names begin with it.</param>
/// <param name="Ratio">Of requests a second.</param>
internal sealed record Goal(Workload Workload, string Competitor, double Ratio);

/// <summary>
/// Servers take turns, all workloads of one in each turn: A B C A B C. Each round pairs what ran within
/// minutes of each other, so that a machine that is slow for a while is slow for all.
/// </summary>
/// <param name="servers">The first is compared with the others.</param>
/// <param name="workloads">Of each turn, in this order.</param>
/// <param name="warmUp">
/// Not measured, at the begin of each turn: memory is touched then that a server has not used before, and
/// code has run that is compiled as it runs.
/// </param>
internal sealed class Comparison(
    IReadOnlyList<ServerKind> servers, IReadOnlyList<Workload> workloads, Workload warmUp)
{
    private readonly Dictionary<(string Server, string Workload), List<Measured>> _runs = [];

    public IReadOnlyList<ServerKind> Servers => servers;

    public IReadOnlyList<Workload> Workloads => workloads;

    public IReadOnlyList<Measured> RunsOf(ServerKind server, Workload workload) =>
        _runs.GetValueOrDefault((server.Name, workload.Name)) ?? [];

    /// <param name="folder">For the sockets.</param>
    /// <param name="rounds">How often each server has its turn.</param>
    /// <param name="duration">Of each workload.</param>
    /// <param name="say">Told of the progress.</param>
    public void Run(string folder, int rounds, TimeSpan duration, Action<string> say)
    {
        for (int round = 1; round <= rounds; round++)
        {
            foreach (ServerKind kind in servers)
            {
                say($"round {round} of {rounds}: {kind.Name}");
                using ServerProcess server = ServerProcess.Start(kind, Path.Combine(folder, "nbd.sock"));
                BatchingClient.Run(server.SocketPath, warmUp, TimeSpan.FromSeconds(1));
                foreach (Workload workload in workloads)
                {
                    Add(kind, workload, MeasureOne(server, workload, duration));
                }
            }
        }
    }

    /// <summary>
    /// By round: how many times the requests of the best of the base servers the first server answered.
    /// </summary>
    public double[] RatiosAgainst(Workload workload, string competitor) => Pair(
        RunsOf(servers[0], workload), RunsOf(BestOf(workload, competitor), workload),
        run => run.RequestsPerSecond);

    /// <summary>The same of the 99th percentile of latency: below one is better.</summary>
    public double[] LatencyRatiosAgainst(Workload workload, string competitor) => Pair(
        RunsOf(servers[0], workload), RunsOf(BestOf(workload, competitor), workload), run => run.P99Us);

    public double MedianOf(ServerKind server, Workload workload) =>
        Quartiles.Of(RunsOf(server, workload).Select(run => run.RequestsPerSecond)).Median;

    private ServerKind BestOf(Workload workload, string competitor) => servers
        .Where(server => server.Name.StartsWith(competitor, StringComparison.Ordinal))
        .MaxBy(server => MedianOf(server, workload))!;

    private static double[] Pair(
        IReadOnlyList<Measured> ours, IReadOnlyList<Measured> theirs, Func<Measured, double> value) =>
        [.. ours.Zip(theirs, (mine, other) => value(mine) / Math.Max(value(other), 1e-9))];

    private static Measured MeasureOne(ServerProcess server, Workload workload, TimeSpan duration)
    {
        TimeSpan before = server.CpuTime;
        long began = Stopwatch.GetTimestamp();
        Measured measured = workload.Client == LoadClient.Fio
            ? FioClient.Run(server.SocketPath, workload, duration)
            : BatchingClient.Run(server.SocketPath, workload, duration);
        // Starting fio is in it; while it starts the server has nothing to do.
        double requests = measured.RequestsPerSecond
            * Math.Min(duration.TotalSeconds, Stopwatch.GetElapsedTime(began).TotalSeconds);
        double cpuUs = (server.CpuTime - before).TotalMicroseconds;
        return measured with { ServerCpuUs = cpuUs / Math.Max(requests, 1) };
    }

    private void Add(ServerKind server, Workload workload, Measured measured)
    {
        (string, string) key = (server.Name, workload.Name);
        if (!_runs.TryGetValue(key, out List<Measured>? runs))
        {
            runs = [];
            _runs.Add(key, runs);
        }
        runs.Add(measured);
    }
}

/// <summary>Of measured values; all zero where there is none.</summary>
internal readonly record struct Quartiles(double Lower, double Median, double Upper)
{
    public static Quartiles Of(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0
            ? default
            : new Quartiles(At(sorted, 0.25), At(sorted, 0.5), At(sorted, 0.75));
    }

    private static double At(double[] sorted, double share)
    {
        double place = share * (sorted.Length - 1);
        int below = (int)place;
        int above = Math.Min(below + 1, sorted.Length - 1);
        return sorted[below] + ((sorted[above] - sorted[below]) * (place - below));
    }
}
