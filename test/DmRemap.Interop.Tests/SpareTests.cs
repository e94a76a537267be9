using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>Spares that are added and removed while the device is served, through the real program.</summary>
public sealed class SpareTests
{
    private const string Name = DeviceUnderTest.Name;
    private const long MiB = DeviceUnderTest.MiB;
    private const int Rounds = 6;

    [Fact]
    public async Task An_exhausted_device_takes_a_spare_under_fio_and_goes_on()
    {
        RequiredTools.SkipUnless("fio");
        byte[] model = Content.Of(24 * MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(model, 16 * MiB);
        await device.CreateAsync();
        await device.ServeAsync();
        RunningProgram fio = StartFio(device, 20 * MiB, seconds: 6);
        long units = await device.StatusNumberAsync("spares", "units", "free");
        (await device.RunAsync("remap", Name, $"0-{(units * 8) - 1}")).Expect(0);
        Assert.Contains("exhausted", await device.ConditionsAsync(), StringComparison.Ordinal);
        int bad = (int)(units + 10) * 4096;
        await device.AddFaultAsync($"{bad / 512}-{(bad / 512) + 7} write");
        using NbdTestClient client = await device.ConnectAsync();
        byte[] fresh = Content.Of(4096, version: 2);
        Assert.NotEqual(0u, await client.WriteAsync(bad, fresh));
        string second = Path.Combine(device.Images, "second.img");
        string said = (await device.RunAsync("spare", "add", Name, second, "--size", "20M", "--yes"))
            .Expect(0).Output;
        Assert.Contains("is spare 1 now", said, StringComparison.Ordinal);
        Assert.DoesNotContain("exhausted", await device.ConditionsAsync(), StringComparison.Ordinal);
        Assert.Equal(0u, await client.WriteAsync(bad, fresh));
        fresh.CopyTo(model, bad);
        Assert.Equal(0, await fio.WaitForEndAsync(Command.TimeMax));
        Assert.DoesNotContain("verify:", fio.Said, StringComparison.Ordinal);
        await device.KillAsync();
        await device.ServeAsync();
        await CompareAsync(device, model, 20 * MiB);
        Assert.Equal(["active", "active"], await StatesAsync(device));
        await device.StopAsync();
    }

    [Fact]
    public async Task A_spare_is_emptied_under_fio_and_leaves_and_is_not_believed_again()
    {
        RequiredTools.SkipUnless("fio");
        byte[] model = Content.Of(12 * MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(model);
        await device.CreateAsync();
        await device.ServeAsync();
        (await device.RunAsync("remap", Name, "0-8191")).Expect(0);
        string second = Path.Combine(device.Images, "second.img");
        (await device.RunAsync("spare", "add", Name, second, "--size", "24M", "--yes")).Expect(0);
        RunningProgram fio = StartFio(device, 8 * MiB, seconds: 6);
        // It is claimed: only a program that asks for no lock may read it.
        string kept = Path.Combine(device.Images, "kept.img");
        Assert.Equal(0, (await Command.RunAsync("cp", [device.SparePath, kept])).ExitCode);
        byte[] before = await File.ReadAllBytesAsync(kept, Token);
        string said = (await device.RunAsync("spare", "remove", Name, "0", "--yes")).Expect(0).Output;
        Assert.Contains("1024 units moved", said, StringComparison.Ordinal);
        Assert.Equal(0, await fio.WaitForEndAsync(Command.TimeMax));
        Assert.DoesNotContain("verify:", fio.Said, StringComparison.Ordinal);
        Assert.Equal(["active"], await StatesAsync(device));
        await CompareAsync(device, model, 8 * MiB);
        // Nothing of it is needed any more, and nothing takes it for a spare.
        byte[] erased = await File.ReadAllBytesAsync(device.SparePath, Token);
        Assert.All(erased[..4096], b => Assert.Equal(0, b));
        await device.KillAsync();
        File.Delete(device.SparePath);
        await device.ServeAsync();
        await CompareAsync(device, model, 8 * MiB);
        await File.WriteAllBytesAsync(device.SparePath, before, Token);
        CommandResult refused = (await device.RunAsync(
            "spare", "add", Name, device.SparePath, "--force", "--yes")).Expect(5);
        Assert.Contains("DMR-META-WRONG-SET", refused.Error, StringComparison.Ordinal);
        await device.StopAsync();
    }

    [Fact]
    public async Task A_spare_has_one_number_in_every_view_also_where_another_had_it_before()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        string second = Path.Combine(device.Images, "second.img");
        string third = Path.Combine(device.Images, "third.img");
        (await device.RunAsync("spare", "add", Name, second, "--size", "24M")).Expect(0);
        (await device.RunAsync("spare", "remove", Name, "0", "--yes")).Expect(0);
        // It takes the place of the one that left, and stands last in the registry.
        (await device.RunAsync("spare", "add", Name, third, "--size", "24M")).Expect(0);
        string listed = (await device.RunAsync("spare", "list", Name)).Expect(0).Output;
        Assert.Contains($"0: {third}: active", listed, StringComparison.Ordinal);
        Assert.Contains($"1: {second}: active", listed, StringComparison.Ordinal);
        await device.StopAsync();
        string check = (await device.RunAsync("check", Name)).Expect(0).Output;
        Assert.Contains($"spare 0  {third}", check, StringComparison.Ordinal);
        Assert.Contains($"spare 1  {second}", check, StringComparison.Ordinal);
        foreach (string[] view in (string[][])[["status", Name], ["spare", "list", Name]])
        {
            string stopped = (await device.RunAsync(view)).Expect(0).Output;
            Assert.Contains(third, stopped, StringComparison.Ordinal);
            Assert.DoesNotContain("spare 0", stopped, StringComparison.Ordinal);
            Assert.DoesNotContain("0: ", stopped, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_kill_at_any_moment_of_a_change_leaves_a_device_that_starts_with_every_byte(
        bool isAdding)
    {
        Random random = new(41);
        byte[] model = Content.Of(8 * MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(model);
        await device.CreateAsync();
        await device.ServeAsync();
        (await device.RunAsync("remap", Name, "0-4095")).Expect(0);
        int counted = 1;
        for (int round = 0; round < Rounds; round++)
        {
            string path = Path.Combine(device.Images, $"more{round}.img");
            DeviceUnderTest.WriteZeros(path, 24 * MiB);
            if (!isAdding)
            {
                (await device.RunAsync("spare", "add", Name, path, "--yes")).Expect(0);
            }
            string first = (await SparesAsync(device))[0].GetProperty("path").GetString()!;
            string[] command = isAdding
                ? ["spare", "add", Name, path, "--yes"]
                : ["spare", "remove", Name, first, "--yes"];
            Task<CommandResult> running = device.RunAsync(command);
            // Anywhere: some rounds end before the kill, some have hardly begun.
            await Task.WhenAny(running, Task.Delay(random.Next(0, 900), Token));
            await device.KillAsync();
            await running;
            await device.ServeAsync();
            await CompareAsync(device, model, model.Length);
            string[] states = await SettledAsync(device);
            Assert.All(states, state => Assert.Equal("active", state));
            Assert.InRange(states.Length, isAdding ? counted : 1, isAdding ? counted + 1 : Limits);
            counted = states.Length;
        }
        await CompareAsync(device, model, model.Length);
        await device.StopAsync();
    }

    [Fact]
    public async Task What_must_not_be_added_or_removed_is_refused_and_nothing_is_changed()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        (await device.RunAsync("remap", Name, "0-79")).Expect(0);
        await RefusedAsync(device, "DMR-SPARE-MEMBER", "add", device.SparePath);
        await RefusedAsync(device, "DMR-SPARE-MEMBER", "add", device.MainPath);
        await RefusedAsync(device, "DMR-MEMBER-MISSING", "add", Path.Combine(device.Images, "none"), "--yes");
        string small = Path.Combine(device.Images, "small.img");
        await RefusedAsync(device, "DMR-", "add", small, "--size", "4M", "--yes");
        Assert.False(File.Exists(small));
        await RefusedAsync(device, "DMR-USAGE", "add", "memory:32M", "--yes");
        await RefusedAsync(device, "DMR-SPARE-LAST", "remove", "0", "--yes");
        await RefusedAsync(device, "DMR-SPARE-UNKNOWN", "remove", "7", "--yes");
        string filled = Path.Combine(device.Images, "filled.img");
        await File.WriteAllBytesAsync(filled, Content.Of(24 * MiB), Token);
        (await device.RunAsync("spare", "add", Name, filled)).Expect(2);
        Assert.Single(await SparesAsync(device));
        (await device.RunAsync("suspend", Name)).Expect(0);
        await RefusedAsync(device, "DMR-DEVICE-SUSPENDED", "add", filled, "--yes");
        (await device.RunAsync("resume", Name)).Expect(0);
        (await device.RunAsync("spare", "add", Name, filled, "--yes")).Expect(0);
        string listed = (await device.RunAsync("spare", "list", Name)).Expect(0).Output;
        Assert.Contains("10 units used", listed, StringComparison.Ordinal);
        Assert.Contains("6 of 6 superblocks", listed, StringComparison.Ordinal);
        await device.StopAsync();
    }

    private const int Limits = 8;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static RunningProgram StartFio(DeviceUnderTest device, long offset, int seconds) =>
        device.StartBeside(
            "fio", "--name=beside", "--ioengine=nbd", "--uri=" + device.Uri, "--rw=randwrite", "--bs=4k",
            "--iodepth=16", $"--offset={offset}", "--size=2m", "--verify=crc32c", "--verify_backlog=16",
            "--verify_fatal=1", "--time_based", $"--runtime={seconds}");

    private static async Task RefusedAsync(DeviceUnderTest device, string id, params string[] command)
    {
        CommandResult result = await device.RunAsync(["spare", command[0], Name, .. command[1..]]);
        Assert.NotEqual(0, result.ExitCode);
        Assert.Contains(id, result.Error, StringComparison.Ordinal);
    }

    private static async Task<List<JsonElement>> SparesAsync(DeviceUnderTest device)
    {
        CommandResult result = (await device.RunAsync("spare", "list", Name, "--json")).Expect(0);
        using JsonDocument document = JsonDocument.Parse(result.Output);
        return [.. document.RootElement.Clone().GetProperty("spares").EnumerateArray()];
    }

    private static async Task<string[]> StatesAsync(DeviceUnderTest device) =>
        [.. (await SparesAsync(device)).Select(spare => spare.GetProperty("state").GetString()!)];

    /// <summary>What was cut off is finished beside the clients, a moment after the start.</summary>
    private static async Task<string[]> SettledAsync(DeviceUnderTest device)
    {
        string record = Path.Combine(device.ConfigFolder, Name + ".json");
        Stopwatch waited = Stopwatch.StartNew();
        while ((await File.ReadAllTextAsync(record, Token)).Contains("transit", StringComparison.Ordinal))
        {
            Assert.True(waited.Elapsed < Command.TimeMax, "a change that was cut off is not finished");
            await Task.Delay(50, Token);
        }
        return await StatesAsync(device);
    }

    private static async Task CompareAsync(DeviceUnderTest device, byte[] model, long bytes)
    {
        using NbdTestClient client = await device.ConnectAsync();
        byte[] read = new byte[MiB];
        for (long at = 0; at < bytes; at += MiB)
        {
            Assert.Equal(0u, await client.ReadAsync(at, read));
            Content.AssertEqual(model.AsSpan((int)at, read.Length), read, $"from byte {at}");
        }
    }
}
