using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net.Sockets;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>SIGKILL at any moment, and start again.</summary>
public sealed class KillTests
{
    private const int Unit = DeviceUnderTest.UnitBytes;
    private const int Units = 512;
    private const int Writers = 4;
    private const int Rounds = 20;
    private const int RoundsLong = 400;

    [Fact]
    public async Task Kill_under_load_loses_nothing_that_was_acknowledged()
    {
        const int Seed = 4711;
        bool isLong = System.Environment.GetEnvironmentVariable("DMREMAP_LONG") == "1";
        Random random = new(Seed);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(Units * Unit, version: 0));
        await device.CreateAsync();
        History history = new(Units);
        List<string> faults = [];
        for (int round = 0; round < (isLong ? RoundsLong : Rounds); round++)
        {
            // The disk gets worse from round to round, so that remaps are being made when the end comes.
            int first = random.Next(0, Units * 8 - 40);
            faults.Add($"{first}-{first + random.Next(0, 40)} write");
            await device.ServeAsync([.. faults]);
            await VerifyAsync(device, history, $"seed {Seed}, round {round}");
            int killAfter = random.Next(20, 400);
            Task[] load =
                [.. Enumerable.Range(0, Writers).Select(i => WriteAsync(device, history, i, round))];
            Task enough = history.WaitForAcknowledgementsAsync(killAfter);
            await Task.WhenAny(
                [enough, Task.Delay(Command.TimeMax, TestContext.Current.CancellationToken), .. load]);
            bool reached = enough.IsCompleted;
            await device.KillAsync();
            await Task.WhenAll(load);
            Assert.True(reached,
                $"seed {Seed}, round {round}: fewer than {killAfter} writes were acknowledged");
        }

        await device.ServeAsync([.. faults]);
        await VerifyAsync(device, history, $"seed {Seed}, at the end");
        Assert.NotEqual(0, await device.StatusNumberAsync("remaps"));
        await device.StopAsync();
    }

    [Fact]
    public async Task A_second_serve_of_the_same_device_ends_with_4()
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(DeviceUnderTest.MiB));
        CommandResult second = await device.RunAsync("serve", DeviceUnderTest.Name);
        second.Expect(4);
        Assert.Contains(DeviceUnderTest.Name, second.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("ready", second.Output, StringComparison.Ordinal);
        // The first one does not mind.
        using NbdTestClient client = await device.ConnectAsync();
        Assert.Equal(0u, await client.ReadAsync(0, new byte[Unit]));
        await device.StopAsync();
    }

    [Theory]
    [InlineData("TERM")]
    [InlineData("INT")]
    public async Task A_signal_to_end_is_a_clean_stop(string signal)
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(DeviceUnderTest.MiB));
        using NbdTestClient client = await device.ConnectAsync();
        await device.Server.SignalAsync(signal);
        Assert.Equal(0, await device.Server.WaitForEndAsync(TimeSpan.FromSeconds(20)));
        Assert.False(File.Exists(device.SocketPath));
    }

    /// <summary>`timeout` and others signal the process and its group: the same signal comes twice.</summary>
    [Fact]
    public async Task The_same_signal_twice_at_once_is_a_clean_stop_too()
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(DeviceUnderTest.MiB));
        await device.Server.SignalAsync("TERM");
        await device.Server.SignalAsync("TERM");
        Assert.Equal(0, await device.Server.WaitForEndAsync(TimeSpan.FromSeconds(20)));
    }

    [Theory]
    [InlineData(DeviceUnderTest.Uring)]
    [InlineData(DeviceUnderTest.Epoll)]
    public async Task A_new_start_waits_until_the_kernel_has_let_go_of_a_killed_ones_write(string backend)
    {
        RequiredTools.SkipUnlessFuse();
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        device.Backend = backend;
        DeviceUnderTest.WriteZeros(device.SparePath, DeviceUnderTest.SpareBytesDefault);
        await using SlowDisk disk = await SlowDisk.StartAsync(device, 16 * DeviceUnderTest.MiB);
        (await device.RunAsync(
            "create", DeviceUnderTest.Name, "--main", disk.Path, "--spare", device.SparePath,
            "--yes")).Expect(0);
        await device.ServeAsync();
        using (NbdTestClient client = await device.ConnectAsync())
        {
            Assert.Equal(0u, await client.WriteAsync(0, Content.Of(Unit, version: 1)));
            await disk.HoldAsync();
            await client.SendAsync(NbdTestClient.Request(NbdTestClient.CommandWrite, 0, 99, 0, Unit));
            await client.SendAsync(Content.Of(Unit, version: 2));
            Assert.True(await client.IsSilentForAsync(TimeSpan.FromSeconds(1)), "the disk was not held");
        }

        device.Server.KillNow();
        RunningProgram second = device.StartServe();
        await second.WaitForLineAsync(
            line => line.Contains("wait", StringComparison.OrdinalIgnoreCase)
                && line.Contains(disk.Path, StringComparison.Ordinal), TimeSpan.FromSeconds(20));
        Assert.False(File.Exists(device.SocketPath) && await AcceptsAsync(device),
            "served while the old write was out");
        await disk.ReleaseAsync();
        await DeviceUnderTest.WaitUntilReadyAsync(second);
        await AssertNothingChangesLaterAsync(device);
        await device.StopAsync();
    }

    private static async Task<bool> AcceptsAsync(DeviceUnderTest device)
    {
        try
        {
            using NbdTestClient client = await device.ConnectAsync();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <summary>
    /// What the new instance writes stays: the old one's write has landed before it, or never.
    /// </summary>
    private static async Task AssertNothingChangesLaterAsync(DeviceUnderTest device)
    {
        using NbdTestClient client = await device.ConnectAsync();
        byte[] newest = Content.Of(Unit, version: 3);
        Assert.Equal(0u, await client.WriteAsync(0, newest));
        Assert.Equal(0u, await client.FlushAsync());
        byte[] read = new byte[Unit];
        for (int i = 0; i < 50; i++)
        {
            Assert.Equal(0u, await client.ReadAsync(0, read));
            Content.AssertEqual(newest, read, "the first unit");
        }
    }

    /// <summary>Writes units of one's own, one after the other, until the server is gone.</summary>
    private static async Task WriteAsync(DeviceUnderTest device, History history, int writer, int round)
    {
        byte[] content = new byte[Unit];
        Random random = new(round * Writers + writer);
        try
        {
            using NbdTestClient client = await device.ConnectAsync();
            while (true)
            {
                int unit = random.Next(0, Units / Writers) * Writers + writer;
                long version = history.Begin(unit);
                Content.Fill(content, unit * (long)Unit, version);
                uint error = await client.WriteAsync(
                    unit * (long)Unit, content, random.Next(0, 2) == 0 ? NbdTestClient.FlagFua : (ushort)0);
                Assert.Equal(0u, error);
                history.Acknowledge(unit, version);
            }
        }
        catch (Exception error) when (error is IOException or SocketException)
        {
            // Killed: the write that was under way may or may not have happened, and history knows that.
        }
    }

    private static async Task VerifyAsync(DeviceUnderTest device, History history, string when)
    {
        using NbdTestClient client = await device.ConnectAsync();
        byte[] read = new byte[Unit];
        byte[] expected = new byte[Unit];
        for (int unit = 0; unit < Units; unit++)
        {
            uint error = await client.ReadAsync(unit * (long)Unit, read);
            Assert.True(error == 0, $"{when}: unit {unit} reads with error {error}");
            // What was acknowledged last, or the one write that was under way when the end came.
            long? seen = null;
            foreach (long version in new[] { history.Acknowledged(unit), history.Begun(unit) })
            {
                Content.Fill(expected, unit * (long)Unit, version);
                seen = expected.AsSpan().SequenceEqual(read) ? version : seen;
            }

            Assert.True(seen is not null, $"{when}: unit {unit} is not version {history.Acknowledged(unit)}");
            // Once read it must stay.
            history.Settle(unit, seen.Value);
        }
    }
}
