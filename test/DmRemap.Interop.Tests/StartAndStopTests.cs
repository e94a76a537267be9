using System;
using System.Globalization;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// `serve` from its claims to its end, where something in between does not go as it should.
/// </summary>
public sealed class StartAndStopTests
{
    private const string Name = DeviceUnderTest.Name;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Whoever_has_the_answer_of_stop_can_serve_again_at_once()
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(DeviceUnderTest.MiB));
        for (int round = 0; round < 8; round++)
        {
            RunningProgram old = device.Server;
            await StopAndLookAtOnceAsync(device);
            await device.ServeAsync();
            Assert.DoesNotContain("waiting for", device.Server.Said, StringComparison.Ordinal);
            Assert.Equal(0, await old.WaitForEndAsync(s_patience));
            // The end of the old one has not taken the new one's socket with it.
            using NbdTestClient client = await device.ConnectAsync();
            Assert.Equal(0u, await client.ReadAsync(0, new byte[DeviceUnderTest.UnitBytes]));
        }
        await device.StopAsync();
    }

    [Fact]
    public async Task Stop_ends_the_process_although_nobody_reads_what_it_says()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(DeviceUnderTest.MiB));
        await device.CreateAsync();
        // A pipe that is full, and that somebody has open, so that writing to it waits.
        const string Script =
            "mkfifo \"$1\"; exec 3<>\"$1\"; head -c 65536 /dev/zero >&3; exec 2>\"$1\"; shift; exec \"$@\"";
        RunningProgram server = device.StartBeside(
            "bash", "-c", Script, "_", Path.Combine(device.Folder, "full"), DeviceUnderTest.Program, "serve",
            Name, "--listen", "127.0.0.1:0");
        await DeviceUnderTest.WaitUntilReadyAsync(server);
        (await device.RunAsync("stop", Name)).Expect(0);
        Assert.Equal(0, await server.WaitForEndAsync(s_patience));
    }

    [Fact]
    public async Task Server_of_another_run_directory_is_named_and_its_device_not_forgotten()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(DeviceUnderTest.MiB));
        await device.CreateAsync();
        RunningProgram server = device.StartBeside(
            "env", "DMREMAP_RUN_DIR=" + Path.Combine(device.Folder, "elsewhere"), DeviceUnderTest.Program,
            "serve", Name);
        await DeviceUnderTest.WaitUntilReadyAsync(server);
        foreach (string[] command in (string[][])[["stop"], ["detach"], ["delete", "--yes"]])
        {
            CommandResult refused = (await device.RunAsync([command[0], Name, .. command[1..]])).Expect(4);
            Assert.Contains("[DMR-MEMBER-IN-USE]", refused.Error, StringComparison.Ordinal);
            Assert.Contains(
                $"held by process {server.Id} (dmremap serve ", refused.Error, StringComparison.Ordinal);
            Assert.Contains("DMREMAP_RUN_DIR", refused.Error, StringComparison.Ordinal);
        }
        JsonElement status = await device.StatusAsync();
        Assert.Equal("unreachable", status.GetProperty("state").GetString());
        Assert.Equal(server.Id, status.GetProperty("pid").GetInt32());
        await server.SignalAsync("TERM");
        Assert.Equal(0, await server.WaitForEndAsync(s_patience));
        (await device.RunAsync("delete", Name, "--yes")).Expect(0);
    }

    [Fact]
    public async Task Full_disk_for_what_it_says_does_not_end_a_server()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(DeviceUnderTest.MiB));
        await device.CreateAsync();
        RunningProgram server = device.StartBeside(
            "bash", "-c", "exec \"$@\" >/dev/full", "_", DeviceUnderTest.Program, "serve", Name);
        await server.WaitForLineAsync(
            line => line.StartsWith("DMR-OUTPUT-FAILED ", StringComparison.Ordinal), s_patience);
        (await device.RunAsync("stop", Name)).Expect(0);
        Assert.Equal(0, await server.WaitForEndAsync(s_patience));
        RunningProgram mute = device.StartBeside(
            "bash", "-c", "exec \"$@\" >/dev/full 2>&1", "_", DeviceUnderTest.Program, "serve", Name);
        await DeviceUnderTest.UntilAsync(async () =>
            (await device.StatusAsync()).GetProperty("state").GetString() == "running");
        (await device.RunAsync("stop", Name)).Expect(0);
        Assert.Equal(0, await mute.WaitForEndAsync(s_patience));
    }

    [Fact]
    public async Task A_start_that_a_stuck_spare_holds_up_is_ended_by_a_signal()
    {
        RequiredTools.SkipUnlessFuse();
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        // Both alike: a spare behind the page cache is refused where the main device is not.
        await using SlowDisk main = await SlowDisk.StartAsync(device, DeviceUnderTest.MiB, "main");
        await using SlowDisk disk =
            await SlowDisk.StartAsync(device, DeviceUnderTest.SpareBytesDefault, "spare");
        (await device.RunAsync(
            "create", Name, "--main", main.Path, "--spare", disk.Path, "--yes", "--force")).Expect(0);
        // It can be opened and claimed, but not read.
        await disk.HoldMediumAsync();
        RunningProgram server = device.StartServe();
        await SlowDisk.UntilAsync(() => HasLoop(server.Id));
        await server.SignalAsync("TERM");
        await server.WaitForLineAsync(
            line => line.Contains("DMR-INTERRUPTED", StringComparison.Ordinal), s_patience);
        // The kernel may keep the process until its last read has come back.
        await disk.ReleaseMediumAsync();
        Assert.Equal(1, await server.WaitForEndAsync(s_patience));
        Assert.DoesNotContain("ready", server.Said, StringComparison.Ordinal);
        await device.ServeAsync();
        await device.StopAsync();
    }

    [Fact]
    public async Task A_stop_at_its_deadline_says_what_it_cut_off_and_the_next_start_waits()
    {
        RequiredTools.SkipUnlessFuse();
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        DeviceUnderTest.WriteZeros(device.SparePath, DeviceUnderTest.SpareBytesDefault);
        await using SlowDisk disk = await SlowDisk.StartAsync(device, DeviceUnderTest.MiB);
        (await device.RunAsync(
            "create", Name, "--main", disk.Path, "--spare", device.SparePath, "--yes")).Expect(0);
        await device.ServeAsync();
        RunningProgram old = device.Server;
        using NbdTestClient client = await device.ConnectAsync();
        await disk.HoldMediumAsync();
        await client.SendAsync(
            NbdTestClient.Request(NbdTestClient.CommandWrite, 0, 99, 0, DeviceUnderTest.UnitBytes));
        await client.SendAsync(Content.Of(DeviceUnderTest.UnitBytes, version: 2));
        Assert.True(await client.IsSilentForAsync(TimeSpan.FromSeconds(1)), "the disk was not held");
        Task<CommandResult> stopping = device.RunAsync("stop", Name, "--deadline", "2");
        // New clients are turned away from the beginning of the stop, not only at its end.
        await SlowDisk.UntilAsync(() => !File.Exists(device.SocketPath));
        Assert.False(stopping.IsCompleted, "the socket was there until the end");
        CommandResult stopped = (await stopping).Expect(7);
        Assert.Contains("1 request cut off without an answer", stopped.Error + stopped.Output,
            StringComparison.Ordinal);
        RunningProgram next = device.StartServe();
        await next.WaitForLineAsync(
            line => line.Contains("waiting for", StringComparison.Ordinal)
                && line.Contains(disk.Path, StringComparison.Ordinal), s_patience);
        await disk.ReleaseMediumAsync();
        await DeviceUnderTest.WaitUntilReadyAsync(next);
        Assert.Equal(7, await old.WaitForEndAsync(s_patience));
        await device.StopAsync();
    }

    [Fact]
    public async Task A_stop_whose_folder_has_gone_is_a_clean_stop()
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(DeviceUnderTest.MiB));
        Directory.Delete(device.RunFolder, recursive: true);
        await device.Server.SignalAsync("TERM");
        Assert.Equal(0, await device.Server.WaitForEndAsync(s_patience));
        Assert.DoesNotContain("DMR-", device.Server.Said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_address_that_is_taken_is_named()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(DeviceUnderTest.MiB));
        await device.CreateAsync();
        using TcpListener other = new(IPAddress.Loopback, 0);
        other.Start();
        string address = string.Create(
            CultureInfo.InvariantCulture, $"127.0.0.1:{((IPEndPoint)other.LocalEndpoint).Port}");
        CommandResult result = (await device.RunAsync("serve", Name, "--listen", address)).Expect(4);
        Assert.Contains(address, result.Error, StringComparison.Ordinal);
        Assert.DoesNotContain(device.SocketPath, result.Error, StringComparison.Ordinal);
        Assert.False(File.Exists(device.SocketPath), "the refused start left its socket");
    }

    [Fact]
    public async Task Journal_is_said_to_be_replayed_only_where_no_clean_stop_was_before()
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(DeviceUnderTest.MiB));
        (await device.RunAsync("remap", Name, "800-815")).Expect(0);
        await device.StopAsync();
        await device.ServeAsync();
        Assert.Equal(2, await device.StatusNumberAsync("remaps"));
        Assert.DoesNotContain("DMR-EVENT-JOURNAL-REPLAYED", device.Server.Said, StringComparison.Ordinal);
        (await device.RunAsync("remap", Name, "1600-1607")).Expect(0);
        await device.KillAsync();
        await device.ServeAsync();
        await device.Server.WaitForLineAsync(
            line => line.StartsWith("DMR-EVENT-JOURNAL-REPLAYED", StringComparison.Ordinal), s_patience);
        Assert.Equal(3, await device.StatusNumberAsync("remaps"));
        await device.StopAsync();
    }

    [Fact]
    public async Task A_socket_path_that_is_none_or_too_long_is_usage()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(DeviceUnderTest.MiB));
        await device.CreateAsync();
        foreach (string path in new[] { "", "/", Path.Combine(device.Folder, new string('x', 108)) })
        {
            CommandResult result = (await device.RunAsync("serve", Name, "--socket", path)).Expect(2);
            Assert.DoesNotContain("DMR-INTERNAL", result.Error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_control_socket_that_cannot_be_made_ends_the_start_before_it_changes_anything()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(DeviceUnderTest.MiB));
        await device.CreateAsync();
        await device.ServeAsync();
        await device.StopAsync();
        string control = Path.Combine(device.RunFolder, Name + ".sock");
        await File.WriteAllTextAsync(control, "no socket", TestContext.Current.CancellationToken);
        CommandResult result = (await device.RunAsync("serve", Name)).Expect(4);
        Assert.DoesNotContain("ready", result.Output, StringComparison.Ordinal);
        Assert.False(File.Exists(device.SocketPath), "the refused start left its socket");
        File.Delete(control);
        await device.ServeAsync();
        JsonElement metadata = (await device.StatusAsync()).GetProperty("metadata");
        Assert.True(
            metadata.GetProperty("cleanStart").GetBoolean(), "the refused start has written to the spare");
        await device.StopAsync();
    }

    /// <summary>
    /// Asked on the control socket itself: by the time that the command has ended, the daemon has too.
    /// </summary>
    private static async Task StopAndLookAtOnceAsync(DeviceUnderTest device)
    {
        using Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        string path = Path.Combine(device.RunFolder, Name + ".sock");
        await socket.ConnectAsync(
            new UnixDomainSocketEndPoint(path), TestContext.Current.CancellationToken);
        using NetworkStream stream = new(socket);
        using StreamReader reader = new(stream);
        Assert.NotNull(await reader.ReadLineAsync(TestContext.Current.CancellationToken));
        byte[] stop = "{\"id\":1,\"command\":\"stop\",\"arguments\":{\"deadlineSeconds\":30}}\n"u8.ToArray();
        await stream.WriteAsync(stop, TestContext.Current.CancellationToken);
        string? answer = await reader.ReadLineAsync(TestContext.Current.CancellationToken);
        Assert.Contains("\"clean\":true", answer, StringComparison.Ordinal);
        Assert.False(File.Exists(device.SocketPath), "the socket outlives the answer");
        foreach (string member in new[] { device.MainPath, device.SparePath })
        {
            // FileShare.None is an exclusive flock, as the claim is: it throws while that is held.
            using FileStream claim = new(member, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
        }
    }

    /// <summary>The ring is made after the claims, for the first read of the spares.</summary>
    private static bool HasLoop(int process)
    {
        foreach (string thread in Directory.GetDirectories($"/proc/{process}/task"))
        {
            try
            {
                if (File.ReadAllText(Path.Combine(thread, "comm")).Trim() == "dmremap-data")
                {
                    return true;
                }
            }
            catch (IOException)
            {
                // It has just ended.
            }
        }
        return false;
    }
}
