using System;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>`suspend` and `resume`, as a user and his clients see them.</summary>
public sealed class SuspendTests
{
    private const string Name = DeviceUnderTest.Name;
    private const int Unit = DeviceUnderTest.UnitBytes;
    private const uint ErrorShutdown = 108;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_while = TimeSpan.FromSeconds(1);

    [Fact]
    public async Task Suspend_holds_clients_and_resume_answers_them()
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(DeviceUnderTest.MiB));
        using NbdTestClient client = await device.ConnectAsync();
        Assert.Equal(0u, await client.WriteAsync(0, Content.Of(Unit, version: 1)));
        Assert.Contains("suspended", (await device.RunAsync("suspend", Name)).Expect(0).Output,
            StringComparison.Ordinal);
        await AssertStateAsync(device, "suspended", "quiesced");
        string before = await ReadMainAsync(device);
        await SendWriteAsync(client, 99, 0, version: 2);
        Assert.True(await client.IsSilentForAsync(s_while), "answered while suspended");
        using NbdTestClient late = await device.ConnectAsync();
        await late.SendAsync(NbdTestClient.Request(NbdTestClient.CommandRead, 0, 7, 0, Unit));
        Assert.True(await late.IsSilentForAsync(s_while), "answered while suspended");
        // Quiesced: whoever takes a copy of the disk now gets one in which nothing moves.
        Assert.Equal(before, await ReadMainAsync(device));
        (await device.RunAsync("suspend", Name)).Expect(0);
        CommandResult refused = (await device.RunAsync("remap", Name, "800-807")).Expect(1);
        Assert.Contains("DMR-DEVICE-SUSPENDED", refused.Error, StringComparison.Ordinal);
        (await device.RunAsync("resume", Name)).Expect(0);
        Assert.Equal(0u, await ReadReplyAsync(client, 99));
        Assert.Contains("was not suspended", (await device.RunAsync("resume", Name)).Expect(0).Output,
            StringComparison.Ordinal);
        await AssertStateAsync(device, "running", null);
        byte[] read = new byte[Unit];
        Assert.Equal(0u, await client.ReadAsync(0, read));
        Content.AssertEqual(Content.Of(Unit, version: 2), read, "what was held");
        await device.StopAsync();
    }

    [Fact]
    public async Task Remaps_survive_suspend_resume_and_stop()
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(DeviceUnderTest.MiB), "800-815 write");
        byte[] newest = Content.Of(2 * Unit, version: 3);
        using (NbdTestClient client = await device.ConnectAsync())
        {
            Assert.Equal(0u, await client.WriteAsync(800 * 512, newest));
            for (int round = 0; round < 3; round++)
            {
                (await device.RunAsync("suspend", Name)).Expect(0);
                Assert.Equal(2, await device.SpareUnitsUsedAsync());
                (await device.RunAsync("resume", Name)).Expect(0);
                byte[] read = new byte[newest.Length];
                Assert.Equal(0u, await client.ReadAsync(800 * 512, read));
                Content.AssertEqual(newest, read, $"round {round}");
            }
        }
        (await device.RunAsync("suspend", Name)).Expect(0);
        await device.StopAsync();
        await device.ServeAsync();
        JsonElement metadata = (await device.StatusAsync()).GetProperty("metadata");
        Assert.True(metadata.GetProperty("cleanStart").GetBoolean());
        using NbdTestClient again = await device.ConnectAsync();
        byte[] after = new byte[newest.Length];
        Assert.Equal(0u, await again.ReadAsync(800 * 512, after));
        Content.AssertEqual(newest, after, "after the restart");
        await device.StopAsync();
    }

    [Fact]
    public async Task Suspending_and_resuming_under_load_fails_and_loses_nothing()
    {
        const int Seed = 99;
        const int Writers = 3;
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(
            Content.Of(DeviceUnderTest.MiB, version: 0), "100-140 write", "600-700 write", "1500-1520 write");
        Random random = new(Seed);
        bool isEnd = false;
        long[] versions = new long[DeviceUnderTest.MiB / Unit];
        Task[] load =
            [.. Enumerable.Range(0, Writers).Select(i => WriteAsync(device, versions, i, () => isEnd))];
        using ControlTestClient control = await ControlTestClient.ConnectAsync(device);
        for (int round = 0; round < 60; round++)
        {
            string command = random.Next(2) == 0 ? "suspend" : "resume";
            JsonElement answer = await control.AskAsync(command);
            Assert.True(answer.TryGetProperty("return", out _), $"seed {Seed}, round {round}: {answer}");
            await Task.Delay(random.Next(30), TestContext.Current.CancellationToken);
            Assert.DoesNotContain(load, task => task.IsFaulted);
        }
        isEnd = true;
        await control.AskAsync("resume");
        await Task.WhenAll(load);
        Assert.True(versions.Sum() > 100, "there was no load");
        await VerifyAsync(device, versions);
        await device.StopAsync();
        await device.ServeAsync();
        await VerifyAsync(device, versions);
        await device.StopAsync();
    }

    [Fact]
    public async Task Suspend_of_a_disk_that_hangs_says_what_is_outstanding_and_resume_cancels_it()
    {
        RequiredTools.SkipUnlessFuse();
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        await using SlowDisk disk = await SlowDisk.ServeWithSlowMainAsync(device);
        using NbdTestClient client = await device.ConnectAsync();
        await disk.HoldMediumAsync();
        await SendWriteAsync(client, 1, 0, version: 2);
        Assert.True(await client.IsSilentForAsync(s_while), "the disk was not held");
        CommandResult result = (await device.RunAsync("suspend", Name, "--deadline", "0.5")).Expect(7);
        Assert.Contains("not suspended", result.Output, StringComparison.Ordinal);
        Assert.Contains("1 request in flight", result.Output, StringComparison.Ordinal);
        Assert.Contains(disk.Path, result.Output, StringComparison.Ordinal);
        await AssertStateAsync(device, "suspending", "draining");
        // Resumed, suspended again, and let go: the second one ends by itself.
        (await device.RunAsync("resume", Name)).Expect(0);
        await AssertStateAsync(device, "running", null);
        (await device.RunAsync("suspend", Name, "--deadline", "0.1")).Expect(7);
        Task<CommandResult> joined = device.RunAsync("suspend", Name, "--deadline", "30");
        await disk.ReleaseMediumAsync();
        (await joined).Expect(0);
        Assert.Equal(0u, await ReadReplyAsync(client, 1));
        await AssertStateAsync(device, "suspended", "quiesced");
        (await device.RunAsync("resume", Name)).Expect(0);
        await device.StopAsync();
    }

    [Fact]
    public async Task Stop_of_a_suspended_device_is_clean_and_refuses_what_was_held()
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(DeviceUnderTest.MiB, version: 1));
        using NbdTestClient client = await device.ConnectAsync();
        (await device.RunAsync("suspend", Name)).Expect(0);
        await SendWriteAsync(client, 5, 0, version: 2);
        using NbdTestClient gone = await device.ConnectAsync();
        await SendWriteAsync(gone, 6, Unit, version: 2);
        Assert.True(await client.IsSilentForAsync(s_while), "answered while suspended");
        gone.Dispose();
        Task<CommandResult> stop = device.RunAsync("stop", Name);
        Assert.Equal(ErrorShutdown, await ReadReplyAsync(client, 5));
        (await stop).Expect(0);
        Assert.Equal(0, await device.Server.WaitForEndAsync(s_patience));
        await device.ServeAsync();
        JsonElement status = await device.StatusAsync();
        Assert.True(status.GetProperty("metadata").GetProperty("cleanStart").GetBoolean());
        using NbdTestClient next = await device.ConnectAsync();
        byte[] read = new byte[2 * Unit];
        Assert.Equal(0u, await next.ReadAsync(0, read));
        Content.AssertEqual(Content.Of(2 * Unit, version: 1), read, "what was held and never begun");
        await device.StopAsync();
    }

    [Fact]
    public async Task Suspend_and_resume_of_a_device_that_is_not_served_are_refused()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(DeviceUnderTest.MiB));
        await device.CreateAsync();
        foreach (string command in new[] { "suspend", "resume" })
        {
            Assert.Contains("DMR-DEVICE-NOT-RUNNING", (await device.RunAsync(command, Name)).Expect(1).Error,
                StringComparison.Ordinal);
            (await device.RunAsync(command, "nobody")).Expect(3);
            (await device.RunAsync(command)).Expect(2);
        }
    }

    private static async Task AssertStateAsync(DeviceUnderTest device, string state, string? phase)
    {
        JsonElement status = await device.StatusAsync();
        Assert.Equal(state, status.GetProperty("state").GetString());
        Assert.Equal(phase, status.GetProperty("phase").GetString());
        string text = (await device.RunAsync("status", Name)).Expect(0).Output;
        Assert.Contains(phase is null ? $"state: {state}" : $"state: {state} ({phase}", text,
            StringComparison.Ordinal);
    }

    /// <summary>By another program: .NET asks for a lock on what it opens, and the claim has it.</summary>
    private static async Task<string> ReadMainAsync(DeviceUnderTest device) =>
        (await Command.RunAsync("sha256sum", device.MainPath)).Expect(0).Output;

    private static async Task SendWriteAsync(NbdTestClient client, ulong cookie, long offset, long version)
    {
        await client.SendAsync(
            NbdTestClient.Request(NbdTestClient.CommandWrite, 0, cookie, offset, Unit));
        await client.SendAsync(Content.Of(Unit, version: version));
    }

    private static async Task<uint> ReadReplyAsync(NbdTestClient client, ulong cookie)
    {
        byte[] reply = await client.ReceiveAsync(16);
        Assert.Equal(cookie, System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(reply.AsSpan(8)));
        return System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(reply.AsSpan(4));
    }

    /// <summary>Units of one's own, again and again, each with a version that is remembered when it is
    /// acknowledged.</summary>
    private static async Task WriteAsync(
        DeviceUnderTest device, long[] versions, int writer, Func<bool> isEnd)
    {
        using NbdTestClient client = await device.ConnectAsync();
        byte[] content = new byte[Unit];
        for (int unit = writer; !isEnd(); unit = (unit + 3) % 255 / 3 * 3 + writer)
        {
            Content.Fill(content, unit * (long)Unit, versions[unit] + 1);
            Assert.Equal(0u, await client.WriteAsync(unit * (long)Unit, content));
            versions[unit]++;
        }
    }

    private static async Task VerifyAsync(DeviceUnderTest device, long[] versions)
    {
        using NbdTestClient client = await device.ConnectAsync();
        byte[] read = new byte[Unit];
        byte[] expected = new byte[Unit];
        for (int unit = 0; unit < versions.Length; unit++)
        {
            Content.Fill(expected, unit * (long)Unit, versions[unit]);
            Assert.Equal(0u, await client.ReadAsync(unit * (long)Unit, read));
            Content.AssertEqual(expected, read, $"unit {unit}");
        }
    }
}
