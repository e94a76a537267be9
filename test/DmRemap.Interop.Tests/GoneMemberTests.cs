using System;
using System.Diagnostics;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>Disks that vanish under load, and come back, through the real program.</summary>
public sealed class GoneMemberTests
{
    private const string Name = DeviceUnderTest.Name;
    private const long MiB = DeviceUnderTest.MiB;
    private const int Unit = DeviceUnderTest.UnitBytes;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    /// <summary>Of the control socket, while requests wait for a disk: noise included.</summary>
    private static readonly TimeSpan s_controlMax = TimeSpan.FromSeconds(2);

    [Fact]
    public async Task Server_of_the_main_device_dies_under_fio_which_sees_a_pause_and_no_error()
    {
        RequiredTools.SkipUnless("nbdkit", "fio");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[MiB]);
        NbdKit main = await NbdKit.StartAsync(device, "main", new byte[4 * MiB]);
        (await device.RunAsync(
            "create", Name, "--main", main.Uri, "--spare", device.SparePath, "--yes")).Expect(0);
        await device.ServeAsync();
        RunningProgram fio = StartFio(device);
        await DeviceUnderTest.UntilAsync(async () => await WritesAsync(device) > 200);
        await main.KillAsync();
        await DeviceUnderTest.UntilAsync(async () => await HeldAsync(device) > 0);
        await ControlAnswersAsync(device);
        long before = await WritesAsync(device);
        Assert.Contains("gone", await device.ConditionsAsync(), StringComparison.Ordinal);
        Assert.False(fio.HasEnded, fio.Said);
        string text = (await device.RunAsync("status", Name)).Expect(0).Output;
        Assert.Contains("waiting for it", text, StringComparison.Ordinal);
        JsonElement gone = (await device.StatusAsync()).GetProperty("primary").GetProperty("gone");
        Assert.True(gone.GetProperty("holds").GetBoolean());
        Assert.InRange(gone.GetProperty("holdsForMs").GetInt64(), 1, 120_000);
        await main.StartAgainAsync();
        Assert.Equal(0, await fio.WaitForEndAsync(s_patience));
        Assert.DoesNotContain("verify:", fio.Said, StringComparison.Ordinal);
        Assert.True(await WritesAsync(device) > before);
        await device.AssertNothingMovedAsync();
        Assert.DoesNotContain("gone", await device.ConditionsAsync(), StringComparison.Ordinal);
        Assert.Contains("DMR-EVENT-GONE main", device.Server.Said, StringComparison.Ordinal);
        Assert.Contains("DMR-EVENT-BACK main", device.Server.Said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Disk_that_vanishes_under_fio_and_returns_costs_no_remap_and_no_error()
    {
        RequiredTools.SkipUnless("fio");
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(new byte[4 * MiB]);
        string rule = $"0-{(4 * MiB / 512) - 1} both errno=ENODEV";
        RunningProgram fio = StartFio(device);
        await DeviceUnderTest.UntilAsync(async () => await WritesAsync(device) > 200);
        (await device.RunAsync("faults", Name, "add", rule)).Expect(0);
        await DeviceUnderTest.UntilAsync(async () => await HeldAsync(device) > 0);
        await ControlAnswersAsync(device);
        (await device.RunAsync("faults", Name, "clear", rule)).Expect(0);
        Assert.Equal(0, await fio.WaitForEndAsync(s_patience));
        Assert.DoesNotContain("verify:", fio.Said, StringComparison.Ordinal);
        await device.AssertNothingMovedAsync();
        Assert.DoesNotContain("gone", await device.ConditionsAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Stop_ends_at_once_while_requests_wait_for_a_disk_without_end()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(MiB));
        await device.CreateAsync();
        await DeviceUnderTest.WaitUntilReadyAsync(device.StartServe("--on-gone=hold"));
        using NbdTestClient client = await device.ConnectAsync();
        Assert.Equal(0u, await client.FlushAsync());
        (await device.RunAsync("faults", Name, "add", "0-2047 both errno=ENXIO")).Expect(0);
        Task<uint> read = client.ReadAsync(0, new byte[Unit]);
        await DeviceUnderTest.UntilAsync(async () => await HeldAsync(device) == 1);
        Stopwatch elapsed = Stopwatch.StartNew();
        await device.RunAsync("stop", Name, "--deadline", "30");
        Assert.True(elapsed.Elapsed < TimeSpan.FromSeconds(15), $"{elapsed.Elapsed}");
        Assert.True(await device.Server.WaitForEndAsync(s_patience) is 0 or 7, device.Server.Said);
        Assert.NotEqual(0u, await read);
    }

    [Fact]
    public async Task Patience_of_a_second_ends_with_an_error_and_clear_is_as_good_as_a_return()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(MiB));
        await device.CreateAsync();
        await DeviceUnderTest.WaitUntilReadyAsync(device.StartServe("--on-gone", "hold:1"));
        using NbdTestClient client = await device.ConnectAsync();
        (await device.RunAsync("faults", Name, "add", "0-2047 both errno=ENODEV")).Expect(0);
        Assert.Equal(NbdTestClient.ErrorIo, await client.WriteAsync(0, new byte[Unit]));
        JsonElement gone = (await device.StatusAsync()).GetProperty("primary").GetProperty("gone");
        Assert.Equal(0, gone.GetProperty("requestsHeld").GetInt64());
        Assert.True(gone.GetProperty("sinceMs").GetInt64() >= 1000);
        Assert.False(gone.GetProperty("holds").GetBoolean());
        (await device.RunAsync("faults", Name, "clear", "0-2047 both errno=ENODEV")).Expect(0);
        (await device.RunAsync("clear", Name, "gone")).Expect(0);
        Assert.DoesNotContain("gone", await device.ConditionsAsync(), StringComparison.Ordinal);
        Assert.Equal(0u, await client.WriteAsync(0, new byte[Unit]));
        await device.AssertNothingMovedAsync();
    }

    [Theory]
    [InlineData("hold:0")]
    [InlineData("hold:-1")]
    [InlineData("hold:")]
    [InlineData("wait")]
    public async Task Policy_that_is_none_is_refused(string policy)
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(MiB));
        await device.CreateAsync();
        CommandResult refused = (await device.RunAsync("serve", Name, "--on-gone", policy)).Expect(2);
        Assert.Contains("hold[:SECONDS]|fail", refused.Error, StringComparison.Ordinal);
    }

    private static RunningProgram StartFio(DeviceUnderTest device) =>
        device.StartBeside(
            "fio",
            ["--name=gone", "--ioengine=nbd", "--uri=" + device.Uri, "--rw=randwrite", "--bs=4k",
                $"--size={4 * MiB}", "--iodepth=16", "--verify=crc32c", "--verify_fatal=1", "--loops=4",
                "--rate_iops=400", "--minimal"]);

    private static async Task ControlAnswersAsync(DeviceUnderTest device)
    {
        using ControlTestClient control = await ControlTestClient.ConnectAsync(device);
        for (int i = 0; i < 20; i++)
        {
            Stopwatch elapsed = Stopwatch.StartNew();
            await control.MeasureAsync("status");
            Assert.True(elapsed.Elapsed < s_controlMax, $"{elapsed.Elapsed}");
        }
    }

    private static async Task<long> WritesAsync(DeviceUnderTest device) =>
        (await device.StatusAsync()).GetProperty("counters").GetProperty("writes").GetInt64();

    private static async Task<long> HeldAsync(DeviceUnderTest device)
    {
        JsonElement gone = (await device.StatusAsync()).GetProperty("primary").GetProperty("gone");
        return gone.ValueKind == JsonValueKind.Null ? 0 : gone.GetProperty("requestsHeld").GetInt64();
    }
}
