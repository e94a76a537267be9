using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using DmRemap.Core.Faults.Injection;
using Xunit;

namespace DmRemap.Tests.Lab;

/// <summary>Lists of bad sectors: ours, ddrescue's and badblocks'. They come from anywhere.</summary>
public sealed class DefectListTests
{
    private const long Sectors = 2048;

    private const string Mapfile = """
        # Mapfile. Created by GNU ddrescue version 1.27
        # Command line: ddrescue /dev/sda image mapfile
        # current_pos  current_status  current_pass
        0x00002000     ?               1
        #      pos        size  status
        0x00000000  0x00001000  +
        0x00001000  0x00000200  -
        0x00001200  0x00000600  /
        0x00001800  0x00000800  *
        0x00002000  0x000DE000  +
        0x000E0000  0x00040000  -
        """;

    [Fact]
    public void Mapfile_gives_its_bad_sectors_and_says_what_it_does_not_know()
    {
        DefectsParsed parsed = ForeignLists.ParseMapfile(Mapfile, Sectors);
        Assert.Empty(parsed.Errors);
        Assert.Equal(["8 pending", "1792-2047 pending"], parsed.Runs.Select(DefectText.Of));
        Assert.Equal(
            "3584 bytes were not read to their end by ddrescue, and are good here; "
                + "131072 bad bytes lie beyond the end of this disk",
            parsed.Note);
    }

    [Theory]
    [InlineData("", "line 1: it is no mapfile: it has no blocks")]
    [InlineData("# a comment\n\n", "line 3: it is no mapfile: it has no blocks")]
    [InlineData("0 +\n", "line 2: it is no mapfile: it has no blocks")]
    [InlineData("hello\n", "line 1: 'hello' is not `CURRENT_POSITION STATUS [PASS]`")]
    [InlineData("0 +\n0 512\n", "line 2: '0 512' is not `POSITION SIZE STATUS` of ddrescue")]
    [InlineData("0 +\n0 512 x\n", "line 2: '0 512 x' is not `POSITION SIZE STATUS` of ddrescue")]
    [InlineData("0 +\n0 0 -\n", "line 2: '0 0 -' is not `POSITION SIZE STATUS` of ddrescue")]
    [InlineData("0 +\n0 0xFFFFFFFFFFFFFFFF -\n",
        "line 2: '0 0xFFFFFFFFFFFFFFFF -' is not `POSITION SIZE STATUS` of ddrescue")]
    [InlineData("0 +\n1 0x7FFFFFFFFFFFFFFF -\n",
        "line 2: '1 0x7FFFFFFFFFFFFFFF -' is not `POSITION SIZE STATUS` of ddrescue")]
    [InlineData("0 +\n0 512 +\n1024 512 -\n", "line 3: the blocks do not follow one another without a gap")]
    public void What_is_no_mapfile_is_refused_with_its_line(string text, string error)
    {
        DefectsParsed parsed = ForeignLists.ParseMapfile(text, Sectors);
        Assert.Equal(error, Assert.Single(parsed.Errors).ToString());
        Assert.Empty(parsed.Runs);
    }

    [Fact]
    public void Badblocks_list_gives_all_sectors_of_its_blocks()
    {
        DefectsParsed parsed = ForeignLists.ParseBadblocks("0\n 7\n\n1023\n1024\n", 1024, Sectors);
        Assert.Equal(
            ["0-1 pending", "14-15 pending", "2046-2047 pending"], parsed.Runs.Select(DefectText.Of));
        Assert.Equal("1024 bad bytes lie beyond the end of this disk", parsed.Note);
        Assert.Equal(
            ["8-15 pending"],
            ForeignLists.ParseBadblocks("1", 4096, Sectors).Runs.Select(DefectText.Of));
    }

    [Theory]
    [InlineData("-1", 1024, "line 1: '-1' is not the number of a block")]
    [InlineData("1\nx", 1024, "line 2: 'x' is not the number of a block")]
    [InlineData("9223372036854775807", 1024, "line 1: '9223372036854775807' is not the number of a block")]
    [InlineData("1", 1000, "line 1: a block of 1000 bytes is not a multiple of 512, at most 1 MiB")]
    [InlineData("1", 0, "line 1: a block of 0 bytes is not a multiple of 512, at most 1 MiB")]
    public void What_is_no_list_of_badblocks_is_refused_with_its_line(string text, int block, string error)
    {
        DefectsParsed parsed = ForeignLists.ParseBadblocks(text, block, Sectors);
        Assert.Equal(error, Assert.Single(parsed.Errors).ToString());
        Assert.Empty(parsed.Runs);
    }

    [Theory]
    [InlineData("8", "8 pending")]
    [InlineData("8-15  dead # why", "8-15 dead")]
    [InlineData("8-15 delay=20", "8-15 pending delay=20")]
    [InlineData("8 weak", "8 weak tries=1")]
    [InlineData("8 weak tries=0 delay=1500", "8 weak tries=0 delay=1500")]
    [InlineData("2047 unflushable", "2047 unflushable")]
    [InlineData("0-2047 corrupt", "0-2047 corrupt")]
    [InlineData("8 lasting", "8 pending lasting")]
    [InlineData("8 weak lasting delay=3", "8 weak tries=1 delay=3 lasting")]
    public void Line_of_ours_means_what_it_says_and_parses_to_itself(string line, string canonical)
    {
        DefectRun run = Assert.Single(DefectText.Parse(line, Sectors).Runs);
        Assert.Equal(canonical, DefectText.Of(run));
        Assert.Equal(run, Assert.Single(DefectText.Parse(canonical, Sectors).Runs));
    }

    [Theory]
    [InlineData("x")]
    [InlineData("9-8")]
    [InlineData("2048")]
    [InlineData("0-2048 dead")]
    [InlineData("8 dead dead")]
    [InlineData("8 dead tries=2")]
    [InlineData("8 weak tries=-1")]
    [InlineData("8 weak tries=1001")]
    [InlineData("8 delay=86400001")]
    [InlineData("8 sleepy")]
    [InlineData("8 dead lasting")]
    [InlineData("8 unflushable lasting")]
    [InlineData("99999999999999999999")]
    public void Line_that_is_none_of_ours_is_refused(string line)
    {
        DefectsParsed parsed = DefectText.Parse("0\n" + line, Sectors);
        Assert.Empty(parsed.Runs);
        Assert.StartsWith("line 2: ", Assert.Single(parsed.Errors).ToString(), StringComparison.Ordinal);
    }

    /// <summary>
    /// Real lists with bytes changed, removed, doubled: never an exception, never a sector that the disk does
    /// not have, and never some of a list that has an error.
    /// </summary>
    [Fact]
    public void Mutated_lists_are_refused_or_stay_on_the_disk()
    {
        const string Ours = "8-15 weak tries=3 delay=1500\n# x\n100 dead\n2000-2047 corrupt\n";
        int refused = 0;
        int taken = 0;
        for (int seed = 0; seed < 30_000; seed++)
        {
            Random random = new(seed);
            string list = random.Next(3) switch { 0 => Mapfile, 1 => Ours, _ => "1\n2\n700\n" };
            string text = Mutated(list, random);
            DefectsParsed[] all;
            try
            {
                all =
                [
                    ForeignLists.ParseMapfile(text, Sectors),
                    ForeignLists.ParseBadblocks(text, 512 << random.Next(4), Sectors),
                    DefectText.Parse(text, Sectors),
                ];
            }
            catch (Exception exception)
            {
                Assert.Fail($"seed={seed}: {exception}");
                return;
            }
            foreach (DefectsParsed parsed in all)
            {
                AssertSound(parsed, seed);
                refused += parsed.IsOk ? 0 : 1;
                taken += parsed.IsOk && parsed.Runs.Count > 0 ? 1 : 0;
            }
        }
        // A fuzzer whose lists are all refused, or all taken, finds nothing.
        Assert.True(refused > 10_000, $"{refused}");
        Assert.True(taken > 5_000, $"{taken}");
    }

    private static void AssertSound(DefectsParsed parsed, int seed)
    {
        Assert.True(parsed.Errors.Count == 0 || parsed.Runs.Count == 0, $"seed={seed}");
        foreach (DefectRun run in parsed.Runs)
        {
            Assert.True(run.First >= 0 && run.First <= run.Last && run.Last < Sectors, $"seed={seed}: {run}");
        }
        List<PlacedDefect> placed = [];
        if (DefectRun.TryPlace(parsed.Runs, 8, placed))
        {
            Assert.True(placed.TrueForAll(each => each.Physical is >= 0 and < Sectors / 8), $"seed={seed}");
        }
    }

    private static string Mutated(string text, Random random)
    {
        const string Alphabet = "0123456789abcdefxX-+*/? \t\n\r#=.\0é";
        StringBuilder changed = new(text);
        for (int i = random.Next(4); i > 0 && changed.Length > 0; i--)
        {
            int at = random.Next(changed.Length);
            switch (random.Next(4))
            {
                case 0:
                    changed[at] = Alphabet[random.Next(Alphabet.Length)];
                    break;
                case 1:
                    changed.Remove(at, Math.Min(random.Next(1, 12), changed.Length - at));
                    break;
                case 2:
                    int length = Math.Min(random.Next(1, 40), changed.Length - at);
                    changed.Insert(at, changed.ToString(at, length));
                    break;
                default:
                    changed.Insert(at, new string('9', random.Next(1, 25)));
                    break;
            }
        }
        return changed.ToString();
    }
}
