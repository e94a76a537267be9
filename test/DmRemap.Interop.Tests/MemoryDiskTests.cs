using System;
using System.IO;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>A main device `memory:SIZE`: like a disk while it is served, and never after it.</summary>
public sealed class MemoryDiskTests
{
    private const string Name = DeviceUnderTest.Name;
    private const int Unit = DeviceUnderTest.UnitBytes;

    [Fact]
    public async Task It_is_written_remapped_and_read_like_a_disk_and_says_what_it_is()
    {
        await using DeviceUnderTest device = await CreateAsync();
        await device.ServeAsync("800-807 write");
        byte[] model = new byte[8 * DeviceUnderTest.MiB];
        Content.Fill(model.AsSpan(0, 2 * (int)DeviceUnderTest.MiB), 0, 7);
        using (NbdTestClient client = await device.ConnectAsync())
        {
            Assert.Equal(0u, await client.WriteAsync(0, model.AsMemory(0, 2 * (int)DeviceUnderTest.MiB)));
            Assert.Equal(0u, await client.FlushAsync());
        }
        Assert.Equal(1, await device.SpareUnitsUsedAsync());
        string copy = Path.Combine(device.Folder, "copy");
        (await Command.RunAsync("nbdcopy", device.Uri, copy)).Expect(0);
        Assert.Equal(model, await File.ReadAllBytesAsync(copy, TestContext.Current.CancellationToken));
        JsonElement status = await device.StatusAsync();
        Assert.Equal("memory", status.GetProperty("primary").GetProperty("mode").GetString());
        Assert.Equal("rehearsal", status.GetProperty("conditions")[0].GetString());
        await device.StopAsync();
    }

    /// <summary>What was written is gone, and zeros in its place would be invented.</summary>
    [Fact]
    public async Task A_second_start_is_refused_after_a_stop_and_after_a_kill()
    {
        foreach (bool isKilled in (bool[])[false, true])
        {
            await using DeviceUnderTest device = await CreateAsync();
            await device.ServeAsync();
            await (isKilled ? device.KillAsync() : device.StopAsync());
            CommandResult again = (await device.RunAsync("serve", Name)).Expect(5);
            Assert.Contains("DMR-MEMORY-FORGOTTEN", again.Error, StringComparison.Ordinal);
            CommandResult check = (await device.RunAsync("check", Name)).Expect(5);
            Assert.Contains("DMR-MEMORY-FORGOTTEN", check.Error, StringComparison.Ordinal);
            (await device.RunAsync("rebind", Name, "--main", device.SparePath, "--yes")).Expect(2);
            (await device.RunAsync("delete", Name, "--yes")).Expect(0);
        }
    }

    [Fact]
    public async Task Two_devices_may_have_memory_of_one_size()
    {
        await using DeviceUnderTest device = await CreateAsync();
        string spare = Path.Combine(device.Images, "second.img");
        (await device.RunAsync(
            "create", "second", "--main", "memory:8M", "--spare", spare, "--spare-size", "24M", "--yes"))
            .Expect(0);
    }

    [Theory]
    [InlineData("memory:")]
    [InlineData("memory:0")]
    [InlineData("memory:-1M")]
    [InlineData("memory:100")]
    [InlineData("memory:8E")]
    [InlineData("memory:9000000T")]
    public async Task A_size_that_is_none_is_refused_and_nothing_is_made(string main)
    {
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        CommandResult result = (await device.RunAsync(
            "create", Name, "--main", main, "--spare", device.SparePath, "--spare-size", "24M", "--yes"))
            .Expect(2);
        Assert.Contains("DMR-USAGE", result.Error, StringComparison.Ordinal);
        Assert.False(File.Exists(device.SparePath));
    }

    [Fact]
    public async Task A_spare_of_memory_is_refused_since_it_would_forget_the_table()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[Unit * 100]);
        CommandResult result = (await device.RunAsync(
            "create", Name, "--main", device.MainPath, "--spare", "memory:24M", "--yes")).Expect(2);
        Assert.Contains("memory forgets it", result.Error, StringComparison.Ordinal);
    }

    private static async Task<DeviceUnderTest> CreateAsync()
    {
        DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        (await device.RunAsync(
            "create", Name, "--main", "memory:8M", "--spare", device.SparePath, "--spare-size", "24M",
            "--yes")).Expect(0);
        return device;
    }
}
