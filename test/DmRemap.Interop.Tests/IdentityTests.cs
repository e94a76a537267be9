using System;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// Members that are not what this machine last saw: an old spare, a main device that somebody else wrote, a
/// copy of it (F-16).
/// </summary>
public sealed class IdentityTests
{
    private const long MiB = DeviceUnderTest.MiB;
    private const string Name = DeviceUnderTest.Name;

    private static readonly TimeSpan s_startMax = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task A_spare_of_yesterday_is_refused_until_the_rollback_is_accepted()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        await device.StopAsync();
        string yesterday = Path.Combine(device.Images, "yesterday.img");
        File.Copy(device.SparePath, yesterday);
        await device.ServeAsync();
        (await device.RunAsync("remap", Name, "800-815")).Expect(0);
        await device.StopAsync();

        byte[] old = await File.ReadAllBytesAsync(yesterday, TestContext.Current.CancellationToken);
        File.Copy(yesterday, device.SparePath, overwrite: true);
        CommandResult refused = await device.RunAsync("serve", Name);
        refused.Expect(5);
        Assert.Contains("DMR-META-ROLLED-BACK", refused.Error, StringComparison.Ordinal);
        Assert.Contains("older than what this machine last saw", refused.Error, StringComparison.Ordinal);
        Content.AssertFile(old, device.SparePath);

        await ServeSayingAsync(device, "as --accept-rollback asks", "--accept-rollback");
        await device.StopAsync();
        await device.ServeAsync();
        await device.StopAsync();
    }

    [Fact]
    public async Task An_image_of_the_same_run_put_back_after_a_crash_is_refused()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        string state = Path.Combine(device.ConfigFolder, Name + ".state");
        string early = Path.Combine(device.Images, "early.img");
        (await Command.RunAsync("cp", device.SparePath, early)).Expect(0);
        string begun = await File.ReadAllTextAsync(state, TestContext.Current.CancellationToken);
        (await device.RunAsync("remap", Name, "800-815")).Expect(0);
        using CancellationTokenSource patience = new(s_startMax);
        while (await File.ReadAllTextAsync(state, patience.Token) == begun)
        {
            await Task.Delay(100, patience.Token);
        }
        await device.KillAsync();
        string late = Path.Combine(device.Images, "late.img");
        File.Copy(device.SparePath, late);
        // The same as a journal that is lost in every place.
        File.Copy(early, device.SparePath, overwrite: true);
        CommandResult refused = (await device.RunAsync("serve", Name)).Expect(5);
        Assert.Contains("[DMR-META-ROLLED-BACK]", refused.Error, StringComparison.Ordinal);
        Assert.Contains("the journal on the spares ends at record ", refused.Error, StringComparison.Ordinal);
        File.Copy(late, device.SparePath, overwrite: true);
        await device.ServeAsync();
        Assert.Equal(2, await device.SpareUnitsUsedAsync());
        await device.StopAsync();
    }

    /// <summary>Also when the unit with the file system's superblock is on a spare.</summary>
    [Theory]
    [InlineData("800-815")]
    [InlineData("0-15")]
    public async Task A_main_written_behind_our_back_is_refused_until_the_change_is_accepted(string remapped)
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        (await device.RunAsync("remap", Name, remapped)).Expect(0);
        await device.StopAsync();
        WriteInto(device.MainPath, 1024 + 44);
        CommandResult refused = await device.RunAsync("serve", Name);
        refused.Expect(5);
        Assert.Contains("DMR-MAIN-CHANGED", refused.Error, StringComparison.Ordinal);
        Assert.Contains(device.MainPath, refused.Error, StringComparison.Ordinal);
        Assert.Contains("2 units", refused.Error, StringComparison.Ordinal);
        (await device.RunAsync("serve", Name)).Expect(5);

        await ServeSayingAsync(device, "as --accept-changed-main asks", "--accept-changed-main");
        await device.StopAsync();
        await device.ServeAsync();
        await device.StopAsync();
    }

    [Fact]
    public async Task A_start_that_finds_its_address_taken_changes_nothing()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        await device.StopAsync();
        byte[] spare = await File.ReadAllBytesAsync(device.SparePath, TestContext.Current.CancellationToken);
        using TcpListener other = new(IPAddress.Loopback, 0);
        other.Start();
        CommandResult taken = await device.RunAsync("serve", Name, "--listen", $"{other.LocalEndpoint}");
        taken.Expect(4);
        Assert.Contains("DMR-NBD-SOCKET-IN-USE", taken.Error, StringComparison.Ordinal);
        string file = Path.Combine(device.Folder, "file");
        await File.WriteAllTextAsync(file, "", TestContext.Current.CancellationToken);
        foreach (string path in (string[])[file, Path.Combine(device.Folder, "nowhere", "socket")])
        {
            CommandResult failed = (await device.RunAsync("serve", Name, "--socket", path)).Expect(1);
            Assert.Contains("DMR-NBD-SOCKET-FAILED", failed.Error, StringComparison.Ordinal);
        }
        Content.AssertFile(spare, device.SparePath);
        Assert.False(File.Exists(device.SocketPath));
        WriteInto(device.MainPath, 1024 + 44);
        await AssertChangeSeenAsync(device);
    }

    [Fact]
    public async Task A_start_that_fails_at_its_last_step_leaves_the_main_guarded()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        await device.StopAsync();
        // Root may write to this directory, and still no socket can be made there.
        (await device.RunAsync("serve", Name, "--socket", "/proc/dmremap.nbd")).Expect(1);
        WriteInto(device.MainPath, 1024 + 44);
        await AssertChangeSeenAsync(device);
    }

    [Fact]
    public async Task A_repair_leaves_the_main_guarded()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        (await device.RunAsync("remap", Name, "800-815")).Expect(0);
        await device.StopAsync();
        (await device.RunAsync("repair", Name)).Expect(0);
        WriteInto(device.MainPath, 1024 + 44);
        await AssertChangeSeenAsync(device);
    }

    [Fact]
    public async Task After_a_kill_a_changed_main_is_served_for_our_own_writes_changed_it_too()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        using (NbdTestClient client = await device.ConnectAsync())
        {
            Assert.Equal(0u, await client.WriteAsync(0, Content.Of(4096, version: 2)));
            await device.KillAsync();
        }
        WriteInto(device.MainPath, 1024 + 44);
        await device.ServeAsync();
        await device.StopAsync();
    }

    [Fact]
    public async Task Writes_of_our_own_clients_are_no_change_behind_our_back()
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(MiB), "8-8 read", "2000-2007 write");
        using (NbdTestClient client = await device.ConnectAsync())
        {
            Assert.Equal(0u, await client.WriteAsync(0, Content.Of(MiB, version: 2)));
        }
        await device.StopAsync();
        await device.ServeAsync();
        await AssertContentAsync(device, version: 2);
        await device.StopAsync();
    }

    [Fact]
    public async Task Without_a_state_file_a_device_is_served_and_says_so()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        await device.StopAsync();
        string state = Path.Combine(device.ConfigFolder, Name + ".state");
        File.Delete(state);
        await ServeSayingAsync(device, $"{state} does not exist");
        Assert.True(File.Exists(state));
        await device.StopAsync();
        await File.WriteAllTextAsync(state, "{", TestContext.Current.CancellationToken);
        CommandResult refused = await device.RunAsync("serve", Name);
        refused.Expect(6);
        Assert.Contains("DMR-WITNESS-DAMAGED", refused.Error, StringComparison.Ordinal);
        (await device.RunAsync("delete", Name, "--yes")).Expect(0);
        Assert.False(File.Exists(state));
    }

    [Fact]
    public async Task A_copy_of_the_main_takes_its_place_by_rebind()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        (await device.RunAsync("remap", Name, "800-815")).Expect(0);
        (await device.RunAsync("rebind", Name, "--main", device.MainPath, "--yes")).Expect(4);
        await device.StopAsync();
        string copy = Path.Combine(device.Images, "copy.img");
        File.Copy(device.MainPath, copy);
        (await device.RunAsync("rebind", Name, "--main", copy)).Expect(2);

        CommandResult done = (await device.RunAsync("rebind", Name, "--main", copy, "--yes")).Expect(0);
        Assert.Contains(
            $"{copy} takes the place of {device.MainPath}", done.Output, StringComparison.Ordinal);
        RunningProgram server = device.StartServe();
        await DeviceUnderTest.WaitUntilReadyAsync(server);
        Assert.DoesNotContain("not proven", server.Said, StringComparison.Ordinal);
        await AssertContentAsync(device);
        await device.StopAsync();
    }

    [Fact]
    public async Task A_rebind_to_other_content_or_another_size_is_refused_and_changes_nothing()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        await device.StopAsync();
        byte[] spare = await File.ReadAllBytesAsync(device.SparePath, TestContext.Current.CancellationToken);
        string other = Path.Combine(device.Images, "other.img");
        await File.WriteAllBytesAsync(
            other, Content.Of(MiB, version: 9), TestContext.Current.CancellationToken);
        CommandResult refused = await device.RunAsync("rebind", Name, "--main", other, "--yes");
        refused.Expect(5);
        Assert.Contains("DMR-MAIN-CHANGED", refused.Error, StringComparison.Ordinal);
        // Its own way on: `serve` would serve the old main device.
        string[] words = refused.Error.Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries);
        Assert.Contains(
            $"`dmremap rebind {Name} --main {other} --accept-changed-main`", string.Join(' ', words),
            StringComparison.Ordinal);
        await File.WriteAllBytesAsync(other, Content.Of(2 * MiB), TestContext.Current.CancellationToken);
        refused = await device.RunAsync("rebind", Name, "--main", other, "--yes");
        refused.Expect(5);
        Assert.Contains("DMR-MEMBER-SIZE-CHANGED", refused.Error, StringComparison.Ordinal);
        Content.AssertFile(spare, device.SparePath);
        await device.ServeAsync();
        await device.StopAsync();
    }

    [Fact]
    public async Task A_spare_that_moved_is_found_again_by_rebind_and_another_file_is_not_taken()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        (await device.RunAsync("remap", Name, "800-815")).Expect(0);
        await device.StopAsync();
        string moved = Path.Combine(device.Images, "moved.img");
        File.Move(device.SparePath, moved);
        DeviceUnderTest.WriteZeros(device.SparePath, DeviceUnderTest.SpareBytesDefault);
        string blank = Path.Combine(device.Images, "blank.img");
        File.Copy(device.SparePath, blank);
        File.Delete(device.SparePath);
        string[] rebind = ["rebind", Name, "--spare"];
        (await device.RunAsync([.. rebind, device.SparePath, blank, "--yes"])).Expect(6);
        (await device.RunAsync([.. rebind, blank, moved, "--yes"])).Expect(2);
        (await device.RunAsync([.. rebind, device.SparePath, device.MainPath, "--yes"])).Expect(5, 6);
        (await device.RunAsync([.. rebind, device.SparePath, moved, "--yes"])).Expect(0);
        await device.ServeAsync();
        await AssertContentAsync(device);
        await device.StopAsync();
    }

    private static async Task AssertChangeSeenAsync(DeviceUnderTest device)
    {
        RunningProgram server = device.StartServe();
        string line = await server.WaitForLineAsync(
            said => said.StartsWith("ready ", StringComparison.Ordinal)
                || said.Contains("DMR-", StringComparison.Ordinal),
            s_startMax);
        Assert.Contains("DMR-MAIN-CHANGED", line, StringComparison.Ordinal);
        Assert.Equal(5, await server.WaitForEndAsync(s_startMax));
    }

    private static async Task AssertContentAsync(DeviceUnderTest device, long version = 1)
    {
        using NbdTestClient client = await device.ConnectAsync();
        byte[] found = new byte[MiB];
        Assert.Equal(0u, await client.ReadAsync(0, found));
        Content.AssertEqual(Content.Of(MiB, version), found, "the device");
    }

    /// <summary>Ready, and this was said before.</summary>
    private static async Task ServeSayingAsync(DeviceUnderTest device, string words, params string[] options)
    {
        RunningProgram server = device.StartServe(options);
        await DeviceUnderTest.WaitUntilReadyAsync(server);
        await server.WaitForLineAsync(line => line.Contains(words, StringComparison.Ordinal), s_startMax);
    }

    private static void WriteInto(string path, long at)
    {
        using FileStream file = new(path, FileMode.Open);
        file.Position = at;
        int before = file.ReadByte();
        file.Position = at;
        file.WriteByte((byte)(before ^ 0xFF));
    }
}
