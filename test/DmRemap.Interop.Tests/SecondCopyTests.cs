using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>A device whose units are on two spares each, and one of them is lost (F-22).</summary>
public sealed class SecondCopyTests
{
    private const string Name = DeviceUnderTest.Name;
    private const int Unit = DeviceUnderTest.UnitBytes;
    private const int Bad = 800 * 512;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task A_spare_that_is_lost_takes_nothing_along_and_another_one_takes_its_place()
    {
        byte[] model = Content.Of(DeviceUnderTest.MiB);
        await using DeviceUnderTest device = await StartTwofoldAsync(model);
        CommandResult shown = (await device.RunAsync("status", Name)).Expect(0);
        Assert.Contains(
            "second copies of 1 of 1 unit on spares", shown.Output, StringComparison.Ordinal);
        await WriteBadUnitAsync(device, model, 3);
        await device.StopAsync();

        File.Delete(await HolderAsync(device));
        RunningProgram server = device.StartServe("--degraded");
        Assert.Equal($"ready {device.Uri}", await DeviceUnderTest.WaitUntilReadyAsync(server));
        await server.WaitForLineAsync(
            line => line.StartsWith("DMR-EVENT-SECOND-COPY blocks 800-807", StringComparison.Ordinal),
            s_patience);
        Assert.Equal(0, await device.StatusNumberAsync("unavailableUnits"));
        await AssertReadsAsync(device, model);
        await WriteBadUnitAsync(device, model, 4);
        await AssertReadsAsync(device, model);
        string third = Path.Combine(device.Images, "spare-3.img");
        (await device.RunAsync("spare", "add", Name, third, "--size", "32M", "--yes")).Expect(0);
        await UntilTwofoldAsync(device);
        await AssertReadsAsync(device, model);
        await device.StopAsync();
    }

    /// <summary>The process ends between no two writes here, but nobody can know.</summary>
    [Fact]
    public async Task After_a_kill_second_copies_count_again_when_they_have_been_made_anew()
    {
        byte[] model = Content.Of(DeviceUnderTest.MiB);
        await using DeviceUnderTest device = await StartTwofoldAsync(model);
        await device.KillAsync();
        await device.ServeAsync();
        await UntilTwofoldAsync(device);
        await AssertReadsAsync(device, model);
        await device.StopAsync();
        (await device.RunAsync("check", Name)).Expect(0);
    }

    /// <summary>As after a power cut that an old spare does not survive.</summary>
    [Fact]
    public async Task After_a_kill_a_person_may_trust_the_second_copies_of_a_spare_that_is_lost()
    {
        byte[] model = Content.Of(DeviceUnderTest.MiB);
        await using DeviceUnderTest device = await StartTwofoldAsync(model);
        await device.KillAsync();
        File.Delete(await HolderAsync(device));
        RunningProgram careful = device.StartServe("--degraded");
        Assert.Equal($"ready {device.Uri}", await DeviceUnderTest.WaitUntilReadyAsync(careful));
        using (NbdTestClient client = await device.ConnectAsync())
        {
            Assert.Equal(NbdTestClient.ErrorIo, await client.ReadAsync(Bad, new byte[Unit]));
        }
        Assert.Contains("--trust-copies", careful.Said, StringComparison.Ordinal);
        Assert.Equal(1, await device.StatusNumberAsync("unavailableUnits"));
        await device.KillAsync();

        RunningProgram trusting = device.StartServe("--degraded", "--trust-copies");
        Assert.Equal($"ready {device.Uri}", await DeviceUnderTest.WaitUntilReadyAsync(trusting));
        Assert.Equal(0, await device.StatusNumberAsync("unavailableUnits"));
        await AssertReadsAsync(device, model);
        await trusting.WaitForLineAsync(
            line => line.StartsWith("DMR-EVENT-SECOND-COPY blocks 800-807", StringComparison.Ordinal),
            s_patience);
        await AssertReadsAsync(device, model);
        await device.StopAsync();
        CommandResult alone = await device.RunAsync("serve", Name, "--trust-copies");
        Assert.Equal(2, alone.ExitCode);
    }

    private static async Task<DeviceUnderTest> StartTwofoldAsync(byte[] model)
    {
        DeviceUnderTest device = DeviceUnderTest.Prepare(model);
        string other = Path.Combine(device.Images, "spare-2.img");
        DeviceUnderTest.WriteZeros(other, DeviceUnderTest.SpareBytesDefault);
        await device.CreateAsync("--spare", other, "--copies", "2");
        await device.ServeAsync("800-807 write");
        await WriteBadUnitAsync(device, model, 2);
        await UntilTwofoldAsync(device);
        return device;
    }

    private static async Task WriteBadUnitAsync(DeviceUnderTest device, byte[] model, int version)
    {
        using NbdTestClient client = await device.ConnectAsync();
        Content.Fill(model.AsSpan(Bad, Unit), Bad, version);
        Assert.Equal(0u, await client.WriteAsync(Bad, model.AsMemory(Bad, Unit)));
        Assert.Equal(0u, await client.FlushAsync());
    }

    private static async Task UntilTwofoldAsync(DeviceUnderTest device)
    {
        Stopwatch watch = Stopwatch.StartNew();
        for (; ; )
        {
            JsonElement copies = (await device.StatusAsync()).GetProperty("copies");
            bool isThere = copies.GetProperty("unitsWithTwo").GetInt64() == 1;
            if (isThere && copies.GetProperty("inStep").GetBoolean())
            {
                return;
            }
            Assert.True(watch.Elapsed < s_patience, copies.ToString());
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }
    }

    private static async Task AssertReadsAsync(DeviceUnderTest device, byte[] model)
    {
        using NbdTestClient client = await device.ConnectAsync();
        byte[] found = new byte[model.Length];
        Assert.Equal(0u, await client.ReadAsync(0, found));
        Content.AssertEqual(model, found, "all of it");
    }

    /// <summary>The spare that decides for the unit.</summary>
    private static async Task<string> HolderAsync(DeviceUnderTest device)
    {
        CommandResult dump = (await device.RunAsync("dump", Name, "--json")).Expect(0);
        using JsonDocument document = JsonDocument.Parse(dump.Output);
        JsonElement run = Assert.Single(document.RootElement.GetProperty("runs").EnumerateArray().ToArray());
        Assert.NotEqual(
            run.GetProperty("spare").GetInt32(), run.GetProperty("secondSpare").GetInt32());
        return document.RootElement.GetProperty("spares").EnumerateArray()
            .Single(spare => spare.GetProperty("member").GetInt32() == run.GetProperty("spare").GetInt32())
            .GetProperty("path").GetString()!;
    }
}
