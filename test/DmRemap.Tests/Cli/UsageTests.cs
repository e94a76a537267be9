using System;
using System.Net;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Healing;
using DmRemap.Core.Spares;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>
/// Every bad command line exits 2 and says what is wrong; every good one arrives where it should.
/// </summary>
public sealed class UsageTests : IDisposable
{
    private readonly CliRun _cli = new();

    public void Dispose() => _cli.Dispose();

    [Theory]
    [InlineData("bogus", "bogus")]
    [InlineData("--bogus", "--bogus")]
    [InlineData("create", "NAME")]
    [InlineData("create d", "--main")]
    [InlineData("create d --main m", "--spare")]
    [InlineData("create d --main", "--main")]
    [InlineData("create --main m --spare s", "NAME")]
    [InlineData("create d --main m --main n --spare s", "--main")]
    [InlineData("create a/b --main m --spare s", "a/b")]
    [InlineData("create .. --main m --spare s", "..")]
    [InlineData("create -x --main m --spare s", "-x")]
    [InlineData("create d e --main m --spare s", "e")]
    [InlineData("create d --main m --spare 1 --spare 2 --spare 3 --spare 4 --spare 5 --spare 6 --spare 7 "
        + "--spare 8 --spare 9", "9 spares")]
    [InlineData("create d --main m --spare s --spare-size 15M", "16 MiB")]
    [InlineData("create d --main m --spare s --spare-size huge", "--spare-size huge")]
    [InlineData("create d --main m --spare s --spare-size 9999999T", "too large")]
    [InlineData("create d --main m --spare s --unit 2K", "--unit 2K")]
    [InlineData("create d --main m --spare s --unit 5000", "--unit 5000")]
    [InlineData("create d --main m --spare s --unit 256K", "--unit 256K")]
    [InlineData("create d --main m --spare s --unit 512K", "--unit 512K")]
    [InlineData("create d --main m --spare s --unit 64K --block-size 512", "64 blocks")]
    [InlineData("create d --main m --spare s --unit x --block-size 512", "--unit x")]
    [InlineData("create d --main m --spare s --block-size 1024", "--block-size 1024")]
    [InlineData("serve", "NAME")]
    [InlineData("serve d/e", "d/e")]
    [InlineData("serve d --listen 10809", "--listen 10809")]
    [InlineData("serve d --listen localhost", "--listen localhost")]
    [InlineData("serve d --listen 127.0.0.1:70000", "70000")]
    [InlineData("serve d --listen 1:80", "--listen 1:80")]
    [InlineData("serve d --listen ::1:80", "::1:80")]
    [InlineData("serve d --socket", "--socket")]
    [InlineData("serve d --unknown", "--unknown")]
    [InlineData("status a b", "b")]
    [InlineData("status ../x", "../x")]
    [InlineData("list x", "x")]
    [InlineData("remap d", "FIRST")]
    [InlineData("remap d 5-3", "5-3")]
    [InlineData("remap d -5", "-5")]
    [InlineData("remap d 5-", "5-")]
    [InlineData("remap d 1-2-3", "1-2-3")]
    [InlineData("remap d 0x10", "0x10")]
    [InlineData("remap d 99999999999999999999", "99999999999999999999")]
    [InlineData("faults d", "add|clear|list")]
    [InlineData("faults d erase", "erase")]
    [InlineData("faults d add", "rule is missing")]
    [InlineData("faults d list 1-2", "takes no rule")]
    [InlineData("stop", "NAME")]
    [InlineData("stop d --deadline soon", "--deadline soon")]
    [InlineData("stop d --deadline -1", "--deadline -1")]
    [InlineData("stop d --deadline 1e3", "--deadline 1e3")]
    [InlineData("stop d --deadline 86401", "--deadline 86401")]
    [InlineData("attach", "NAME")]
    [InlineData("attach d --via ublk", "--via ublk")]
    [InlineData("attach d --wait 0", "--wait 0")]
    [InlineData("detach", "NAME")]
    [InlineData("detach a b", "b")]
    [InlineData("suspend", "NAME")]
    [InlineData("suspend d --deadline soon", "--deadline soon")]
    [InlineData("suspend d --deadline 86401", "--deadline 86401")]
    [InlineData("resume", "NAME")]
    [InlineData("resume d --deadline 1", "--deadline")]
    [InlineData("delete", "NAME")]
    [InlineData("demo extra", "extra")]
    public Task A_bad_command_line_exits_2_and_says_what_is_wrong(string line, string says) =>
        AssertBadAsync(line, says);

    [Theory]
    [InlineData("serve d --without s", "--degraded")]
    [InlineData("serve d --degraded --without", "--without")]
    [InlineData("serve d --metadata-deadline soon", "--metadata-deadline soon")]
    [InlineData("serve d --metadata-deadline 0.5", "--metadata-deadline 0.5")]
    [InlineData("serve d --metadata-deadline 86401", "--metadata-deadline 86401")]
    [InlineData("check", "NAME")]
    [InlineData("check d --spare s", "NAME")]
    [InlineData("check a/b", "a/b")]
    [InlineData("check d e", "e")]
    [InlineData("check --spare 1 --spare 2 --spare 3 --spare 4 --spare 5 --spare 6 --spare 7 --spare 8 "
        + "--spare 9", "9 spares")]
    [InlineData("check d --yes", "--yes")]
    [InlineData("dump", "--spare")]
    [InlineData("dump d --spare s --records", "NAME")]
    [InlineData("repair", "NAME")]
    [InlineData("repair --spare s", "Unrecognized")]
    [InlineData("repair a/b", "a/b")]
    public Task A_bad_command_line_about_metadata_exits_2_and_says_what_is_wrong(string line, string says) =>
        AssertBadAsync(line, says);

    [Theory]
    [InlineData("bogus --help", "command or option \"bogus\"")]
    [InlineData("lab bogus --help", "\"bogus\" of `dmremap lab`")]
    [InlineData("create --help bogus", "\"bogus\"")]
    [InlineData("status a b --help", "\"b\"")]
    [InlineData("spare bogus x", "command or option \"bogus\" of `dmremap spare`")]
    public Task A_word_that_nobody_knows_exits_2_and_is_named_also_beside_help(string line, string says) =>
        AssertBadAsync(line, says);

    [Theory]
    [InlineData("create d --help")]
    [InlineData("--help create")]
    [InlineData("serve --help --listen 127.0.0.1:1")]
    public async Task Help_is_shown_for_commands_that_are_not_complete(string line)
    {
        CliResult result = await _cli.RunAsync(line.Split(' '));
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("Usage:", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_bad_command_line_with_json_is_a_document_too()
    {
        CliResult result = await _cli.RunAsync("create", "d", "--json");
        Assert.Equal(2, result.ExitCode);
        System.Text.Json.JsonElement error = result.Json.GetProperty("error");
        Assert.Equal("DMR-USAGE", error.GetProperty("id").GetString());
        foreach (string name in new[] { "device", "message", "action" })
        {
            Assert.NotEqual("", error.GetProperty(name).GetString());
        }
        Assert.Contains("--main", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task No_command_shows_the_help_on_the_error_stream_and_exits_2()
    {
        CliResult result = await _cli.RunAsync();
        Assert.Equal(2, result.ExitCode);
        Assert.Equal("", result.Output);
        Assert.Contains("dmremap create", result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("create")]
    [InlineData("serve")]
    [InlineData("status")]
    [InlineData("list")]
    [InlineData("remap")]
    [InlineData("faults")]
    [InlineData("stop")]
    [InlineData("attach")]
    [InlineData("detach")]
    [InlineData("suspend")]
    [InlineData("resume")]
    [InlineData("check")]
    [InlineData("repair")]
    [InlineData("dump")]
    [InlineData("delete")]
    [InlineData("rebind")]
    [InlineData("demo")]
    public async Task Help_has_examples_and_fits_80_columns(string command)
    {
        CliResult result = await _cli.RunAsync($"{command} --help".TrimStart().Split(' '));
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("Examples:", result.Output, StringComparison.Ordinal);
        Assert.Contains($"dmremap {command}".TrimEnd(), result.Output, StringComparison.Ordinal);
        foreach (string line in result.Output.Split('\n'))
        {
            Assert.True(line.TrimEnd().Length <= 80, line);
        }
    }

    [Fact]
    public async Task Version_is_one_line()
    {
        CliResult result = await _cli.RunAsync("--version");
        Assert.Equal(0, result.ExitCode);
        Assert.Equal($"dmremap {DmRemap.Control.Protocol.ControlProtocol.ProgramVersion}\n", result.Output);
    }

    [Fact]
    public async Task Create_arrives_with_everything_it_was_given()
    {
        CliResult result = await _cli.RunAsync(
            "create", "disk1", "--main", "@main.img", "--spare", "s1", "--spare", "s2", "--spare-size", "64M",
            "--unit", "16K", "--block-size", "512", "--force", "--yes");
        Assert.Equal(0, result.ExitCode);
        CreateOptions options = _cli.Parts.Created!;
        Assert.Equal("disk1", options.Name);
        Assert.Equal("@main.img", options.MainPath);
        Assert.Equal(["s1", "s2"], options.SparePaths);
        Assert.Equal(64 << 20, options.SpareBytes);
        Assert.Equal(16_384, options.UnitBytes);
        Assert.Equal(512, options.BlockBytes);
        Assert.True(options.Force);
        Assert.Equal(
            "disk1: created, 256 MiB in blocks of 512 bytes, units of 4096 bytes\n"
            + "  main     @main.img\n"
            + "  spare 0  s1, 16128 units (63 MiB)\n"
            + "  next: dmremap serve disk1    # over NBD\n"
            + "  or:   dmremap attach disk1   # as a block device of this machine; needs root\n",
            result.Output);
        Assert.Contains("warning: the spare is small.", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Create_with_json_answers_with_its_report()
    {
        CliResult result = await _cli.RunAsync("create", "disk1", "--main", "m", "--spare", "s", "--json");
        Assert.Equal("disk1", result.Json.GetProperty("name").GetString());
        Assert.Equal(16_128, result.Json.GetProperty("spares")[0].GetProperty("units").GetInt64());
        CreateOptions options = _cli.Parts.Created!;
        Assert.Null(options.SpareBytes);
        Assert.Null(options.UnitBytes);
        Assert.Null(options.BlockBytes);
        Assert.False(options.Force);
    }

    [Fact]
    public async Task Serve_arrives_with_everything_it_was_given_and_returns_its_exit_code()
    {
        _cli.Parts.Exit = ExitCode.DoneDegraded;
        CliResult result = await _cli.RunAsync(
            "serve", "disk1", "--socket", "/s", "--listen", "localhost:0", "--read-only", "--faults", "f",
            "--accept-rollback", "--accept-changed-main");
        Assert.Equal(7, result.ExitCode);
        Assert.Equal(
            new ServeOptions
            {
                Name = "disk1",
                SocketPath = "/s",
                Listen = new IPEndPoint(IPAddress.Loopback, 0),
                ReadOnly = true,
                FaultsPath = "f",
                AcceptsRollback = true,
                AcceptsChangedMain = true,
            },
            _cli.Parts.Served);
    }

    [Fact]
    public async Task Serve_arrives_with_the_spares_it_is_to_go_without()
    {
        Assert.Equal(0, (await _cli.RunAsync(
            "serve", "disk1", "--degraded", "--without", "s1", "--without", "s2", "--metadata-deadline",
            "2.5", "--read-retries", "7", "--no-probe", "--no-weak-copies", "--erc=max", "--heal", "on:20",
            "--placement", "most-free")).ExitCode);
        Assert.True(_cli.Parts.Served!.Degraded);
        Assert.Equal(7, _cli.Parts.Served.ReadRetries);
        Assert.False(_cli.Parts.Served.ProbesNeighbourhood);
        Assert.False(_cli.Parts.Served.CopiesWeak);
        Assert.Equal(ErrorRecoveryPolicy.Max, _cli.Parts.Served.ErrorRecovery);
        Assert.Equal(HealPolicy.Every(Duration.FromSeconds(20)), _cli.Parts.Served.Heal);
        Assert.Equal(SparePlacement.MostFree, _cli.Parts.Served.Placement);
        Assert.Equal(["s1", "s2"], _cli.Parts.Served.Without);
        Assert.Equal(2.5, _cli.Parts.Served.MetadataDeadlineSeconds);
    }

    [Theory]
    [InlineData("yes")]
    [InlineData("on:0")]
    [InlineData("on:-1")]
    [InlineData("on:")]
    [InlineData("off:3")]
    public async Task Serve_takes_a_sensible_policy_of_healing_only(string policy)
    {
        Assert.Equal(2, (await _cli.RunAsync("serve", "disk1", "--heal", policy)).ExitCode);
        Assert.Null(_cli.Parts.Served);
        Assert.Equal(0, (await _cli.RunAsync("serve", "disk1", "--heal", "off")).ExitCode);
        Assert.False(_cli.Parts.Served!.Heal.IsOn);
    }

    [Theory]
    [InlineData("-1")]
    [InlineData("101")]
    [InlineData("many")]
    public async Task Serve_takes_a_sensible_number_of_retries_only(string retries)
    {
        Assert.Equal(2, (await _cli.RunAsync("serve", "disk1", "--read-retries", retries)).ExitCode);
        Assert.Null(_cli.Parts.Served);
    }

    [Fact]
    public async Task Serve_takes_a_sensible_error_recovery_only()
    {
        Assert.Equal(2, (await _cli.RunAsync("serve", "disk1", "--erc", "0")).ExitCode);
        Assert.Null(_cli.Parts.Served);
    }

    [Fact]
    public async Task Check_dump_and_repair_arrive_and_return_their_exit_code()
    {
        _cli.Parts.Exit = ExitCode.DoneDegraded;
        Assert.Equal(7, (await _cli.RunAsync("check", "disk1")).ExitCode);
        Assert.Equal("disk1", _cli.Parts.Checked!.Name);
        Assert.Empty(_cli.Parts.Checked.SparePaths);
        Assert.Equal(
            7, (await _cli.RunAsync("dump", "--spare", "s1", "--spare", "s2", "--records")).ExitCode);
        Assert.Null(_cli.Parts.Dumped!.Name);
        Assert.Equal(["s1", "s2"], _cli.Parts.Dumped.SparePaths);
        Assert.True(_cli.Parts.DumpedRecords);
        Assert.Equal(7, (await _cli.RunAsync("repair", "disk1", "--accept-loss", "--yes")).ExitCode);
        Assert.Equal(new RepairOptions { Name = "disk1", AcceptLoss = true }, _cli.Parts.Repaired);
    }

    [Theory]
    [InlineData("0.0.0.0:10809")]
    [InlineData("192.168.1.1:10809")]
    [InlineData("[::]:10809")]
    public async Task Listening_where_other_machines_reach_it_is_refused(string address)
    {
        CliResult result = await _cli.RunAsync("serve", "disk1", "--listen", address);
        Assert.Equal(5, result.ExitCode);
        Assert.Contains("DMR-LISTEN-NOT-LOOPBACK", result.Error, StringComparison.Ordinal);
        AssertNothingWasDone();
    }

    [Theory]
    [InlineData("rebind", "NAME")]
    [InlineData("rebind d", "--main PATH or --spare OLD NEW")]
    [InlineData("rebind d --main", "--main")]
    [InlineData("rebind d --spare a", "--spare")]
    [InlineData("rebind d --spare a b c", "'c'")]
    [InlineData("rebind d --main m --spare a b", "--main PATH or --spare OLD NEW")]
    public async Task A_bad_rebind_exits_2_and_says_what_is_wrong(string line, string says)
    {
        CliResult result = await _cli.RunAsync(line.Split(' '));
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(says, result.Error, StringComparison.Ordinal);
        AssertNothingWasDone();
    }

    [Fact]
    public async Task Rebind_arrives_with_everything_it_was_given()
    {
        CliResult result = await _cli.RunAsync("rebind", "disk1", "--main", "m", "--accept-changed-main");
        Assert.Equal(0, result.ExitCode);
        Assert.Equal("disk1: m takes the place of /old\n", result.Output);
        Assert.Equal(
            new RebindOptions { Name = "disk1", MainPath = "m", AcceptsChangedMain = true },
            _cli.Parts.Rebound);
        result = await _cli.RunAsync("rebind", "disk1", "--spare", "a", "b", "--accept-rollback", "--json");
        Assert.Equal("b", result.Json.GetProperty("newPath").GetString());
        Assert.Equal(
            new RebindOptions
            {
                Name = "disk1",
                OldSparePath = "a",
                NewSparePath = "b",
                AcceptsRollback = true,
            },
            _cli.Parts.Rebound);
    }

    [Fact]
    public async Task Demo_arrives()
    {
        Assert.Equal(0, (await _cli.RunAsync("demo", "--keep")).ExitCode);
        Assert.True(_cli.Parts.Shown!.Keep);
    }

    [Fact]
    public async Task Demo_has_no_document_and_says_so()
    {
        CliResult result = await _cli.RunAsync("demo", "--json");
        Assert.Equal(2, result.ExitCode);
        Assert.Contains("--json", result.Error, StringComparison.Ordinal);
        Assert.Equal("DMR-USAGE", result.Json.GetProperty("error").GetProperty("id").GetString());
        AssertNothingWasDone();
    }

    [Fact]
    public async Task An_unexpected_exception_exits_1_with_its_stack_on_the_error_stream()
    {
        _cli.Parts.Before = _ => throw new InvalidOperationException("oops");
        CliResult result = await _cli.RunAsync("serve", "disk1", "--json");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("InvalidOperationException", result.Error, StringComparison.Ordinal);
        Assert.Equal("DMR-INTERNAL", result.Json.GetProperty("error").GetProperty("id").GetString());
    }

    private async Task AssertBadAsync(string line, string says)
    {
        CliResult result = await _cli.RunAsync(line.Split(' '));
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(says, result.Error, StringComparison.Ordinal);
        Assert.Contains("[DMR-", result.Error, StringComparison.Ordinal);
        Assert.Equal("", result.Output);
        AssertNothingWasDone();
    }

    private void AssertNothingWasDone()
    {
        Assert.Null(_cli.Parts.Created);
        Assert.Null(_cli.Parts.Served);
        Assert.Null(_cli.Parts.Checked);
        Assert.Null(_cli.Parts.Dumped);
        Assert.Null(_cli.Parts.Repaired);
        Assert.Null(_cli.Parts.Rebound);
        Assert.Null(_cli.Parts.Shown);
    }
}
