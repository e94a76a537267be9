using System;
using System.Collections.Generic;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Cli.Losses;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>`serve --write-cache=off`: it is off and was seen to be, or the start is refused.</summary>
public sealed class DriveCacheTests
{
    private const string AtaOn = "\n/dev/sdx:\n write-caching =  1 (on)\n";
    private const string AtaOff =
        "\n/dev/sdx:\n setting drive write-caching to 0 (off)\n write-caching =  0 (off)\n";
    private const string ScsiOn = "    /dev/sdx: X   Y  1\nWCE           1  [cha: y, def:  1, sav:  1]\n";
    private const string ScsiOff =
        "    /dev/sdx: X   Y  1\nWCE           0  [cha: y, def:  1, sav:  1]\n";

    private readonly List<string> _asked = [];

    [Fact]
    public async Task An_ata_disk_is_asked_switched_and_asked_again()
    {
        await SwitchAsync(DriveBus.Ata, AtaOn, AtaOff, AtaOff);
        Assert.Equal(["hdparm -W /dev/sdx", "hdparm -W0 /dev/sdx", "hdparm -W /dev/sdx"], _asked);
    }

    [Fact]
    public async Task A_scsi_disk_is_asked_switched_and_asked_again()
    {
        await SwitchAsync(DriveBus.Scsi, ScsiOn, "", ScsiOff);
        Assert.Equal(
            ["sdparm --get=WCE /dev/sdx", "sdparm --clear=WCE /dev/sdx", "sdparm --get=WCE /dev/sdx"],
            _asked);
    }

    [Fact]
    public async Task What_is_off_stays_untouched()
    {
        await SwitchAsync(DriveBus.Ata, AtaOff);
        Assert.Single(_asked);
    }

    [Fact]
    public async Task A_drive_that_keeps_its_cache_is_refused() => Assert.Equal(
        "DMR-WRITE-CACHE-STAYS-ON",
        await RefusalOf(() => SwitchAsync(DriveBus.Ata, AtaOn, AtaOff, AtaOn)));

    [Fact]
    public async Task An_answer_that_says_nothing_is_refused() => Assert.Equal(
        "DMR-WRITE-CACHE-FAILED", await RefusalOf(() => SwitchAsync(DriveBus.Ata, "/dev/sdx:\n")));

    [Fact]
    public async Task What_is_no_disk_is_refused_and_nothing_is_run()
    {
        Assert.Equal("DMR-WRITE-CACHE-NO-DRIVE", await RefusalOf(() => SwitchAsync(DriveBus.Other)));
        Assert.Empty(_asked);
    }

    [Theory]
    [InlineData("hdparm is not installed", null, "DMR-WRITE-CACHE-NO-TOOL", ExitCode.MissingHere)]
    [InlineData("hdparm gave no answer in the 30 s", null, "DMR-WRITE-CACHE-FAILED", ExitCode.Failed)]
    [InlineData("HDIO_DRIVE_CMD failed", 5, "DMR-WRITE-CACHE-FAILED", ExitCode.Failed)]
    public async Task A_tool_that_fails_is_refused_by_name(
        string why, int? code, string id, ExitCode exitCode)
    {
        DriveCache cache = new((_, _) => Task.FromResult(new ToolAnswer(code, "", why)));
        RefusalException refused = await Assert.ThrowsAsync<RefusalException>(
            () => cache.SwitchOffAsync("/dev/disk/by-id/x", DriveBus.Ata, "/dev/sdx"));
        Assert.Equal((id, exitCode), (refused.Id, refused.ExitCode));
        Assert.Contains(why, refused.Message, StringComparison.Ordinal);
    }

    private Task SwitchAsync(DriveBus bus, params string[] answers)
    {
        Queue<string> left = new(answers);
        DriveCache cache = new((program, arguments) =>
        {
            _asked.Add($"{program} {string.Join(' ', arguments)}");
            return Task.FromResult(new ToolAnswer(0, left.Dequeue(), ""));
        });
        return cache.SwitchOffAsync("/dev/disk/by-id/x", bus, "/dev/sdx");
    }

    private static async Task<string> RefusalOf(Func<Task> act) =>
        (await Assert.ThrowsAsync<RefusalException>(act)).Id;
}
