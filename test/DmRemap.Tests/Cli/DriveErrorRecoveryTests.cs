using System.Collections.Generic;
using System.Threading.Tasks;
using DmRemap.Cli.Drives;
using DmRemap.Cli.Parsing;
using DmRemap.Core.Faults;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>SCT ERC of a drive (F-35): read, set only when asked, put back, and never an error.</summary>
public sealed class DriveErrorRecoveryTests
{
    private const System.StringComparison Ordinal = System.StringComparison.Ordinal;

    private readonly List<string> _said = [];

    private DriveErrorRecovery Of(StubDrive drive, ErrorRecoveryPolicy policy) =>
        new("/dev/sdx", policy, drive, _said.Add);

    [Fact]
    public async Task Drive_is_left_alone_unless_somebody_asks()
    {
        StubDrive drive = new() { Read = 0, Write = 0 };
        DriveErrorRecovery recovery = Of(drive, ErrorRecoveryPolicy.Keep);
        await recovery.ApplyAsync();
        await recovery.RestoreAsync();
        Assert.Equal(["--json -l scterc -- /dev/sdx"], drive.Asked);
        Assert.Equal(new ErrorRecoveryLimits(0, 0), recovery.Reading!.Limits);
        Assert.Equal(30, recovery.CommandTimeoutSeconds);
        Assert.Equal(30, drive.Timeout);
        Assert.Empty(_said);
    }

    [Fact]
    public async Task Drive_that_gives_up_early_is_said_and_left_alone()
    {
        StubDrive drive = new();
        DriveErrorRecovery recovery = Of(drive, ErrorRecoveryPolicy.Keep);
        await recovery.ApplyAsync();
        await recovery.ApplyAsync();
        Assert.Equal((70, 70, 30), (drive.Read, drive.Write, drive.Timeout));
        string line = Assert.Single(_said);
        Assert.StartsWith(
            "DMR-EVENT-ERC-SHORT /dev/sdx: the disk gives up early (read 7.0 s, write 7.0 s)", line,
            System.StringComparison.Ordinal);
    }

    [Fact]
    public async Task Max_lets_reads_take_their_time_and_the_kernel_wait_and_both_are_put_back()
    {
        StubDrive drive = new();
        DriveErrorRecovery recovery = Of(drive, ErrorRecoveryPolicy.Max);
        await recovery.ApplyAsync();
        Assert.Equal((0, 70, 180), (drive.Read, drive.Write, drive.Timeout));
        Assert.Equal(180, recovery.CommandTimeoutSeconds);
        Assert.Equal(new ErrorRecoveryLimits(0, 70), recovery.Reading!.Limits);
        Assert.Contains("DMR-EVENT-ERC-SET", Assert.Single(_said), System.StringComparison.Ordinal);

        // It was away, and has forgotten it; the kernel begins anew with it, too.
        (drive.Read, drive.Timeout) = (70, 30);
        await recovery.ApplyAsync();
        Assert.Equal((0, 70, 180), (drive.Read, drive.Write, drive.Timeout));

        await recovery.RestoreAsync();
        Assert.Equal((70, 70, 30), (drive.Read, drive.Write, drive.Timeout));
    }

    /// <summary>F-35, its two passes.</summary>
    [Fact]
    public async Task Short_limit_becomes_none_for_what_was_lost_and_short_again_behind_it()
    {
        StubDrive drive = new() { Read = 0, Write = 0 };
        DriveErrorRecovery recovery = Of(drive, ErrorRecoveryPolicy.LimitThenMax(7));
        await recovery.ApplyAsync();
        Assert.Equal((70, 70, 30), (drive.Read, drive.Write, drive.Timeout));
        await recovery.ApplyAsync(isForLost: true);
        Assert.Equal((0, 70, 180), (drive.Read, drive.Write, drive.Timeout));
        Assert.Equal(180, recovery.CommandTimeoutSeconds);
        Assert.Contains("put back when what was lost has been tried again", _said[^1], Ordinal);

        // It was away in the middle of it.
        (drive.Read, drive.Timeout) = (70, 30);
        await recovery.ApplyAsync(isForLost: true);
        Assert.Equal((0, 70, 180), (drive.Read, drive.Write, drive.Timeout));

        await recovery.ApplyAsync();
        Assert.Equal((70, 70, 30), (drive.Read, drive.Write, drive.Timeout));
        Assert.Equal(30, recovery.CommandTimeoutSeconds);
        await recovery.ApplyAsync(isForLost: true);
        await recovery.RestoreAsync();
        Assert.Equal((0, 0, 30), (drive.Read, drive.Write, drive.Timeout));
    }

    /// <summary>It asks the drive while the device ends: what it set then would stay for good.</summary>
    [Fact]
    public async Task Look_that_outlives_the_device_sets_nothing_any_more()
    {
        StubDrive drive = new() { Read = 0, Write = 0 };
        DriveErrorRecovery recovery = Of(drive, ErrorRecoveryPolicy.LimitThenMax(7));
        await recovery.ApplyAsync();
        Task restored = Task.CompletedTask;
        drive.OnAsked = () =>
        {
            drive.OnAsked = null;
            restored = recovery.RestoreAsync();
        };
        await recovery.ApplyAsync(isForLost: true);
        await restored;
        Assert.Equal((0, 0, 30), (drive.Read, drive.Write, drive.Timeout));
    }

    /// <summary>A drive that still takes its time would be reset in it.</summary>
    [Fact]
    public async Task Kernel_goes_on_waiting_for_a_drive_that_does_not_take_the_short_limit_back()
    {
        StubDrive drive = new();
        DriveErrorRecovery recovery = Of(drive, ErrorRecoveryPolicy.LimitThenMax(7));
        await recovery.ApplyAsync(isForLost: true);
        drive.Follows = false;
        await recovery.ApplyAsync();
        Assert.Equal((0, 180), (drive.Read, drive.Timeout));
        Assert.Equal(180, recovery.CommandTimeoutSeconds);
        Assert.Contains("DMR-EVENT-ERC-FAILED", _said[^1], Ordinal);
    }

    [Theory]
    [InlineData(7, 30, 30)]
    [InlineData(20, 30, 30)]
    [InlineData(24, 30, 35)]
    [InlineData(60, 30, 80)]
    public async Task Limit_is_given_to_reads_and_writes_and_the_kernel_waits_longer_than_it(
        int seconds, int timeout, int expected)
    {
        StubDrive drive = new() { Read = 0, Write = 0, Timeout = timeout };
        await Of(drive, ErrorRecoveryPolicy.Limit(seconds)).ApplyAsync();
        Assert.Equal((seconds * 10, seconds * 10), (drive.Read, drive.Write));
        Assert.Equal(expected, drive.Timeout);
        Assert.True(seconds * 5 < drive.Timeout * 4, "its errors would be taken for time-outs");
    }

    [Fact]
    public async Task Nothing_is_set_where_the_kernel_would_not_wait()
    {
        foreach (StubDrive drive in (StubDrive[])[new() { CanSetTimeout = false }, new() { Timeout = null }])
        {
            _said.Clear();
            DriveErrorRecovery recovery = Of(drive, ErrorRecoveryPolicy.Max);
            await recovery.ApplyAsync();
            Assert.Equal((70, 70), (drive.Read, drive.Write));
            Assert.Contains("DMR-EVENT-ERC-FAILED", Assert.Single(_said), System.StringComparison.Ordinal);
            Assert.Equal(new ErrorRecoveryLimits(70, 70), recovery.Reading!.Limits);
        }
    }

    [Fact]
    public async Task Drive_that_takes_the_command_and_does_not_follow_is_said()
    {
        StubDrive drive = new() { Follows = false };
        DriveErrorRecovery recovery = Of(drive, ErrorRecoveryPolicy.Max);
        await recovery.ApplyAsync();
        Assert.Contains("could not be set", Assert.Single(_said), System.StringComparison.Ordinal);
        Assert.Equal(new ErrorRecoveryLimits(70, 70), recovery.Reading!.Limits);
    }

    [Fact]
    public async Task Drive_without_it_is_waited_for_all_the_same()
    {
        StubDrive drive = new() { HasNone = true };
        DriveErrorRecovery recovery = Of(drive, ErrorRecoveryPolicy.Max);
        await recovery.ApplyAsync();
        Assert.Equal(180, drive.Timeout);
        Assert.Contains(
            "the drive does not have it. It is served as it is", Assert.Single(_said),
            System.StringComparison.Ordinal);
        await recovery.RestoreAsync();
        Assert.Equal(30, drive.Timeout);
        await Of(drive, ErrorRecoveryPolicy.Limit(60)).ApplyAsync();
        Assert.Equal(30, drive.Timeout);
    }

    [Fact]
    public async Task Missing_smartctl_is_said_and_nothing_fails()
    {
        StubDrive drive = new() { IsInstalled = false };
        DriveErrorRecovery asked = Of(drive, ErrorRecoveryPolicy.Max);
        await asked.ApplyAsync();
        await asked.RestoreAsync();
        Assert.Contains("smartctl is not installed", Assert.Single(_said), System.StringComparison.Ordinal);
        Assert.Equal(30, drive.Timeout);
        _said.Clear();
        DriveErrorRecovery kept = Of(drive, ErrorRecoveryPolicy.Keep);
        await kept.ApplyAsync();
        Assert.Empty(_said);
        Assert.Equal("smartctl is not installed", kept.Reading!.Why);
    }

    [Theory]
    [InlineData("keep", ErrorRecoveryChoice.Keep, 0)]
    [InlineData("max", ErrorRecoveryChoice.Max, 0)]
    [InlineData("7", ErrorRecoveryChoice.Limit, 7)]
    [InlineData("300", ErrorRecoveryChoice.Limit, 300)]
    [InlineData("7+max", ErrorRecoveryChoice.Limit, 7, ErrorRecoveryChoice.Max)]
    public void Policy_is_read(
        string text, ErrorRecoveryChoice choice, int seconds, ErrorRecoveryChoice? forLost = null)
    {
        Assert.True(ErrorRecoveryPolicyText.TryParse(text, out ErrorRecoveryPolicy policy));
        Assert.Equal((choice, seconds), (policy.Choice, policy.Seconds));
        Assert.Equal(forLost ?? choice, policy.ForLost.Choice);
    }

    [Theory]
    [InlineData("")]
    [InlineData("0")]
    [InlineData("301")]
    [InlineData("-7")]
    [InlineData("7.5")]
    [InlineData("7s")]
    [InlineData("+max")]
    [InlineData("0+max")]
    [InlineData("max+max")]
    [InlineData("7+7")]
    [InlineData("MAX")]
    [InlineData("99999999999")]
    public void Policy_that_no_drive_can_follow_is_refused(string text) =>
        Assert.False(ErrorRecoveryPolicyText.TryParse(text, out _));
}
