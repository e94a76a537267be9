using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// A main device whose flush fails while a file is there (F-8, F-9): each connection is told once, the blocks
/// are listed, and a person, or writing them anew, ends the doubt.
/// </summary>
public sealed class UncertainFlushTests
{
    private const string Name = DeviceUnderTest.Name;
    private const int Unit = DeviceUnderTest.UnitBytes;

    [Fact]
    public async Task A_failed_flush_is_told_to_each_connection_once_and_cleared()
    {
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[DeviceUnderTest.MiB]);
        string failing = await ServeFlushingAsync(device);
        using NbdTestClient one = await device.ConnectAsync();
        using NbdTestClient other = await device.ConnectAsync();
        Assert.Equal(0u, await one.FlushAsync());
        Assert.Equal(0u, await one.WriteAsync(10 * Unit, new byte[Unit]));
        await File.WriteAllTextAsync(failing, "", TestContext.Current.CancellationToken);
        Assert.Equal(NbdTestClient.ErrorIo, await one.FlushAsync());
        File.Delete(failing);
        Assert.Equal(0u, await one.FlushAsync());
        Assert.Equal(NbdTestClient.ErrorIo, await other.FlushAsync());
        Assert.Equal(0u, await other.FlushAsync());
        JsonElement status = await device.StatusAsync();
        Assert.Contains("uncertain", ConditionsOf(status));
        Assert.Equal(8, status.GetProperty("uncertainBlocks").GetInt64());
        Assert.Equal(80, status.GetProperty("uncertainExtents")[0].GetProperty("firstBlock").GetInt64());
        JsonElement cache = status.GetProperty("primary").GetProperty("writeCache");
        Assert.Equal("auto", cache.GetProperty("policy").GetString());
        Assert.True(cache.GetProperty("writesForced").GetBoolean());

        (await device.RunAsync("clear", Name, "uncertain")).Expect(0);
        Assert.DoesNotContain("uncertain", ConditionsOf(await device.StatusAsync()));
        using NbdTestClient late = await device.ConnectAsync();
        Assert.Equal(0u, await late.FlushAsync());
        await device.StopAsync();
    }

    [Fact]
    public async Task Writing_what_is_uncertain_anew_ends_it()
    {
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[DeviceUnderTest.MiB]);
        string failing = await ServeFlushingAsync(device, "--write-cache=keep");
        using NbdTestClient client = await device.ConnectAsync();
        Assert.Equal(0u, await client.FlushAsync());
        Assert.Equal(0u, await client.WriteAsync(10 * Unit, new byte[Unit]));
        await File.WriteAllTextAsync(failing, "", TestContext.Current.CancellationToken);
        Assert.Equal(NbdTestClient.ErrorIo, await client.FlushAsync());
        File.Delete(failing);
        Assert.Equal(0u, await client.WriteAsync(10 * Unit, new byte[Unit]));
        Assert.Contains("uncertain", ConditionsOf(await device.StatusAsync()));
        Assert.Equal(0u, await client.FlushAsync());
        Assert.DoesNotContain("uncertain", ConditionsOf(await device.StatusAsync()));
        await device.StopAsync();
    }

    /// <summary>
    /// The flush is the one behind a forced write of another block: of a server without FUA, and of a disk
    /// without, which loop devices are.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_flush_that_fails_behind_a_forced_write_is_told_to_who_flushes_next(bool isLoop)
    {
        RequiredTools.SkipUnless("nbdkit");
        if (isLoop)
        {
            await RequiredTools.SkipUnlessLoopAsync();
        }
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[DeviceUnderTest.MiB]);
        (string uri, string failing) = await ExportMainAsync(device, failsOnce: true);
        await using LoopMount? loop = isLoop ? await LoopMount.AttachAsync(device, uri) : null;
        await ServeAsync(device, loop?.LoopDevice ?? uri);
        using (NbdTestClient client = await device.ConnectAsync())
        {
            Assert.Equal(0u, await client.FlushAsync());
            Assert.Equal(0u, await client.WriteAsync(10 * Unit, new byte[Unit]));
            await File.WriteAllTextAsync(failing, "", TestContext.Current.CancellationToken);
            Assert.Equal(0u, await client.WriteAsync(20 * Unit, new byte[Unit], NbdTestClient.FlagFua));
            Assert.False(File.Exists(failing));
            Assert.Equal(NbdTestClient.ErrorIo, await client.FlushAsync());
            JsonElement status = await device.StatusAsync();
            Assert.Equal(80, status.GetProperty("uncertainExtents")[0].GetProperty("firstBlock").GetInt64());
            Assert.Equal(8, status.GetProperty("uncertainBlocks").GetInt64());
            Assert.Equal(0u, await client.FlushAsync());
        }
        (await device.RunAsync("clear", Name, "uncertain")).Expect(0);
        await device.StopAsync();
        await (loop?.DetachAsync() ?? Task.CompletedTask);
    }

    /// <summary>Also where the first flush after the start is behind a forced write.</summary>
    [Fact]
    public async Task What_a_killed_server_left_in_a_disks_cache_is_not_forgotten()
    {
        RequiredTools.SkipUnless("nbdkit");
        await RequiredTools.SkipUnlessLoopAsync();
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[DeviceUnderTest.MiB]);
        (string uri, string failing) = await ExportMainAsync(device, failsOnce: true);
        await using LoopMount loop = await LoopMount.AttachAsync(device, uri);
        await ServeAsync(device, loop.LoopDevice);
        using (NbdTestClient before = await device.ConnectAsync())
        {
            Assert.Equal(0u, await before.WriteAsync(10 * Unit, new byte[Unit]));
        }
        await device.KillAsync();
        await device.ServeAsync();
        await File.WriteAllTextAsync(failing, "", TestContext.Current.CancellationToken);
        using (NbdTestClient client = await device.ConnectAsync())
        {
            Assert.Equal(0u, await client.WriteAsync(20 * Unit, new byte[Unit], NbdTestClient.FlagFua));
            Assert.False(File.Exists(failing));
            Assert.Equal(NbdTestClient.ErrorIo, await client.FlushAsync());
        }
        Assert.Equal(DeviceUnderTest.MiB / 512, await device.StatusNumberAsync("uncertainBlocks"));
        (await device.RunAsync("clear", Name, "uncertain")).Expect(0);
        await device.StopAsync();
        await loop.DetachAsync();
    }

    [Fact]
    public async Task Switching_off_the_cache_of_what_is_no_disk_is_refused()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[DeviceUnderTest.MiB]);
        await device.CreateAsync();
        CommandResult refused = await device.RunAsync("serve", Name, "--write-cache=off");
        Assert.Equal(2, refused.ExitCode);
        Assert.Contains("DMR-WRITE-CACHE-NO-DRIVE", refused.Error, System.StringComparison.Ordinal);
    }

    private static string[] ConditionsOf(JsonElement status) =>
        [.. status.GetProperty("conditions").EnumerateArray().Select(name => name.GetString()!)];

    /// <summary>Returns the file that makes flushes of the main device fail while it is there.</summary>
    private static async Task<string> ServeFlushingAsync(DeviceUnderTest device, params string[] options)
    {
        (string uri, string failing) = await ExportMainAsync(device, failsOnce: false);
        await ServeAsync(device, uri, options);
        return failing;
    }

    private static async Task<(string Uri, string Failing)> ExportMainAsync(
        DeviceUnderTest device, bool failsOnce)
    {
        string failing = Path.Combine(device.Folder, "failing");
        string socket = Path.Combine(device.Folder, "main.sock");
        string file = device.MainPath;
        string once = failsOnce ? $"rm {failing}; " : "";
        device.StartBeside(
            "nbdkit", "-f", "-U", socket, "eval",
            "get_size=stat -Lc %s " + file,
            $"pread=dd if={file} skip=$4 count=$3 iflag=skip_bytes,count_bytes,fullblock status=none",
            $"pwrite=dd of={file} seek=$4 conv=notrunc oflag=seek_bytes status=none",
            "can_write=exit 0", "can_flush=exit 0",
            $"flush=[ ! -e {failing} ] || {{ {once}echo EIO >&2; exit 1; }}");
        await SlowDisk.UntilAsync(() => File.Exists(socket));
        return ($"nbd+unix:///?socket={socket}", failing);
    }

    private static async Task ServeAsync(DeviceUnderTest device, string main, params string[] options)
    {
        (await device.RunAsync(
            "create", Name, "--main", main, "--spare", device.SparePath, "--yes")).Expect(0);
        await device.ServeAsync(options, []);
    }
}
