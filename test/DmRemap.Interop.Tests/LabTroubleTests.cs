using System;
using System.Diagnostics;
using System.Globalization;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// A disk of the lab, of each model, that vanishes or stalls as a whole under fio, which writes with
/// checksums where the model has no bad sector: nothing may be moved for it. DMREMAP_LONG=1: it stalls for a
/// minute.
/// </summary>
public sealed class LabTroubleTests
{
    private const string Name = DeviceUnderTest.Name;
    private const int Sector = 512;
    private const int Unit = DeviceUnderTest.UnitBytes;
    private const long MiB = DeviceUnderTest.MiB;

    /// <summary>Of the disk's sectors, without a defect: what fio writes, and as much that is read.</summary>
    private const long RegionBytes = 8 * MiB;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(120);
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan s_stall = TimeSpan.FromSeconds(
        Environment.GetEnvironmentVariable("DMREMAP_LONG") == "1" ? 60 : 8);

    private readonly ITestOutputHelper _output;

    public LabTroubleTests(ITestOutputHelper output) => _output = output;

    [Theory]
    [InlineData("nearline")]
    [InlineData("enterprise")]
    [InlineData("scratch")]
    [InlineData("worn-flash")]
    public async Task Disk_that_vanishes_under_fio_and_returns_costs_a_pause_and_nothing_else(string model)
    {
        RequiredTools.SkipUnless("fio");
        await using LabUnderTest lab = await StartDiskAsync(model);
        await using DeviceUnderTest device = await ServeAsync(lab);
        RunningProgram fio = StartFio(device, await FindRegionAsync(lab));
        using NbdTestClient other = await device.ConnectAsync();
        await UntilUnderLoadAsync(device);
        await lab.TellAsync("vanish");
        await DeviceUnderTest.UntilAsync(
            async () => (await device.ConditionsAsync()).Contains("gone", StringComparison.Ordinal));
        await WatchAsync(device, TimeSpan.FromSeconds(2));
        Assert.False(fio.HasEnded, fio.Said);
        long before = await device.StatusNumberAsync("counters", "writes");
        await lab.TellAsync("return");
        Assert.Equal(0, await fio.WaitForEndAsync(s_patience));
        Assert.DoesNotContain("verify:", fio.Said, StringComparison.Ordinal);
        Assert.True(await device.StatusNumberAsync("counters", "writes") > before);
        await device.AssertNothingMovedAsync();
        Assert.DoesNotContain("gone", await device.ConditionsAsync(), StringComparison.Ordinal);
        Assert.Contains("DMR-EVENT-BACK main", device.Server.Said, StringComparison.Ordinal);
        // What it had taken and not flushed may be gone with its power, for all that is known: told once.
        Assert.Equal(NbdTestClient.ErrorIo, await other.FlushAsync());
        Assert.Equal(0u, await other.FlushAsync());
        CommandResult stopped = (await device.RunAsync("stop", Name)).Expect(7);
        Assert.Contains("what had been acknowledged may be lost", stopped.Output, StringComparison.Ordinal);
        await lab.StopAsync();
    }

    [Theory]
    [InlineData("nearline")]
    [InlineData("worn-flash")]
    public async Task Disk_that_stalls_under_fio_fails_late_reads_and_loses_no_write(string model)
    {
        RequiredTools.SkipUnless("fio");
        await using LabUnderTest lab = await StartDiskAsync(model);
        await using DeviceUnderTest device = await ServeAsync(lab);
        long region = await FindRegionAsync(lab);
        RunningProgram fio = StartFio(device, region);
        using NbdTestClient reader = await device.ConnectAsync();
        long readAt = region + RegionBytes;
        Assert.Equal(0u, await reader.ReadAsync(readAt, new byte[Unit]));
        await UntilUnderLoadAsync(device);
        await lab.TellAsync("stall");
        Task<TimeSpan> watch = WatchAsync(device, s_stall);
        for (int reads = 0; !watch.IsCompleted; reads++)
        {
            // Each at another place: what has been asked for already may be answered from what is on its way.
            Stopwatch waited = Stopwatch.StartNew();
            uint error = await reader.ReadAsync(readAt + ((reads + 1) * Unit), new byte[Unit]);
            Assert.Equal(NbdTestClient.ErrorIo, error);
            Assert.InRange(
                waited.Elapsed, TimeSpan.Zero, s_deadline + MachineLoad.Allow(1500, 6000));
            // From some time on they fail at once.
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }
        _output.WriteLine($"{model}: status took at most {(await watch).TotalMilliseconds:f1} ms");
        Assert.False(fio.HasEnded, fio.Said);
        await lab.TellAsync("return");
        Assert.Equal(0, await fio.WaitForEndAsync(s_patience));
        Assert.DoesNotContain("verify:", fio.Said, StringComparison.Ordinal);
        Assert.Equal(0u, await reader.ReadAsync(readAt + Unit, new byte[Unit]));
        await device.AssertNothingMovedAsync();
        await device.StopAsync();
        await lab.StopAsync();
    }

    private static Task<LabUnderTest> StartDiskAsync(string model) =>
        LabUnderTest.StartAsync("--size", "4G", "--model", model, "--seed", "1");

    private static async Task<DeviceUnderTest> ServeAsync(LabUnderTest lab)
    {
        DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        try
        {
            DeviceUnderTest.WriteZeros(device.SparePath, DeviceUnderTest.SpareBytesDefault);
            (await device.RunAsync("create", Name, "--main", lab.Uri, "--spare", device.SparePath, "--yes"))
                .Expect(0);
            await device.ServeAsync(["--read-deadline=2"], []);
            return device;
        }
        catch
        {
            await device.DisposeAsync();
            throw;
        }
    }

    /// <summary>Where twice the region is without a defect, in bytes.</summary>
    private static async Task<long> FindRegionAsync(LabUnderTest lab)
    {
        long start = 0;
        foreach (string line in await lab.ListAsync())
        {
            long[] ends = [.. line.Split(' ')[0].Split('-').Select(
                end => long.Parse(end, CultureInfo.InvariantCulture))];
            if ((ends[0] * Sector) - start >= 2 * RegionBytes)
            {
                return start;
            }
            start = ((ends[^1] * Sector / MiB) + 1) * MiB;
        }
        Assert.True(start + (2 * RegionBytes) <= 4096 * MiB, "the model's defects leave no room");
        return start;
    }

    /// <summary>Writes of ten seconds, and then the check of all of them.</summary>
    private static RunningProgram StartFio(DeviceUnderTest device, long offset) =>
        device.StartBeside(
            "fio",
            ["--name=trouble", "--ioengine=nbd", "--uri=" + device.Uri, "--rw=randwrite", "--bs=4k",
                $"--offset={offset}", $"--size={RegionBytes}", "--iodepth=16", "--verify=crc32c",
                "--verify_fatal=1", "--rate_iops=200", "--minimal"]);

    private static Task UntilUnderLoadAsync(DeviceUnderTest device) => DeviceUnderTest.UntilAsync(
        async () => await device.StatusNumberAsync("counters", "writes") > 100);

    /// <summary>For so long status is asked again and again; how long the slowest answer took.</summary>
    private static async Task<TimeSpan> WatchAsync(DeviceUnderTest device, TimeSpan time)
    {
        using ControlTestClient control = await ControlTestClient.ConnectAsync(device);
        TimeSpan slowest = TimeSpan.Zero;
        Stopwatch watched = Stopwatch.StartNew();
        while (watched.Elapsed < time)
        {
            (JsonElement _, TimeSpan took) = await control.MeasureAsync("status");
            Assert.InRange(took, TimeSpan.Zero, MachineLoad.Allow(100, 2000));
            slowest = took > slowest ? took : slowest;
            await Task.Delay(50);
        }
        return slowest;
    }
}
