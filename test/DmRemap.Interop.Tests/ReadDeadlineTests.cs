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
/// The main device's server is stopped (SIGSTOP) for a while under a client: reads fail at their deadline,
/// writes wait and are not lost, nothing is remapped, the control socket answers, and the device is said to
/// be slow.
/// </summary>
public sealed class ReadDeadlineTests
{
    private const string Name = DeviceUnderTest.Name;
    private const int Unit = DeviceUnderTest.UnitBytes;
    private const int ReadsAtOnce = 30;

    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan s_stall = TimeSpan.FromSeconds(12);

    [Fact]
    public async Task Reads_of_a_disk_that_stalls_fail_in_time_and_nothing_else_does()
    {
        RequiredTools.SkipUnless("nbdkit");
        byte[] model = Content.Of(DeviceUnderTest.MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(model);
        NbdKit main = await NbdKit.StartAsync(device, "main", model);
        (await device.RunAsync(
            "create", Name, "--main", main.Uri, "--spare", device.SparePath, "--yes")).Expect(0);
        await device.ServeAsync(["--read-deadline=2"], []);
        using NbdTestClient reader = await device.ConnectAsync();
        using NbdTestClient writer = await device.ConnectAsync();
        List<NbdTestClient> others = [];
        for (int i = 0; i < ReadsAtOnce; i++)
        {
            others.Add(await device.ConnectAsync());
        }
        Assert.Equal(0u, await reader.ReadAsync(0, new byte[Unit]));

        await main.HoldAsync();
        Stopwatch stalled = Stopwatch.StartNew();
        Content.Fill(model.AsSpan(5 * Unit, Unit), 5 * Unit, 2);
        Task<uint> write = writer.WriteAsync(5 * Unit, model.AsMemory(5 * Unit, Unit));
        Task<uint>[] many = [.. others.Select((one, i) => one.ReadAsync(i * Unit, new byte[Unit]))];
        Stopwatch waited = Stopwatch.StartNew();
        Assert.Equal(NbdTestClient.ErrorIo, await reader.ReadAsync(7 * Unit, new byte[Unit]));
        Assert.InRange(waited.Elapsed, s_deadline, s_deadline + MachineLoad.Allow(1500, 6000));
        Assert.All(await Task.WhenAll(many), error => Assert.Equal(NbdTestClient.ErrorIo, error));
        // Enough are kept for the disk: one more does not wait for the deadline.
        waited.Restart();
        Assert.Equal(NbdTestClient.ErrorIo, await reader.ReadAsync(8 * Unit, new byte[Unit]));
        Assert.InRange(waited.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(1));
        bool wasSlow = await WatchAsync(device, stalled);
        Assert.True(wasSlow, "a disk that answers nothing for 12 seconds was not called slow");
        Assert.False(write.IsCompleted);
        await main.ReleaseAsync();

        Assert.Equal(0u, await write);
        Assert.Equal(0u, await writer.FlushAsync());
        byte[] content = new byte[model.Length / 2];
        Assert.Equal(0u, await reader.ReadAsync(0, content));
        Content.AssertEqual(model.AsSpan(0, content.Length), content, "after the stall");
        Assert.Equal(0, await device.StatusNumberAsync("remaps"));
        Assert.Equal(0, await device.StatusNumberAsync("suspectUnits"));
        Assert.InRange(await device.StatusNumberAsync("counters", "readsAbandoned"), 16, ReadsAtOnce + 1);
        Assert.Contains("DMR-EVENT-READ-DEADLINE main", device.Server.Said, StringComparison.Ordinal);
        Assert.Contains("DMR-EVENT-SLOW main", device.Server.Said, StringComparison.Ordinal);
        others.ForEach(one => one.Dispose());
        await device.StopAsync();
    }

    /// <summary>
    /// Until the end of the stall: status is answered at once; was slow among the conditions?
    /// </summary>
    private static async Task<bool> WatchAsync(DeviceUnderTest device, Stopwatch stalled)
    {
        using ControlTestClient control = await ControlTestClient.ConnectAsync(device);
        bool wasSlow = false;
        while (stalled.Elapsed < s_stall)
        {
            (JsonElement status, TimeSpan took) = await control.MeasureAsync("status");
            Assert.InRange(took, TimeSpan.Zero, MachineLoad.Allow(100, 2000));
            wasSlow |= status.GetProperty("conditions").EnumerateArray()
                .Any(name => name.GetString() == "slow");
            await Task.Delay(200);
        }
        return wasSlow;
    }
}
