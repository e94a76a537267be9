using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>Again and again: nothing is left behind, in files or in a process.</summary>
public sealed class LifeCycleTests
{
    private const string Name = DeviceUnderTest.Name;
    private const int Unit = DeviceUnderTest.UnitBytes;

    /// <summary>
    /// 20 rounds, 200 with DMREMAP_LONG=1: each starts five programs. A thousand rounds in one process are
    /// LifeCycleLeakTests.
    /// </summary>
    [Fact]
    public async Task Create_serve_remap_stop_delete_leaves_no_file_and_no_process()
    {
        bool isLong = Environment.GetEnvironmentVariable("DMREMAP_LONG") == "1";
        byte[] content = Content.Of(DeviceUnderTest.MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(content);
        for (int round = 0; round < (isLong ? 200 : 20); round++)
        {
            (await device.RunAsync(
                "create", Name, "--main", device.MainPath, "--spare", device.SparePath, "--yes",
                "--force")).Expect(0);
            await device.ServeAsync("800-807 write");
            int process = device.Server.Id;
            using (NbdTestClient client = await device.ConnectAsync())
            {
                Assert.Equal(0u, await client.WriteAsync(800 * 512, content.AsMemory(0, Unit)));
            }
            Assert.Equal(1, await device.SpareUnitsUsedAsync());
            await device.StopAsync();
            (await device.RunAsync("delete", Name, "--yes")).Expect(0);
            Assert.False(Directory.Exists($"/proc/{process}"), $"round {round}: process {process} lives");
            Assert.Empty(Directory.GetFileSystemEntries(device.RunFolder));
            Assert.Empty(Directory.GetFileSystemEntries(device.ConfigFolder));
            // A spare of ours is never taken again, whatever is said: a new one.
            File.Delete(device.SparePath);
            DeviceUnderTest.WriteZeros(device.SparePath, DeviceUnderTest.SpareBytesDefault);
        }
    }

    [Fact]
    public async Task Serving_process_under_load_keeps_its_threads_descriptors_and_mappings()
    {
        bool isLong = Environment.GetEnvironmentVariable("DMREMAP_LONG") == "1";
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(
            Content.Of(DeviceUnderTest.MiB), "0-2047 write");
        // What is made once, for the first of each kind.
        await RunRoundsAsync(device, 30);
        Usage before = Usage.Of(device.Server.Id);
        int rounds = isLong ? 1000 : 200;
        await RunRoundsAsync(device, rounds);
        // The runtime breathes: threads of its pool, stacks and heaps come and go. A leak has one a round.
        Usage allowed = new(
            before.Threads + (rounds / 5), before.Descriptors, before.Mappings + (rounds / 2));
        Usage after = await Usage.WithinAsync(device.Server.Id, allowed);
        Assert.InRange(after.Descriptors, 0, allowed.Descriptors);
        Assert.InRange(after.Threads, 0, allowed.Threads);
        Assert.InRange(after.Mappings, 0, allowed.Mappings);
        Assert.Equal((0, 0), await WhoIsLeftAsync(device));
        await device.StopAsync();
    }

    /// <summary>As soon as it is nobody, or 10 s later: the last connection leaves in its own time.</summary>
    private static async Task<(long InFlight, int Clients)> WhoIsLeftAsync(DeviceUnderTest device)
    {
        Stopwatch watch = Stopwatch.StartNew();
        for (; ; )
        {
            JsonElement status = await device.StatusAsync();
            JsonElement primary = status.GetProperty("primary").GetProperty("io");
            (long InFlight, int Clients) left =
                (primary.GetProperty("inFlight").GetInt64(), status.GetProperty("clients").GetInt32());
            if (left == (0, 0) || watch.Elapsed > TimeSpan.FromSeconds(10))
            {
                return left;
            }
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }
    }

    /// <summary>Connect, write, suspend, hold a write, resume, leave.</summary>
    private static async Task RunRoundsAsync(DeviceUnderTest device, int rounds)
    {
        using ControlTestClient control = await ControlTestClient.ConnectAsync(device);
        byte[] content = Content.Of(Unit, version: 2);
        for (int round = 0; round < rounds; round++)
        {
            using NbdTestClient client = await device.ConnectAsync();
            await control.AskAsync("suspend");
            Task<uint> held = client.WriteAsync(round % 256 * Unit, content);
            if (round % 3 > 0)
            {
                await control.AskAsync("resume");
                Assert.Equal(0u, await held);
            }
            else
            {
                // Gone while it is held.
                client.Dispose();
                await Assert.ThrowsAnyAsync<Exception>(() => held);
                await control.AskAsync("resume");
            }
        }
        await control.AskAsync("status");
    }

    private sealed record Usage(int Threads, int Descriptors, int Mappings)
    {
        /// <summary>As soon as that is allowed, or 10 s later: connections close in a while.</summary>
        public static async Task<Usage> WithinAsync(int process, Usage allowed)
        {
            Stopwatch watch = Stopwatch.StartNew();
            for (; ; )
            {
                Usage now = Of(process);
                bool isAllowed = now.Threads <= allowed.Threads && now.Descriptors <= allowed.Descriptors
                    && now.Mappings <= allowed.Mappings;
                if (isAllowed || watch.Elapsed > TimeSpan.FromSeconds(10))
                {
                    return now;
                }
                await Task.Delay(50, TestContext.Current.CancellationToken);
            }
        }

        public static Usage Of(int process)
        {
            List<string> sockets = [.. Directory.GetFileSystemEntries($"/proc/{process}/fd")];
            return new Usage(
                Directory.GetDirectories($"/proc/{process}/task").Length,
                sockets.Count(path => File.Exists(path) || new FileInfo(path).LinkTarget is not null),
                File.ReadAllLines($"/proc/{process}/maps").Length);
        }
    }
}
