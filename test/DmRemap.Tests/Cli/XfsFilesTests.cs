using System.Collections.Generic;
using DmRemap.Cli.Losses;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>What xfs_db answers, which is whatever a disk made it say.</summary>
public sealed class XfsFilesTests
{
    private const string Super = "blocksize = 4096\nagblocks = 25600\nagblklog = 15\n";

    [Fact]
    public void Blocks_are_counted_by_groups()
    {
        XfsGeometry geometry = XfsGeometry.Parse(Super)!;
        Assert.Equal(4096, geometry.BlockBytes);
        Assert.Equal(25, geometry.NumberOf(25));
        Assert.Equal((2L << 15) | 7, geometry.NumberOf((2 * 25600) + 7));
        Assert.Equal((2 * 25600) + 7, geometry.BlockAt("2/7"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("/7")]
    [InlineData("2/")]
    [InlineData("2/25600")]
    [InlineData("-1/7")]
    [InlineData("99999999999/7")]
    public void What_is_no_place_is_none(string place) =>
        Assert.Null(XfsGeometry.Parse(Super)!.BlockAt(place));

    [Theory]
    [InlineData("")]
    [InlineData("blocksize = 4096\n")]
    [InlineData("blocksize = 0\nagblocks = 25600\nagblklog = 15\n")]
    [InlineData("blocksize = 1048576\nagblocks = 25600\nagblklog = 15\n")]
    [InlineData("blocksize = 4096\nagblocks = 0\nagblklog = 15\n")]
    [InlineData("blocksize = 4096\nagblocks = 25600\nagblklog = 14\n")]
    [InlineData("blocksize = 4096\nagblocks = 25600\nagblklog = 64\n")]
    public void Geometry_is_believed_where_it_can_be_one(string output) =>
        Assert.Null(XfsGeometry.Parse(output));

    [Fact]
    public void Blocks_that_were_asked_for_are_of_the_files_that_it_says()
    {
        SortedDictionary<long, SortedSet<long>> hit = XfsFiles.InodesOf(
            """
            setting block 0/0 to sb
            setting inode to 132 for block 0/25
            setting inode to 132 for block 1/3
            setting inode to 140 for block 0/99
            setting inode to x for block 0/26
            inode 132 block 25 at offset 1
            """,
            XfsGeometry.Parse(Super)!, [25, 26, 25603]);
        KeyValuePair<long, SortedSet<long>> one = Assert.Single(hit);
        Assert.Equal(132, one.Key);
        Assert.Equal([25, 25603], one.Value);
    }

    [Fact]
    public void Files_and_folders_have_names_and_they_cannot_speak_to_the_terminal()
    {
        Dictionary<long, string> names =
            XfsFiles.NamesOf("        132 dir/a b\n        131 dir/.\n        128 .\nnonsense\n 5 \e[2Jx\n");
        Assert.Equal("/dir/a b", names[132]);
        Assert.Equal("/dir", names[131]);
        Assert.Equal("/", names[128]);
        Assert.DoesNotContain('\e', names[5]);
        Assert.Equal(4, names.Count);
    }
}
