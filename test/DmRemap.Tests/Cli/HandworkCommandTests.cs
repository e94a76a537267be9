using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Cli.Losses;
using DmRemap.Cli.Parsing;
using DmRemap.Control.Contracts;
using DmRemap.Control.Server;
using DmRemap.Core.Abstractions;
using DmRemap.Tests.Control;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>What a person does to blocks by hand, and what is said of what was lost.</summary>
public sealed class HandworkCommandTests : IAsyncDisposable
{
    private readonly CliRun _cli = new();
    private readonly StubDevice _device = new();
    private ControlServer? _server;

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }
        _cli.Dispose();
    }

    [Theory]
    [InlineData("unremap disk1 5", 3)]
    [InlineData("retest disk1", 3)]
    [InlineData("lost disk1", 3)]
    [InlineData("mark-lost disk1 5 --yes", 3)]
    public async Task A_device_that_nobody_knows_exits_3(string line, int exitCode)
    {
        CliResult result = await _cli.RunAsync($"{line} --json".Split(' '));
        Assert.Equal(exitCode, result.ExitCode);
        Assert.Equal("disk1", result.Json.GetProperty("error").GetProperty("device").GetString());
    }

    [Fact]
    public async Task Unremap_says_what_went_back_what_stayed_and_why_and_exits_7()
    {
        Start();
        CliResult result = await _cli.RunAsync("unremap", "disk1", "8-23");
        Assert.Equal(7, result.ExitCode);
        Assert.Equal(
            "disk1: blocks 8-23: 1 unit back on the main device, 7 blocks copied and read back; 0 units had "
                + "nothing on a spare\n"
                + "1 block had been lost before: reads of them go on failing until they are written, "
                + "whatever the main device holds there\n"
                + "1 unit stayed on the spare, unchanged: not every block of a unit could be read\n"
                + "  8-15\n",
            result.Output);
        result = await _cli.RunAsync("unremap", "disk1", "8-23", "--json");
        Assert.Equal(1, result.Json.GetProperty("unitsReturned").GetInt64());
        Assert.Equal(8, result.Json.GetProperty("stayedExtents")[0].GetProperty("firstBlock").GetInt64());
    }

    [Theory]
    [InlineData("nbd://storage:10809/spare")]
    [InlineData("memory:32M")]
    public async Task A_spare_that_cannot_be_added_is_refused_before_anybody_is_asked(string path)
    {
        Start();
        CliResult result = await _cli.RunAsync("spare", "add", "disk1", path);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains("[DMR-USAGE]", result.Error, StringComparison.Ordinal);
        Assert.Contains("only a file or block device", result.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("overwritten", result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, 0, "disk1: to move 1 unit takes as many free units of spares, and there is none")]
    [InlineData(2, 1, "disk1: to move 2 units takes as many free units of spares, and there is 1")]
    [InlineData(9, 8, "disk1: to move 9 units takes as many free units of spares, and there are 8")]
    public void A_remap_without_room_has_a_name_of_its_own_and_names_another_spare(
        long asked, long free, string message)
    {
        Refusal refusal = DeviceHandwork.NoRoom("disk1", asked, free);
        Assert.Equal(("DMR-REMAP-NO-ROOM", ExitCode.RefusedForSafety), (refusal.Id, refusal.ExitCode));
        Assert.Equal(message + ": nothing was moved.", refusal.Message);
        Assert.StartsWith(
            "Add a spare: dmremap spare add disk1 PATH", refusal.Action, StringComparison.Ordinal);
    }

    [Fact]
    public async Task One_block_is_called_a_block()
    {
        _device.OnRemap = (first, last, _, _) => Task.FromResult(Sample.Remap(first.Value, last.Value) with
        {
            UnitsAlreadyRemapped = 1,
            BlocksUnread = 1,
            UnreadExtents = [new LostExtent(first.Value, 1)],
        });
        Start();
        string output = (await _cli.RunAsync("remap", "disk1", "5")).Output;
        Assert.StartsWith("disk1: block 5: ", output, StringComparison.Ordinal);
        Assert.Contains(", 1 was there already; ", output, StringComparison.Ordinal);
        Assert.EndsWith("\n  5\n", output, StringComparison.Ordinal);
        output = (await _cli.RunAsync("unremap", "disk1", "5")).Output;
        Assert.StartsWith("disk1: block 5: ", output, StringComparison.Ordinal);
        CliResult lost = await _cli.RunAsync("mark-lost", "disk1", "5");
        Assert.Contains("Every read of block 5 of disk1 will fail", lost.Error, StringComparison.Ordinal);
        output = (await _cli.RunAsync("mark-lost", "disk1", "5", "--yes")).Output;
        Assert.StartsWith("disk1: block 5: ", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Retest_without_blocks_is_of_the_whole_device()
    {
        Start();
        CliResult result = await _cli.RunAsync("retest", "disk1", "--json");
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(0, result.Json.GetProperty("firstBlock").GetInt64());
        Assert.Equal(524287, result.Json.GetProperty("lastBlock").GetInt64());
        result = await _cli.RunAsync("retest", "disk1", "8-15");
        Assert.Equal(
            "disk1: 2 of 3 suspect units read now; of 4 units given up as unreadable, 5 blocks came back and "
                + "are on a spare now\n",
            result.Output);
    }

    [Fact]
    public async Task Mark_lost_asks_first()
    {
        Start();
        CliResult result = await _cli.RunAsync("mark-lost", "disk1", "8-15");
        Assert.Equal(2, result.ExitCode);
        Assert.Contains("[DMR-USAGE-NEEDS-YES]", result.Error, StringComparison.Ordinal);
        result = await _cli.RunAsync("mark-lost", "disk1", "8-15", "--yes");
        Assert.Equal(0, result.ExitCode);
        Assert.Equal("disk1: blocks 8-15: 8 blocks newly declared lost\n", result.Output);
    }

    [Fact]
    public async Task Lost_says_reason_error_and_day_and_what_is_needed_for_files()
    {
        Start();
        _device.Status = Sample.Status() with { SuspectUnits = 0 };
        Assert.Equal("disk1: no block is lost\n", (await _cli.RunAsync("lost", "disk1")).Output);
        _device.Lost = new LostPage
        {
            BlockSize = 512,
            LostBlocks = 9,
            Extents =
            [
                new LostRun
                {
                    FirstBlock = 800, Blocks = 8, Reason = LossReasons.Unreadable, Day = "2026-11-27",
                    Error = "EIO",
                },
                new LostRun { FirstBlock = 5000, Blocks = 1, Reason = LossReasons.Declared },
            ],
        };
        CliResult result = await _cli.RunAsync("lost", "disk1", "--files");
        Assert.Equal(7, result.ExitCode);
        Assert.StartsWith(
            "disk1: 9 blocks lost (4.5 KiB); reads of them fail until they are written\n"
                + "  blocks 800-807: unreadable, last error EIO, 2026-11-27; tried again in the background\n"
                + "  block 5000: declared, since when is not recorded; the main device's content is never "
                + "looked at\n"
                + "files: unknown (disk1 is not attached",
            result.Output, StringComparison.Ordinal);
        result = await _cli.RunAsync("lost", "disk1", "--json");
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(2, result.Json.GetProperty("extents").GetArrayLength());
    }

    [Fact]
    public async Task Lost_says_how_much_is_suspect_and_never_that_nothing_is_lost_meanwhile()
    {
        Start();
        const string Suspect = "2 units suspect: blocks could not be read, fail at once and are tried again; "
            + "at the third time they count as lost. See: dmremap status disk1; to try them now: "
            + "dmremap retest disk1\n";
        Assert.Equal(
            "disk1: no block is given up as lost yet\n" + Suspect,
            (await _cli.RunAsync("lost", "disk1")).Output);
        CliResult json = await _cli.RunAsync("lost", "disk1", "--json");
        Assert.Equal(2, json.Json.GetProperty("suspectUnits").GetInt64());
        _device.Lost = new LostPage
        {
            BlockSize = 512,
            LostBlocks = 1,
            Extents = [new LostRun { FirstBlock = 5000, Blocks = 1, Reason = LossReasons.Declared }],
        };
        string output = (await _cli.RunAsync("lost", "disk1")).Output;
        Assert.StartsWith("disk1: 1 block lost", output, StringComparison.Ordinal);
        Assert.EndsWith(Suspect, output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Mark_bad_moves_every_run_of_the_list_and_nothing_where_one_lies_outside()
    {
        List<(long, long)> asked = [];
        _device.OnRemap = (first, last, _, _) =>
        {
            asked.Add((first.Value, last.Value));
            return Task.FromResult(Sample.Remap(first.Value, last.Value));
        };
        Start();
        string list = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        try
        {
            await File.WriteAllTextAsync(list, "# bad\n100\n\n8-15 # here\n14-20\n", Ended);
            CliResult result = await _cli.RunAsync("mark-bad", "disk1", "--list", list);
            Assert.Equal(0, result.ExitCode);
            Assert.Equal([(8, 20), (100, 100)], asked);
            asked.Clear();
            result = await _cli.RunAsync("mark-bad", "disk1", "--list", list, "--list-block", "1024");
            Assert.Equal(0, result.ExitCode);
            Assert.Equal([(16, 41), (200, 201)], asked);
            asked.Clear();
            await File.WriteAllTextAsync(list, "8\n524288\n", Ended);
            result = await _cli.RunAsync("mark-bad", "disk1", "--list", list);
            Assert.Equal(2, result.ExitCode);
            await File.WriteAllTextAsync(list, "8\neight\n", Ended);
            result = await _cli.RunAsync("mark-bad", "disk1", "--list", list);
            Assert.Equal(2, result.ExitCode);
            Assert.Contains("line 2", result.Error, StringComparison.Ordinal);
            result = await _cli.RunAsync("mark-bad", "disk1", "--list", list + "x");
            Assert.Equal(2, result.ExitCode);
            Assert.Contains($"{list}x does not exist: ", result.Error, StringComparison.Ordinal);
            result = await _cli.RunAsync("mark-bad", "disk1", "--list", Path.GetTempPath());
            Assert.Equal(2, result.ExitCode);
            Assert.Contains(" is a directory: ", result.Error, StringComparison.Ordinal);
            Assert.DoesNotContain("..", result.Error, StringComparison.Ordinal);
            Assert.Empty(asked);
        }
        finally
        {
            File.Delete(list);
        }
    }

    [Theory]
    [InlineData("", false)]
    [InlineData("# nothing\n", false)]
    [InlineData("-5", false)]
    [InlineData("9-8", false)]
    [InlineData("9223372036854775807", true)]
    [InlineData("99999999999999999999", false)]
    public void Block_list_takes_its_form_and_nothing_else(string text, bool isTaken) =>
        Assert.Equal(isTaken, BlockList.TryParse(text, out _) is not null);

    [Fact]
    public void Inodes_of_blocks_are_taken_only_for_blocks_that_were_asked_for()
    {
        Dictionary<long, SortedSet<long>> found = [];
        SortedSet<long> own = [];
        SortedSet<long> notFound = [];
        string output = "Block\tInode number\n10\t12\n11\t12\n12\t<block not found>\n13\t8\n99\t77\n";
        Assert.True(ExtFiles.TryTakeInodes(output, [10, 11, 12, 13], found, own, notFound));
        Assert.Equal([10, 11], found[12]);
        Assert.Single(found);
        Assert.Equal([13], own);
        Assert.Equal([12], notFound);
        Assert.False(ExtFiles.TryTakeInodes(output, [10, 14], found, own, notFound));
    }

    [Fact]
    public void Names_of_inodes_are_plain_and_only_those_that_were_asked_for()
    {
        Dictionary<long, List<string>> names = [];
        string output = "Inode\tPathname\n12\t//a\n12\t/d/b\u001b[2J\n13\t/x\nforged\n14\tnot a path\n";
        ExtFiles.TakeNames(output, [12, 14], names);
        Assert.Equal(["/a", "/d/b\\u001b[2J"], names[12]);
        Assert.Single(names);
    }

    [Theory]
    [InlineData("Block size:               4096\n", 4096)]
    [InlineData("Block size:               4096 \nBlock size: 1\n", 4096)]
    [InlineData("Block size:               -1\n", null)]
    [InlineData("Block size:               0\n", null)]
    [InlineData("Block size:               99999999\n", null)]
    [InlineData("", null)]
    public void Block_size_of_a_file_system_is_taken_where_it_can_be_one(string output, int? expected) =>
        Assert.Equal(expected, ExtFiles.BlockSizeOf(output));

    private static CancellationToken Ended => TestContext.Current.CancellationToken;

    private void Start() =>
        _server = ControlServer.Start(_cli.Directories.ControlSocketPath("disk1"), _device);
}
