using System;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>The scrub through the real program: what it finds, and that it goes on after a restart.</summary>
public sealed class ScrubTests
{
    private const string Name = DeviceUnderTest.Name;
    private const long MiB = DeviceUnderTest.MiB;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Weak_sectors_move_before_anybody_asks_and_what_does_not_read_is_counted()
    {
        byte[] model = Content.Of(8 * MiB);
        string[] faults = ["2048-2055 read errno=ENODATA tries=3", "9000-9007 read"];
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(model, faults);
        (await device.RunAsync("scrub", Name, "--rate", "64M")).Expect(0);
        JsonElement ended = await WaitAsync(device, "ended");
        Assert.Equal(8, ended.GetProperty("blocksFailed").GetInt64());
        Assert.Equal(1, await device.StatusNumberAsync("remaps"));
        // Tried again meanwhile, it may have been given up.
        long given = await device.StatusNumberAsync("lostBlocks") / 8;
        Assert.Equal(1, await device.StatusNumberAsync("suspectUnits") + given);
        Assert.Equal(0, await device.StatusNumberAsync("counters", "clientErrors"));
        // The weak place is not needed any more.
        await device.AddFaultAsync("2048-2055 both");
        using NbdTestClient client = await device.ConnectAsync();
        byte[] read = new byte[4096];
        Assert.Equal(0u, await client.ReadAsync(2048 * 512, read));
        Content.AssertEqual(model.AsSpan(2048 * 512, 4096), read, "the weak unit");
        string text = (await device.RunAsync("scrub", Name, "--status")).Expect(0).Output;
        Assert.Contains("the whole device, 8 blocks did not read", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task It_goes_on_where_it_was_after_a_stop_and_keeps_its_place_after_a_kill()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(8 * MiB));
        (await device.RunAsync("scrub", Name, "--rate", "1M")).Expect(0);
        double before = await WaitForStepAsync(device, 0.05);
        await device.StopAsync();
        await device.ServeAsync();
        JsonElement again = await ReportAsync(device, "--status");
        Assert.Equal("running", again.GetProperty("state").GetString());
        Assert.InRange(again.GetProperty("done").GetDouble(), before, 1);
        Assert.Equal(MiB, again.GetProperty("bytesPerSecond").GetInt64());
        double stopped = (await ReportAsync(device, "--stop")).GetProperty("done").GetDouble();
        await device.KillAsync();
        await device.ServeAsync();
        again = await ReportAsync(device, "--status");
        Assert.Equal("stopped", again.GetProperty("state").GetString());
        Assert.Equal(stopped, again.GetProperty("done").GetDouble());
        (await device.RunAsync("scrub", Name, "--rate", "64M")).Expect(0);
        await WaitAsync(device, "ended");
    }

    [Fact]
    public async Task It_says_its_rate_and_the_time_left_and_that_it_waits_for_a_resume()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(32 * MiB));
        (await device.RunAsync("scrub", Name, "--rate", "1M")).Expect(0);
        await WaitForStepAsync(device, 0.05);
        JsonElement running = await ReportAsync(device, "--status");
        Assert.InRange(running.GetProperty("bytesPerSecondMeasured").GetInt64(), 1, 2 * MiB);
        Assert.InRange(running.GetProperty("secondsLeft").GetInt64(), 10, 3600);
        (await device.RunAsync("suspend", Name)).Expect(0);
        JsonElement waiting = await ReportAsync(device, "--status");
        Assert.Equal("waiting", waiting.GetProperty("state").GetString());
        Assert.Equal("resume", waiting.GetProperty("waitsFor").GetString());
        string text = (await device.RunAsync("status", Name)).Expect(0).Output;
        Assert.Contains("waits: the device is suspended", text, StringComparison.Ordinal);
        (await device.RunAsync("resume", Name)).Expect(0);
        await WaitAsync(device, "running");
    }

    [Theory]
    [InlineData("--rate", "3")]
    [InlineData("--start", "--stop")]
    [InlineData("--stop", "--rate=1M")]
    public async Task What_makes_no_sense_is_refused(string first, string second)
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        (await device.RunAsync("scrub", Name, first, second)).Expect(2);
    }

    [Fact]
    public async Task Only_what_waits_for_a_person_can_be_cleared()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB), "0-2047 read");
        using NbdTestClient client = await device.ConnectAsync();
        Assert.Equal(NbdTestClient.ErrorIo, await client.ReadAsync(0, new byte[512]));
        JsonElement conditions = (await device.StatusAsync()).GetProperty("conditions");
        Assert.Contains("storm", conditions.ToString(), StringComparison.Ordinal);
        string cleared = (await device.RunAsync("clear", Name, "storm")).Expect(0).Output;
        Assert.Contains("storm is cleared", cleared, StringComparison.Ordinal);
        conditions = (await device.StatusAsync()).GetProperty("conditions");
        Assert.DoesNotContain("storm", conditions.ToString(), StringComparison.Ordinal);
        CommandResult refused = (await device.RunAsync("clear", Name, "degraded")).Expect(2);
        Assert.Contains("it ends when what causes it does", refused.Error, StringComparison.Ordinal);
    }

    private static async Task<JsonElement> ReportAsync(DeviceUnderTest device, string action)
    {
        CommandResult result = (await device.RunAsync("scrub", Name, action, "--json")).Expect(0);
        return JsonDocument.Parse(result.Output).RootElement;
    }

    private static async Task<JsonElement> WaitAsync(DeviceUnderTest device, string state)
    {
        using CancellationTokenSource patience = new(s_patience);
        JsonElement report = await ReportAsync(device, "--status");
        while (report.GetProperty("state").GetString() != state)
        {
            await Task.Delay(100, patience.Token);
            report = await ReportAsync(device, "--status");
        }
        return report;
    }

    private static async Task<double> WaitForStepAsync(DeviceUnderTest device, double share)
    {
        using CancellationTokenSource patience = new(s_patience);
        double done = 0;
        while (done < share)
        {
            await Task.Delay(100, patience.Token);
            done = (await ReportAsync(device, "--status")).GetProperty("done").GetDouble();
        }
        return done;
    }
}
