using System;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// One of several spares is missing: refused, served on request, and taken in when it is back.
/// </summary>
public sealed class MissingSpareTests
{
    private const string Name = DeviceUnderTest.Name;
    private const int Unit = DeviceUnderTest.UnitBytes;
    private const string Faults = "800-807 write";
    private const long Offset = 800 * 512;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Without_a_spare_that_holds_a_unit_exactly_that_unit_fails_until_it_is_back()
    {
        byte[] model = Content.Of(DeviceUnderTest.MiB);
        await using DeviceUnderTest device = await StartWithTwoSparesAsync(model);
        string holder = await HolderAsync(device);
        string aside = holder + ".aside";
        File.Move(holder, aside);
        await AssertRefusedAsync(device, "DMR-META-MISSING-SPARE", holder);
        CommandResult check = (await device.RunAsync("check", Name)).Expect(5);
        Assert.Contains($"{holder}: missing, with 1 unit on it", check.Output, StringComparison.Ordinal);

        await ServeAsync(device, "--degraded");
        string said = await SaysAsync(device, "DMR-EVENT-SPARE-MISSING " + holder);
        Assert.Contains("the blocks of 1 unit", said, StringComparison.Ordinal);
        JsonElement status = await device.StatusAsync();
        JsonElement spare = status.GetProperty("spares").EnumerateArray()
            .Single(one => one.GetProperty("path").GetString() == holder);
        Assert.Equal("missing", spare.GetProperty("state").GetString());
        Assert.Contains(
            "degraded", status.GetProperty("conditions").EnumerateArray().Select(one => one.GetString()));
        using (NbdTestClient client = await device.ConnectAsync())
        {
            await AssertReadsAsync(client, model, failing: Offset / Unit);
            // What is not on it is served in full: also a new bad sector, and a flush.
            await device.AddFaultAsync("1600-1607 write");
            Content.Fill(model.AsSpan(1600 * 512, Unit), 1600 * 512, 3);
            Assert.Equal(0u, await client.WriteAsync(1600 * 512, model.AsMemory(1600 * 512, Unit)));
            Assert.Equal(0u, await client.FlushAsync());
        }
        await device.StopAsync();

        File.Move(aside, holder);
        await device.ServeAsync();
        await SaysAsync(device, "DMR-EVENT-SPARE-RESYNCED " + holder);
        using (NbdTestClient client = await device.ConnectAsync())
        {
            await AssertReadsAsync(client, model, failing: -1);
        }
        await device.StopAsync();
        (await device.RunAsync("check", Name)).Expect(0);
    }

    [Fact]
    public async Task Without_a_spare_that_holds_nothing_everything_is_served()
    {
        byte[] model = Content.Of(DeviceUnderTest.MiB);
        await using DeviceUnderTest device = await StartWithTwoSparesAsync(model);
        string idle = SpareBeside(device, await HolderAsync(device));
        await AssertUsageAsync(device, "--without", idle);
        await AssertUsageAsync(device, "--degraded", "--without", Path.Combine(device.Images, "other.img"));
        await ServeAsync(device, "--degraded", "--without", idle);
        Assert.Contains(
            "no block is on it", await SaysAsync(device, "DMR-EVENT-SPARE-MISSING " + idle),
            StringComparison.Ordinal);
        using (NbdTestClient client = await device.ConnectAsync())
        {
            await AssertReadsAsync(client, model, failing: -1);
            Assert.Equal(0u, await client.FlushAsync());
        }
        await device.StopAsync();
        Assert.Contains(
            "behind", (await device.RunAsync("check", Name)).Expect(7).Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_whole_unit_written_while_its_spare_is_missing_moves_and_nothing_is_retired()
    {
        byte[] model = Content.Of(DeviceUnderTest.MiB);
        await using DeviceUnderTest device = await StartWithTwoSparesAsync(model);
        string holder = await HolderAsync(device);
        string aside = holder + ".aside";
        File.Move(holder, aside);
        await ServeAsync(device, "--degraded");
        Assert.Equal(1, await device.StatusNumberAsync("unavailableUnits"));
        using (NbdTestClient client = await device.ConnectAsync())
        {
            Content.Fill(model.AsSpan((int)Offset, Unit), Offset, 4);
            Assert.Equal(0u, await client.WriteAsync(Offset, model.AsMemory((int)Offset, Unit)));
            Assert.Equal(0u, await client.FlushAsync());
            await AssertReadsAsync(client, model, failing: -1);
        }
        string moved = await SaysAsync(device, "DMR-EVENT-REMAPPED");
        Assert.Contains($"writing to {holder} failed (ENODEV)", moved, StringComparison.Ordinal);
        Assert.Equal(0, await device.StatusNumberAsync("unavailableUnits"));
        Assert.Equal(0, await device.StatusNumberAsync("counters", "spareUnitsRetired"));
        await device.StopAsync();

        File.Move(aside, holder);
        await device.ServeAsync();
        using (NbdTestClient client = await device.ConnectAsync())
        {
            await AssertReadsAsync(client, model, failing: -1);
        }
        await device.StopAsync();
        CommandResult dump = (await device.RunAsync("dump", Name)).Expect(0);
        Assert.DoesNotContain("retired", dump.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("ENODEV", dump.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Spares_that_went_on_without_each_other_are_refused()
    {
        byte[] model = Content.Of(DeviceUnderTest.MiB);
        await using DeviceUnderTest device = await StartWithTwoSparesAsync(model);
        string second = SpareBeside(device, device.SparePath);
        foreach (string left in new[] { second, device.SparePath })
        {
            // The second has not seen what the first did, and this machine has: it takes a word more.
            await ServeAsync(device, "--degraded", "--without", left, "--accept-rollback");
            await device.StopAsync();
        }
        CommandResult result = await AssertRefusedAsync(device, "DMR-META-DIVERGED", "--without");
        CommandResult check = (await device.RunAsync("check", Name)).Expect(5);
        Assert.Equal(result.Error, check.Error);
        (await device.RunAsync("repair", Name)).Expect(5);
        await ServeAsync(device, "--degraded", "--without", second, "--accept-rollback");
        await device.StopAsync();
    }

    [Fact]
    public async Task Without_any_spare_there_is_no_table_and_nothing_is_served()
    {
        await using DeviceUnderTest device = await StartWithTwoSparesAsync(Content.Of(DeviceUnderTest.MiB));
        string second = SpareBeside(device, device.SparePath);
        CommandResult result = await device.RunAsync(
            "serve", Name, "--degraded", "--without", second, "--without", device.SparePath);
        Assert.Contains("[DMR-META-MISSING-SPARE]", result.Expect(5).Error, StringComparison.Ordinal);
        File.Delete(second);
        File.Delete(device.SparePath);
        (await device.RunAsync("serve", Name, "--degraded")).Expect(3);
    }

    private static async Task<DeviceUnderTest> StartWithTwoSparesAsync(byte[] model)
    {
        DeviceUnderTest device = DeviceUnderTest.Prepare(model);
        string second = Path.Combine(device.Images, "spare-2.img");
        DeviceUnderTest.WriteZeros(second, DeviceUnderTest.SpareBytesDefault);
        await device.CreateAsync("--spare", second);
        await device.ServeAsync(Faults);
        using (NbdTestClient client = await device.ConnectAsync())
        {
            Content.Fill(model.AsSpan((int)Offset, Unit), Offset, 2);
            Assert.Equal(0u, await client.WriteAsync(Offset, model.AsMemory((int)Offset, Unit)));
        }
        await device.StopAsync();
        return device;
    }

    private static string SpareBeside(DeviceUnderTest device, string spare)
    {
        string second = Path.Combine(device.Images, "spare-2.img");
        return spare == second ? device.SparePath : second;
    }

    /// <summary>The spare on which the remapped unit lies.</summary>
    private static async Task<string> HolderAsync(DeviceUnderTest device)
    {
        CommandResult dump = (await device.RunAsync("dump", Name, "--json")).Expect(0);
        using JsonDocument document = JsonDocument.Parse(dump.Output);
        JsonElement run = Assert.Single(document.RootElement.GetProperty("runs").EnumerateArray().ToArray());
        int member = run.GetProperty("spare").GetInt32();
        return document.RootElement.GetProperty("spares").EnumerateArray()
            .Single(spare => spare.GetProperty("member").GetInt32() == member)
            .GetProperty("path").GetString()!;
    }

    private static async Task ServeAsync(DeviceUnderTest device, params string[] options)
    {
        RunningProgram server = device.StartServe(options);
        Assert.Equal($"ready {device.Uri}", await DeviceUnderTest.WaitUntilReadyAsync(server));
    }

    private static Task<string> SaysAsync(DeviceUnderTest device, string start) =>
        device.Server.WaitForLineAsync(
            line => line.StartsWith(start, StringComparison.Ordinal), s_patience);

    private static async Task<CommandResult> AssertRefusedAsync(
        DeviceUnderTest device, string id, string names)
    {
        CommandResult result = (await device.RunAsync("serve", Name)).Expect(5);
        Assert.Contains($"[{id}]", result.Error, StringComparison.Ordinal);
        Assert.Contains(names, result.Error, StringComparison.Ordinal);
        return result;
    }

    private static async Task AssertUsageAsync(DeviceUnderTest device, params string[] options) =>
        (await device.RunAsync(["serve", Name, .. options])).Expect(2);

    private static async Task AssertReadsAsync(NbdTestClient client, byte[] model, long failing)
    {
        byte[] found = new byte[Unit];
        for (int unit = 0; unit < model.Length / Unit; unit++)
        {
            uint error = await client.ReadAsync((long)unit * Unit, found);
            Assert.Equal(unit == failing ? NbdTestClient.ErrorIo : 0u, error);
            if (error == 0)
            {
                Content.AssertEqual(model.AsSpan(unit * Unit, Unit), found, $"unit {unit}");
            }
        }
    }
}
