using System;
using System.Diagnostics;
using System.IO;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>`repair` says what it did, and ends whatever a spare does.</summary>
public sealed class RepairTests
{
    private const string Name = DeviceUnderTest.Name;

    [Fact]
    public async Task Repair_of_a_whole_set_says_that_nothing_was_wrong_and_of_a_damaged_one_what_was()
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(DeviceUnderTest.MiB));
        await device.StopAsync();
        CommandResult whole = (await device.RunAsync("repair", Name)).Expect(0);
        Assert.Contains("nothing was wrong", whole.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("written anew", whole.Output, StringComparison.Ordinal);

        Content.Overwrite(device.SparePath, 0, 4096);
        CommandResult damaged = (await device.RunAsync("repair", Name, "--json")).Expect(0);
        using JsonDocument document = JsonDocument.Parse(damaged.Output);
        JsonElement repaired = document.RootElement.GetProperty("repaired");
        Assert.Equal(1, repaired.GetProperty("superblocks").GetInt32());
        Assert.Equal(0, repaired.GetProperty("checkpointPlaces").GetInt32());
    }

    [Fact]
    public async Task Repair_does_not_wait_for_a_spare_that_hangs()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(DeviceUnderTest.MiB));
        string log = Path.Combine(device.Folder, "nbdkit.log");
        NbdKit kit = await NbdKit.StartAsync(
            device, "hangs", new byte[DeviceUnderTest.SpareBytesDefault]);
        await device.CreateAsync("--spare", kit.Uri);
        await kit.KillAsync();
        await kit.StartAgainAsync("--filter=log", "--filter=delay", $"logfile={log}", "wdelay=2");

        long began = Stopwatch.GetTimestamp();
        RunningProgram repair = device.StartBeside(DeviceUnderTest.Program, "repair", Name);
        // The first write is under way: the set has been read, and is being taken over.
        await SlowDisk.UntilAsync(
            () => File.Exists(log) && File.ReadAllText(log).Contains(" Write ", StringComparison.Ordinal));
        await kit.HoldAsync();
        Assert.Equal(7, await repair.WaitForEndAsync(TimeSpan.FromSeconds(40)));
        Assert.InRange(Stopwatch.GetElapsedTime(began).TotalSeconds, 4, 30);
        Assert.Contains("not waited for any longer: " + kit.Uri, repair.Said, StringComparison.Ordinal);
        await kit.ReleaseAsync();
    }
}
