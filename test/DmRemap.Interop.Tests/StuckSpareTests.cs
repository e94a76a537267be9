using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// A spare's server is stopped (SIGSTOP) while a record is on its way to it, as a disk that hangs: only what
/// depends on that record waits, and not longer than the deadline of metadata; `status` says what is stuck;
/// `stop` answers in time; and the next start finds one content or the other, and always the same.
/// </summary>
public sealed class StuckSpareTests
{
    private const string Name = DeviceUnderTest.Name;
    private const int Unit = DeviceUnderTest.UnitBytes;
    private const long MiB = DeviceUnderTest.MiB;

    /// <summary>64 units that no longer take a write.</summary>
    private const string BadSectors = "1024-1535 write";
    private const long BadFrom = 1024 * 512;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(5);

    [Fact]
    public async Task Export_stuck_in_a_commit_delays_only_what_depends_on_it()
    {
        RequiredTools.SkipUnless("nbdkit");
        byte[] model = Content.Of(MiB, version: 0);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(model);
        NbdKit spare = await StartSlowSpareAsync(device);
        (await device.RunAsync(
            "create", Name, "--main", device.MainPath, "--spare", spare.Uri, "--yes")).Expect(0);
        await AssertOnlyDependentsWaitAsync(
            device, new StuckSpare(device, 0, spare.ProcessId), spare.EndAndStartAgainAsync);
    }

    [Theory]
    [InlineData(DeviceUnderTest.Uring)]
    [InlineData(DeviceUnderTest.Epoll)]
    public async Task File_stuck_in_a_commit_delays_only_what_depends_on_it(string backend)
    {
        RequiredTools.SkipUnlessFuse();
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        device.Backend = backend;
        // Both behind FUSE: a spare through the page cache goes with such a main device only.
        await using SlowDisk main = await SlowDisk.StartAsync(device, MiB, "main");
        await using SlowDisk spare = await SlowDisk.StartAsync(
            device, DeviceUnderTest.SpareBytesDefault, "spare", writesTake: "100ms");
        (await device.RunAsync(
            "create", Name, "--main", main.Path, "--spare", spare.Path, "--yes", "--force")).Expect(0);
        await AssertOnlyDependentsWaitAsync(device, new StuckSpare(device, 0, spare.MediumId));
    }

    [Fact]
    public async Task One_of_two_spares_that_is_stuck_is_left_out_and_taken_in_again_by_the_next_start()
    {
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(MiB, version: 0));
        NbdKit first = await StartSlowSpareAsync(device);
        (await device.RunAsync(
            "create", Name, "--main", device.MainPath, "--spare", first.Uri, "--spare", device.SparePath,
            "--yes", "--force")).Expect(0);
        StuckSpare stuck = new(device, 0, first.ProcessId);
        await device.ServeAsync(BadSectors);
        byte[] content = Content.Of(Unit, version: 2);
        long[] written = [.. Enumerable.Range(40, 8).Select(i => BadFrom + ((long)i * Unit))];
        try
        {
            using NbdTestClient client = await device.ConnectAsync();
            StuckWrite write = await stuck.HoldInCommitAsync(client, BadFrom, content);
            Assert.Equal(0u, await write.Answer);
            Assert.InRange(write.Elapsed.Elapsed, s_deadline, s_deadline + MachineLoad.Allow(1000, 6000));
            written = [write.Offset, .. written];
            using ControlTestClient control = await ControlTestClient.ConnectAsync(device);
            (JsonElement status, _) = await control.MeasureAsync("status");
            Assert.Equal(["inactive", "active"], StatesOf(status));
            Assert.Contains("degraded", ConditionsOf(status));
            Assert.Contains("unanswering", ConditionsOf(status));
            Assert.Equal(1, status.GetProperty("metadata").GetProperty("activeCopies").GetInt32());
            Assert.InRange(status.GetProperty("metadata").GetProperty("stuck").GetInt32(), 1, 20);
            // The next ones do not wait for it again.
            foreach (long offset in written[1..])
            {
                Stopwatch elapsed = Stopwatch.StartNew();
                Assert.Equal(0u, await client.WriteAsync(offset, content));
                Assert.InRange(elapsed.Elapsed, TimeSpan.Zero, MachineLoad.Allow(500, 3000));
            }
            await AssertStopInTimeAsync(control);
        }
        finally
        {
            await stuck.ReleaseAsync();
        }
        Assert.Equal(7, await device.Server.WaitForEndAsync(s_patience));
        await first.EndAndStartAgainAsync();
        await device.ServeAsync(BadSectors);
        JsonElement after = await device.StatusAsync();
        Assert.Equal(["active", "active"], StatesOf(after));
        Assert.Equal(2, after.GetProperty("metadata").GetProperty("activeCopies").GetInt32());
        using NbdTestClient reader = await device.ConnectAsync();
        foreach (long offset in written)
        {
            byte[] read = new byte[Unit];
            Assert.Equal(0u, await reader.ReadAsync(offset, read));
            Content.AssertEqual(content, read, $"the unit at {offset}");
        }
        await device.StopAsync();
    }

    /// <summary>Slow enough for a commit to be seen in flight.</summary>
    private static Task<NbdKit> StartSlowSpareAsync(DeviceUnderTest device) =>
        NbdKit.StartAsync(
            device, "spare", new byte[DeviceUnderTest.SpareBytesDefault], "--filter=delay", "wdelay=100ms");

    /// <param name="device">Not served yet.</param>
    /// <param name="spare">Its only one.</param>
    /// <param name="startAgain">Makes a server of it that is not what was stopped and woken.</param>
    private static async Task AssertOnlyDependentsWaitAsync(
        DeviceUnderTest device, StuckSpare spare, Func<Task>? startAgain = null)
    {
        byte[] content = Content.Of(Unit, version: 2);
        StuckWrite write;
        await device.ServeAsync(BadSectors);
        try
        {
            long before = await CountHealthyWritesAsync(device);
            using NbdTestClient client = await device.ConnectAsync();
            write = await spare.HoldInCommitAsync(client, BadFrom, content);
            long during = await CountHealthyWritesAsync(device);
            Assert.InRange(during, MachineLoad.IsBusy() ? 1 : before / 2, long.MaxValue);
            using ControlTestClient control = await ControlTestClient.ConnectAsync(device);
            JsonElement io = (await QuickStatusAsync(control)).GetProperty("spares")[0].GetProperty("io");
            Assert.InRange(io.GetProperty("inFlight").GetInt64(), 1, 10);
            Assert.InRange(io.GetProperty("oldestMs").GetInt64(), 1000, 60_000);
            string text = (await device.RunAsync("status", Name)).Expect(0).Output;
            Assert.Matches("waits for [0-9]+ operations?, oldest I/O: [0-9]+ s", text);
            // Its own deadline, and an error: nobody knows whether the record will be there after a crash.
            Assert.Equal(NbdTestClient.ErrorIo, await write.Answer);
            Assert.InRange(write.Elapsed.Elapsed, s_deadline, s_deadline + MachineLoad.Allow(1000, 6000));
            JsonElement status = await QuickStatusAsync(control);
            Assert.InRange(status.GetProperty("metadata").GetProperty("stuck").GetInt32(), 1, 20);
            Assert.InRange(status.GetProperty("metadata").GetProperty("timeOuts").GetInt64(), 1, 20);
            Assert.Contains("metadata-unavailable", ConditionsOf(status));
            Assert.InRange(await CountHealthyWritesAsync(device), 1, long.MaxValue);
            await AssertStopInTimeAsync(control);
        }
        finally
        {
            await spare.ReleaseAsync();
        }
        Assert.Equal(7, await device.Server.WaitForEndAsync(s_patience));
        await (startAgain?.Invoke() ?? Task.CompletedTask);
        await AssertOneContentForEverAsync(device, write.Offset, content);
    }

    /// <summary>The old content or the new one: which, is settled by the first read.</summary>
    private static async Task AssertOneContentForEverAsync(
        DeviceUnderTest device, long offset, byte[] content)
    {
        byte[] old = Content.Of(MiB, version: 0)[(int)offset..((int)offset + Unit)];
        List<byte[]> reads = [];
        for (int start = 0; start < 2; start++)
        {
            await device.ServeAsync(BadSectors);
            using NbdTestClient client = await device.ConnectAsync();
            for (int i = 0; i < 2; i++)
            {
                reads.Add(new byte[Unit]);
                Assert.Equal(0u, await client.ReadAsync(offset, reads[^1]));
                Content.AssertEqual(reads[0], reads[^1], $"start {start}, read {i}");
            }
            if (start == 0)
            {
                // A start after this one must not depend on what a good stop leaves.
                await device.KillAsync();
            }
        }
        bool isNew = reads[0].AsSpan().SequenceEqual(content);
        Assert.True(
            isNew || reads[0].AsSpan().SequenceEqual(old), "neither the old content nor the new one");
        using NbdTestClient writer = await device.ConnectAsync();
        byte[] next = Content.Of(Unit, version: 3);
        Assert.Equal(0u, await writer.WriteAsync(offset, next));
        Assert.Equal(0u, await writer.ReadAsync(offset, reads[0]));
        Content.AssertEqual(next, reads[0], "after everything");
        await device.StopAsync();
    }

    /// <summary>In one second, by four clients that wait for each answer.</summary>
    private static async Task<long> CountHealthyWritesAsync(DeviceUnderTest device)
    {
        Stopwatch elapsed = Stopwatch.StartNew();
        long[] counts = await Task.WhenAll(Enumerable.Range(0, 4).Select(async i =>
        {
            using NbdTestClient client = await device.ConnectAsync();
            byte[] content = new byte[Unit];
            long count = 0;
            for (; elapsed.Elapsed < TimeSpan.FromSeconds(1); count++)
            {
                long offset = ((count % 16 * 4) + i) * Unit;
                Content.Fill(content, offset, version: 0);
                Assert.Equal(0u, await client.WriteAsync(offset, content));
            }
            return count;
        }));
        return counts.Sum();
    }

    /// <summary>The best of a few: the machine may be busy with something else.</summary>
    private static async Task<JsonElement> QuickStatusAsync(ControlTestClient control)
    {
        TimeSpan best = TimeSpan.MaxValue;
        JsonElement status = default;
        for (int i = 0; i < 10; i++)
        {
            (status, TimeSpan elapsed) = await control.MeasureAsync("status");
            best = elapsed < best ? elapsed : best;
        }
        Assert.InRange(best, TimeSpan.Zero, MachineLoad.Allow(100, 1000));
        return status;
    }

    private static async Task AssertStopInTimeAsync(ControlTestClient control)
    {
        (JsonElement report, TimeSpan elapsed) =
            await control.MeasureAsync("stop", "{\"deadlineSeconds\":1}");
        Assert.InRange(
            elapsed, TimeSpan.FromSeconds(0.9), TimeSpan.FromSeconds(1) + MachineLoad.Allow(50, 1000));
        Assert.False(report.GetProperty("clean").GetBoolean());
    }

    private static string[] StatesOf(JsonElement status) =>
        [.. status.GetProperty("spares").EnumerateArray().Select(s => s.GetProperty("state").GetString()!)];

    private static string[] ConditionsOf(JsonElement status) =>
        [.. status.GetProperty("conditions").EnumerateArray().Select(c => c.GetString()!)];
}
