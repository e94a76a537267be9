using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// What `create` must never take, and that it touches nothing before it may; what it leaves when interrupted.
/// </summary>
public sealed class CreateTests
{
    private const string Name = DeviceUnderTest.Name;
    private const long MiB = DeviceUnderTest.MiB;

    private static readonly TimeSpan s_timeMax = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task A_spare_of_a_stopped_set_is_refused_and_the_set_still_starts()
    {
        byte[] content = Content.Of(2 * MiB);
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(content, "800-807 write");
        using (NbdTestClient client = await device.ConnectAsync())
        {
            Assert.Equal(0u, await client.WriteAsync(800 * 512, content.AsMemory(0, 4096)));
        }
        await device.StopAsync();
        byte[] before = await File.ReadAllBytesAsync(
            device.SparePath, TestContext.Current.CancellationToken);
        string other = Path.Combine(device.Images, "other.img");
        DeviceUnderTest.WriteZeros(other, MiB);
        await AssertRefusedAsync(device, "DMR-META-WRONG-SET", Name, other, device.SparePath);

        // What the registry has forgotten, the superblocks still know: also the last one alone.
        string record = Path.Combine(device.ConfigFolder, Name + ".json");
        File.Move(record, record + ".away");
        await AssertRefusedAsync(device, "DMR-META-WRONG-SET", "set", other, device.SparePath);
        byte[] wiped = [.. new byte[5 * MiB], .. before[(int)(5 * MiB)..]];
        await File.WriteAllBytesAsync(device.SparePath, wiped, TestContext.Current.CancellationToken);
        await AssertRefusedAsync(device, "DMR-META-WRONG-SET", "set", other, device.SparePath);
        await File.WriteAllBytesAsync(device.SparePath, before, TestContext.Current.CancellationToken);
        File.Move(record + ".away", record);
        await device.ServeAsync();
        Assert.Equal(1, await device.SpareUnitsUsedAsync());
    }

    [Fact]
    public async Task Metadata_that_this_version_cannot_read_is_refused()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(MiB));
        await device.CreateAsync();
        File.Delete(Path.Combine(device.ConfigFolder, Name + ".json"));
        byte[] spare = await File.ReadAllBytesAsync(
            device.SparePath, TestContext.Current.CancellationToken);
        Assert.Equal("dmremap"u8, spare.AsSpan(1, 7));
        // The checksum is wrong everywhere: what is left of such a set is not ours to judge.
        foreach (long place in (long[])[0, MiB / 2, MiB, 2 * MiB, 4 * MiB, spare.Length - (64 * 1024)])
        {
            spare[place + 8] = 9;
        }
        await File.WriteAllBytesAsync(device.SparePath, spare, TestContext.Current.CancellationToken);
        await AssertRefusedAsync(
            device, "DMR-META-WRONG-SET", "cannot read", device.MainPath, device.SparePath);
    }

    [Fact]
    public async Task A_member_of_another_set_is_refused_under_any_name()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(32 * MiB));
        await device.CreateAsync();
        string spare = Path.Combine(device.Images, "other-spare.img");
        string link = Path.Combine(device.Images, "link.img");
        DeviceUnderTest.WriteZeros(spare, DeviceUnderTest.SpareBytesDefault);
        (await Command.RunAsync("ln", device.MainPath, link)).Expect(0);
        await AssertRefusedAsync(device, "DMR-MEMBER-REGISTERED", Name, device.MainPath, spare);
        await AssertRefusedAsync(device, "DMR-MEMBER-REGISTERED", Name, link, spare);
        await AssertRefusedAsync(device, "DMR-MEMBER-REGISTERED", Name, spare, link);
        await AssertRefusedAsync(device, "DMR-META-WRONG-SET", Name, device.SparePath, spare);
        await device.ServeAsync();
    }

    [Fact]
    public async Task Nothing_is_written_before_consent_not_even_holes()
    {
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        DeviceUnderTest.WriteZeros(device.MainPath, MiB);
        using (FileStream sparse = new(device.SparePath, FileMode.CreateNew))
        {
            sparse.SetLength(DeviceUnderTest.SpareBytesDefault);
        }
        CommandResult refused = await device.RunAsync(
            "create", Name, "--main", device.MainPath, "--spare", device.SparePath);
        refused.Expect(2);
        Assert.Equal(0, await BlocksOfAsync(device.SparePath));
        await device.CreateAsync();
        Assert.True(await BlocksOfAsync(device.SparePath) >= DeviceUnderTest.SpareBytesDefault / 512);
        await device.ServeAsync();
    }

    [Fact]
    public async Task A_spare_that_is_a_directory_is_called_one()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[MiB]);
        CommandResult result = await device.RunAsync(
            "create", Name, "--main", device.MainPath, "--spare", device.Images, "--yes");
        result.Expect(2);
        Assert.Contains("directory", result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("INT")]
    [InlineData("TERM")]
    public async Task An_interrupted_create_leaves_nothing(string signal)
    {
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        DeviceUnderTest.WriteZeros(device.MainPath, MiB);
        RunningProgram create = device.StartBeside(
            DeviceUnderTest.Program, "create", Name, "--main", device.MainPath,
            "--spare", device.SparePath, "--spare-size", "2G", "--yes");
        Stopwatch elapsed = Stopwatch.StartNew();
        while (!File.Exists(device.SparePath) && elapsed.Elapsed < s_timeMax && !create.HasEnded)
        {
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }
        await create.SignalAsync(signal);
        Assert.Equal(1, await create.WaitForEndAsync(s_timeMax));
        Assert.Contains("Interrupted", create.Said, StringComparison.Ordinal);
        Assert.False(File.Exists(device.SparePath), "the unfinished spare is still there");
        Assert.Empty(Directory.EnumerateFileSystemEntries(device.ConfigFolder));
    }

    [Theory]
    [InlineData("1. ")]
    [InlineData("2. ")]
    [InlineData("3. ")]
    [InlineData("6. ")]
    public async Task An_interrupted_demo_leaves_nothing(string step)
    {
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        string temporary = Path.Combine(device.Images, "tmp");
        Directory.CreateDirectory(temporary);
        Dictionary<string, string> environment = new(device.Environment) { ["TMPDIR"] = temporary };
        await using (RunningProgram demo =
            RunningProgram.Start(DeviceUnderTest.Program, ["demo"], environment))
        {
            await demo.WaitForLineAsync(
                line => line.StartsWith(step, StringComparison.Ordinal), Command.TimeMax);
            await demo.SignalAsync("TERM");
            Assert.Equal(1, await demo.WaitForEndAsync(s_timeMax));
            Assert.Contains("Interrupted", demo.Said, StringComparison.Ordinal);
        }
        Assert.Empty(Directory.EnumerateFileSystemEntries(temporary, "dmremap-demo-*"));
        CommandResult left = await Command.RunAsync(
            "bash", "-c", "ls -l /proc/[0-9]*/cwd 2>/dev/null | grep -F \"$1\" || true", "_", temporary);
        Assert.Equal("", left.Expect(0).Output);
    }

    [Fact]
    public async Task A_main_that_is_a_restored_copy_is_served_with_a_warning()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(MiB));
        await device.CreateAsync();
        string copy = Path.Combine(device.Images, "copy.img");
        File.Copy(device.MainPath, copy);
        File.Move(copy, device.MainPath, overwrite: true);
        RunningProgram server = device.StartServe();
        await DeviceUnderTest.WaitUntilReadyAsync(server);
        await server.WaitForLineAsync(
            line => line.Contains("not proven", StringComparison.Ordinal), s_timeMax);
        await device.StopAsync();
    }

    /// <summary>Exit 5 with these words, whether forced or not, and nothing has changed.</summary>
    private static async Task AssertRefusedAsync(
        DeviceUnderTest device, string id, string word, string main, string spare)
    {
        string[] files = [main, spare];
        byte[][] before = [.. files.Select(File.ReadAllBytes)];
        string[][] options = [["--yes"], ["--yes", "--force"]];
        foreach (string[] more in options)
        {
            CommandResult result = await device.RunAsync(
                ["create", "second", "--main", main, "--spare", spare, .. more]);
            result.Expect(5);
            Assert.Contains(id, result.Error, StringComparison.Ordinal);
            Assert.Contains(word, result.Error, StringComparison.Ordinal);
        }
        for (int i = 0; i < files.Length; i++)
        {
            Content.AssertFile(before[i], files[i]);
        }
        Assert.False(File.Exists(Path.Combine(device.ConfigFolder, "second.json")));
    }

    /// <summary>Of 512 bytes, allocated.</summary>
    private static async Task<long> BlocksOfAsync(string path)
    {
        (await Command.RunAsync("sync", path)).Expect(0);
        CommandResult result = (await Command.RunAsync("stat", "-c", "%b", path)).Expect(0);
        return long.Parse(result.Output, CultureInfo.InvariantCulture);
    }
}
