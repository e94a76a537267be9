using System;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Text.Json;

namespace DmRemap.Benchmarks.Serving;

/// <summary>fio's nbd engine (libnbd) as the client: what people measure with.</summary>
internal static class FioClient
{
    public static Measured Run(string socketPath, Workload workload, TimeSpan duration)
    {
        using Process fio = Process.Start(new ProcessStartInfo("fio",
        [
            "--name=load", "--ioengine=nbd", $"--uri=nbd+unix:///?socket={socketPath}",
            $"--rw={workload.Kind}", $"--bs={Number(workload.BlockBytes)}",
            $"--iodepth={Number(workload.Depth)}", "--time_based",
            $"--runtime={Number((int)duration.TotalSeconds)}", "--randseed=1", "--output-format=json",
        ])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        }) ?? throw new InvalidDataException("fio did not start");
        string errors = "";
        fio.ErrorDataReceived += (_, line) => errors += line.Data + "\n";
        fio.BeginErrorReadLine();
        string output = fio.StandardOutput.ReadToEnd();
        fio.WaitForExit();
        if (fio.ExitCode != 0)
        {
            throw new InvalidDataException($"fio failed with {fio.ExitCode}: {errors}{output}");
        }
        int begins = output.IndexOf('{', StringComparison.Ordinal);
        using JsonDocument document = JsonDocument.Parse(output[begins..]);
        return Parse(document.RootElement.GetProperty("jobs")[0], workload);
    }

    /// <summary>A mix: requests add up, and the latencies of the slower side count.</summary>
    private static Measured Parse(JsonElement job, Workload workload)
    {
        Measured reads = ParseSide(job.GetProperty("read"));
        Measured writes = ParseSide(job.GetProperty("write"));
        if (workload.IsWrite || reads.RequestsPerSecond == 0)
        {
            return writes;
        }
        return writes.RequestsPerSecond == 0 ? reads : new Measured(
            reads.RequestsPerSecond + writes.RequestsPerSecond,
            Math.Max(reads.P50Us, writes.P50Us),
            Math.Max(reads.P99Us, writes.P99Us),
            Math.Max(reads.P999Us, writes.P999Us),
            0);
    }

    private static Measured ParseSide(JsonElement side)
    {
        JsonElement latency = side.GetProperty("clat_ns");
        return latency.TryGetProperty("percentile", out JsonElement percentiles)
            ? new Measured(
                side.GetProperty("iops").GetDouble(),
                percentiles.GetProperty("50.000000").GetDouble() / 1000,
                percentiles.GetProperty("99.000000").GetDouble() / 1000,
                percentiles.GetProperty("99.900000").GetDouble() / 1000,
                0)
            : default;
    }

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
