using System;
using System.Collections.Generic;
using System.Globalization;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// SIGKILL at random moments while sectors go bad. Three regions of one device: in the first a client of our
/// own, which knows to the block what was acknowledged; in the second fio writes with checksums before each
/// kill and reads them after it (another seed in each round, so that old content is told apart); in the third
/// fio writes and verifies while the kill comes.
/// </summary>
public sealed class KillUnderFioTests
{
    private const int OwnBytes = 2 * (int)DeviceUnderTest.MiB;
    private const int FioBytes = (int)DeviceUnderTest.MiB;
    private const int Rounds = 20;
    private const int RoundsLong = 200;

    /// <summary>The programs take a second and more to start: not in every round of the short form.</summary>
    private const int RoundsPerFio = 4;

    private static readonly bool s_isLong = Environment.GetEnvironmentVariable("DMREMAP_LONG") == "1";

    [Fact]
    public async Task Kills_under_fio_and_our_own_load_lose_nothing_that_was_acknowledged()
    {
        RequiredTools.SkipUnless("fio");
        int seed = Environment.ProcessId;
        TestContext.Current.SendDiagnosticMessage("seed={0}", seed);
        Random random = new(seed);
        CrashModel model = new(OwnBytes / CrashModel.Block);
        await using DeviceUnderTest device =
            DeviceUnderTest.Prepare(Content.Of(OwnBytes + (2 * FioBytes), version: 0));
        await device.CreateAsync();
        List<string> faults = [];
        int? fioSeed = null;
        long remaps = 0;
        for (int round = 0; round < (s_isLong ? RoundsLong : Rounds); round++)
        {
            string when = $"seed={seed}, round {round}";
            await device.ServeAsync([.. faults]);
            await CheckAsync(device, model, remaps, when);
            bool isFio = s_isLong || round % RoundsPerFio == 0;
            if (isFio)
            {
                await FioAsync(device, fioSeed, when, "--verify_only");
                fioSeed = seed + round;
                await FioAsync(device, fioSeed, when);
            }
            remaps = await KillUnderLoadAsync(device, model, faults, random, isFio, when);
        }
        await device.ServeAsync([.. faults]);
        await CheckAsync(device, model, remaps, $"seed={seed}, at the end");
        await FioAsync(device, fioSeed, $"seed={seed}, at the end", "--verify_only");
        Assert.NotEqual(0, await device.StatusNumberAsync("remaps"));
        Assert.Equal(0, await device.StatusNumberAsync("lostBlocks"));
        await device.StopAsync();
    }

    /// <summary>The remaps that `status` knew just before the end: each of them was acknowledged.</summary>
    private static async Task<long> KillUnderLoadAsync(
        DeviceUnderTest device,
        CrashModel model,
        List<string> faults,
        Random random,
        bool isFio,
        string when)
    {
        CrashLoad load = new(device, model, random.Next(), DurabilityOf.EveryAcknowledgedWrite);
        RunningProgram? fio = isFio
            ? device.StartBeside("fio", [.. FioArguments(device, "under", random.Next()),
                $"--offset={OwnBytes + FioBytes}", "--time_based", "--runtime=60", "--verify_backlog=16"])
            : null;
        using ControlTestClient control = await ControlTestClient.ConnectAsync(device);
        Task running = load.RunAsync();
        // Sectors go bad under the writes: some remaps are being made whenever the end comes.
        for (int i = random.Next(2, 6); i > 0; i--)
        {
            string rule = NewFault(random);
            faults.Add(rule);
            await control.MeasureAsync("faults-add", $"{{\"rule\":\"{rule}\"}}");
            await load.WaitForAcknowledgementsAsync(random.Next(10, 150));
        }
        long remaps = (await control.MeasureAsync("status")).Value.GetProperty("remaps").GetInt64();
        load.BeginEnding();
        await device.KillAsync();
        await running;
        if (fio is not null)
        {
            // It ends since its server has; what it had verified until then was right.
            await fio.WaitForEndAsync(Command.TimeMax);
            Assert.False(fio.Said.Contains("verify:", StringComparison.Ordinal), $"{when}: {fio.Said}");
        }
        return remaps;
    }

    /// <summary>A small cluster anywhere: sectors that still read and no longer take a write.</summary>
    private static string NewFault(Random random)
    {
        int first = random.Next(0, ((OwnBytes + (2 * FioBytes)) / 512) - 40);
        return string.Create(CultureInfo.InvariantCulture, $"{first}-{first + random.Next(0, 40)} write");
    }

    /// <summary>Twice: what was read once must stay.</summary>
    private static async Task CheckAsync(
        DeviceUnderTest device, CrashModel model, long remaps, string when)
    {
        long found = await device.StatusNumberAsync("remaps");
        Assert.True(found >= remaps, $"{when}: {remaps} remaps before the kill, {found} after it");
        using NbdTestClient client = await device.ConnectAsync();
        byte[] read = new byte[model.Bytes];
        for (int i = 0; i < 2; i++)
        {
            uint error = await client.ReadAsync(0, read);
            Assert.True(error == 0, $"{when}: reads with error {error}");
            model.Check(read, when);
        }
    }

    private static async Task FioAsync(DeviceUnderTest device, int? seed, string when, params string[] more)
    {
        if (seed is null)
        {
            return;
        }
        CommandResult result = await Command.RunAsync(
            "fio",
            [.. FioArguments(device, "between", seed.Value), $"--offset={OwnBytes}", "--verify_fatal=1",
                .. more]);
        Assert.True(result.ExitCode == 0, $"{when}: {result}");
        Assert.DoesNotContain("verify:", result.Output + result.Error, StringComparison.Ordinal);
    }

    private static string[] FioArguments(DeviceUnderTest device, string name, int seed) =>
    [
        "--name=" + name, "--ioengine=nbd", "--uri=" + device.Uri, "--rw=randwrite", "--bs=4k",
        $"--size={FioBytes}", "--iodepth=16", "--verify=crc32c", $"--randseed={seed}", "--minimal",
    ];
}
