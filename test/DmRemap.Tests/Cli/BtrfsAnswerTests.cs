using DmRemap.Cli.Losses;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>What btrfs answers of a block, which is whatever a disk made it say.</summary>
public sealed class BtrfsAnswerTests
{
    [Theory]
    [InlineData("ERROR: logical ino ioctl: No such file or directory", 1, true)]
    [InlineData("ERROR: cannot access '/mnt': No such file or directory", 1, false)]
    [InlineData("ERROR: logical ino ioctl: Input/output error", 1, false)]
    [InlineData("", 0, false)]
    public void No_file_has_it_only_where_the_kernel_says_so(string why, int exitCode, bool isOfNone) =>
        Assert.Equal(isOfNone, BtrfsAnswer.IsOfNoFile(new ToolAnswer(exitCode, "", why)));

    [Theory]
    [InlineData("inode 257 subvol home could not be accessed: not mounted", "257", "home")]
    [InlineData("inode 5 subvol a/b c could not be accessed: not mounted", "5", "a/b c")]
    public void Subvolume_that_is_not_mounted_by_itself_is_taken(string line, string inode, string subvolume)
    {
        Assert.True(BtrfsAnswer.TryTakeInSubvolume(line, out string number, out string path));
        Assert.Equal((inode, subvolume), (number, path));
    }

    [Theory]
    [InlineData("/mnt/inode 257 subvol home could not be accessed: not mounted")]
    [InlineData("inode x subvol home could not be accessed: not mounted")]
    [InlineData("inode 257 subvol could not be accessed: not mounted")]
    [InlineData("inode 257 subvol  could not be accessed: not mounted")]
    [InlineData("inode 257 subvol home")]
    [InlineData("")]
    public void Another_line_is_not(string line) =>
        Assert.False(BtrfsAnswer.TryTakeInSubvolume(line, out _, out _));

    [Theory]
    [InlineData("/mnt/a", "/mnt", true)]
    [InlineData("/mnt2/a", "/mnt", false)]
    [InlineData("/a", "/", true)]
    [InlineData("a", "/", false)]
    public void Path_is_below_a_folder_and_not_beside_it(string path, string folder, bool isBelow) =>
        Assert.Equal(isBelow, BtrfsAnswer.IsBelow(path, folder));
}
