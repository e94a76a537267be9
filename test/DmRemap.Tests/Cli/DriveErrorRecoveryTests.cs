using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Cli.Drives;
using DmRemap.Cli.Losses;
using DmRemap.Cli.Parsing;
using DmRemap.Core.Faults;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>SCT ERC of a drive (F-35): read, set only when asked, put back, and never an error.</summary>
public sealed class DriveErrorRecoveryTests
{
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
    public void Policy_is_read(string text, ErrorRecoveryChoice choice, int seconds)
    {
        Assert.True(ErrorRecoveryPolicyText.TryParse(text, out ErrorRecoveryPolicy policy));
        Assert.Equal((choice, seconds), (policy.Choice, policy.Seconds));
    }

    [Theory]
    [InlineData("")]
    [InlineData("0")]
    [InlineData("301")]
    [InlineData("-7")]
    [InlineData("7.5")]
    [InlineData("7s")]
    [InlineData("MAX")]
    [InlineData("99999999999")]
    public void Policy_that_no_drive_can_follow_is_refused(string text) =>
        Assert.False(ErrorRecoveryPolicyText.TryParse(text, out _));

    private sealed class StubDrive : IDriveTools
    {
        public List<string> Asked { get; } = [];

        public int Read { get; set; } = 70;

        public int Write { get; set; } = 70;

        public int? Timeout { get; set; } = 30;

        public bool Follows { get; init; } = true;

        public bool CanSetTimeout { get; init; } = true;

        public bool IsInstalled { get; init; } = true;

        public bool HasNone { get; init; }

        public Task<ToolAnswer> SmartctlAsync(IReadOnlyList<string> arguments)
        {
            Asked.Add(string.Join(' ', arguments));
            if (!IsInstalled)
            {
                return Task.FromResult(new ToolAnswer(null, "", "smartctl is not installed"));
            }
            if (HasNone)
            {
                return Task.FromResult(new ToolAnswer(4, """{ "device": { "protocol": "ATA" } }""", ""));
            }
            string[] log = arguments[2].Split(',');
            if (log.Length == 3 && Follows)
            {
                int[] limits = [.. log[1..].Select(one => int.Parse(one, CultureInfo.InvariantCulture))];
                (Read, Write) = (limits[0], limits[1]);
            }
            string answer = $$"""{ "ata_sct_erc": { "read": {{Limit(Read)}}, "write": {{Limit(Write)}} } }""";
            return Task.FromResult(new ToolAnswer(0, answer, ""));
        }

        public int? CommandTimeoutOf(string path) => Timeout;

        public bool TrySetCommandTimeout(string path, int seconds)
        {
            Timeout = CanSetTimeout ? seconds : Timeout;
            return CanSetTimeout;
        }

        private static string Limit(int deciseconds) => deciseconds == 0
            ? "{ \"enabled\": false }"
            : $"{{ \"enabled\": true, \"deciseconds\": {deciseconds} }}";
    }
}
