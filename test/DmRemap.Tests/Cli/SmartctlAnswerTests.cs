using System;
using System.Linq;
using System.Text;
using DmRemap.Cli.Drives;
using DmRemap.Core.Faults;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>
/// What is made of `smartctl --json -l scterc`. `Recorded` is what smartctl 7.3 said of a loop device, less
/// its version and its build. Of a drive that has SCT ERC no whole answer is at hand: `Written` is made after
/// the members that smartmontools 7 prints, and that other programs read (`ata_sct_erc`, `deciseconds`).
/// </summary>
public sealed class SmartctlAnswerTests
{
    private const string Recorded = """
        {
          "json_format_version": [1, 0],
          "smartctl": {
            "version": [7, 3],
            "argv": ["smartctl", "--json", "-l", "scterc", "/dev/loop3"],
            "messages": [
              { "string": "/dev/loop3: Unable to detect device type", "severity": "error" }
            ],
            "exit_status": 1
          },
          "local_time": { "time_t": 1795817392, "asctime": "Fri Nov 27 22:09:52 2026 UTC" }
        }
        """;

    private static string Written(string erc) => $$"""
        {
          "json_format_version": [1, 0],
          "smartctl": { "version": [7, 3], "exit_status": 0 },
          "device": { "name": "/dev/sda", "info_name": "/dev/sda [SAT]", "type": "sat", "protocol": "ATA" },
          {{erc}}
        }
        """;

    private static string Limited(string read, string write) =>
        Written($$"""
            "ata_sct_erc": {
              "read": { "enabled": true, "deciseconds": {{read}} },
              "write": { "enabled": true, "deciseconds": {{write}} }
            }
            """);

    [Fact]
    public void Limits_are_read_in_tenths_of_a_second()
    {
        ErrorRecoveryReading reading = SmartctlAnswer.Parse(Limited("70", "65"));
        Assert.Equal(new ErrorRecoveryLimits(70, 65), reading.Limits);
        Assert.True(reading.IsKnown);
        Assert.Equal("read 7.0 s, write 6.5 s", ErrorRecoveryText.Of(reading));
    }

    [Fact]
    public void Disabled_means_that_the_drive_tries_as_long_as_it_likes()
    {
        ErrorRecoveryReading reading = SmartctlAnswer.Parse(
            Written("""
                "ata_sct_erc": { "read": { "enabled": false }, "write": { "enabled": false } }
                """));
        Assert.Equal(new ErrorRecoveryLimits(0, 0), reading.Limits);
        Assert.False(reading.Limits!.Value.GivesUpReadsEarly);
    }

    [Theory]
    [InlineData("ATA", "the drive does not have it")]
    [InlineData("NVMe", "only ATA drives have it")]
    [InlineData("SCSI", "only ATA drives have it")]
    public void Drive_that_says_nothing_of_it_has_none(string protocol, string why)
    {
        ErrorRecoveryReading reading =
            SmartctlAnswer.Parse($$"""{ "device": { "protocol": "{{protocol}}" } }""");
        Assert.Equal(new ErrorRecoveryReading(true, null, why), reading);
    }

    [Fact]
    public void Error_that_smartctl_tells_is_told_and_nothing_is_known()
    {
        Assert.Equal(
            ErrorRecoveryReading.Unknown("/dev/loop3: Unable to detect device type"),
            SmartctlAnswer.Parse(Recorded));
    }

    [Theory]
    [InlineData("")]
    [InlineData("smartctl: command not understood")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("{\"ata_sct_erc\": 7}")]
    [InlineData("{\"ata_sct_erc\": {}}")]
    [InlineData("{\"ata_sct_erc\": {\"read\": {\"enabled\": false}}}")]
    [InlineData("{\"ata_sct_erc\": {\"read\": {\"enabled\": 0}, \"write\": {\"enabled\": 0}}}")]
    [InlineData("{\"device\": \"ATA\"}")]
    [InlineData("{\"device\": {\"protocol\": 1}}")]
    [InlineData("{\"device\": {\"protocol\": \"\\ud800\"}}")]
    [InlineData("{\"smartctl\": {\"messages\": [7, {\"severity\": \"error\"}, {\"string\": 1}]}}")]
    public void Anything_else_is_not_understood_and_harms_nobody(string answer)
    {
        ErrorRecoveryReading reading = SmartctlAnswer.Parse(answer);
        Assert.False(reading.IsKnown);
        Assert.Null(reading.Limits);
        Assert.Equal("the answer of smartctl is not understood", reading.Why);
    }

    [Theory]
    [InlineData("0")]
    [InlineData("-70")]
    [InlineData("65536")]
    [InlineData("7.5")]
    [InlineData("1e300")]
    [InlineData("99999999999999999999")]
    [InlineData("\"70\"")]
    [InlineData("true")]
    public void Limit_that_no_drive_can_have_is_no_limit_at_all(string deciseconds)
    {
        Assert.Null(SmartctlAnswer.Parse(Limited(deciseconds, "70")).Limits);
        Assert.Null(SmartctlAnswer.Parse(Limited("70", deciseconds)).Limits);
    }

    [Fact]
    public void Message_cannot_move_the_cursor_nor_be_endless()
    {
        string text = "\\u001b[2J" + new string('x', 10_000);
        ErrorRecoveryReading reading = SmartctlAnswer.Parse(
            $$"""{ "smartctl": { "messages": [ { "string": "{{text}}", "severity": "error" } ] } }""");
        Assert.StartsWith("\\u001b[2J", reading.Why, StringComparison.Ordinal);
        Assert.InRange(reading.Why.Length, 1, 250);
        Assert.DoesNotContain(reading.Why, char.IsControl);
    }

    /// <summary>Bytes of the answer changed, cut and repeated: some reading, never an exception.</summary>
    [Fact]
    public void Spoilt_answers_are_read_or_refused()
    {
        Random random = new(35);
        string[] answers = [Recorded, Limited("70", "70"), Written("\"ata_sct_erc\": {}")];
        for (int i = 0; i < 20_000; i++)
        {
            StringBuilder text = new(answers[i % answers.Length]);
            foreach (int _ in Enumerable.Range(0, 1 + random.Next(6)))
            {
                int at = random.Next(text.Length);
                switch (random.Next(3))
                {
                    case 0:
                        text[at] = (char)random.Next(0x20, 0x7f);
                        break;
                    case 1:
                        text.Length = Math.Max(1, at);
                        break;
                    default:
                        text.Insert(at, "{\"read\":[");
                        break;
                }
            }
            ErrorRecoveryReading reading = SmartctlAnswer.Parse(text.ToString());
            Assert.True(reading.Limits is null || reading.IsKnown);
            Assert.True(reading.Limits is not null || reading.Why.Length > 0);
        }
        Assert.False(SmartctlAnswer.Parse(new string('[', 100_000)).IsKnown);
        Assert.False(SmartctlAnswer.Parse(new string(' ', SmartctlAnswer.CharsMax + 1)).IsKnown);
    }
}
