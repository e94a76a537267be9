using System.IO;
using System.Runtime.Versioning;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Members;

[SupportedOSPlatform("linux")]
public sealed class StateFilesTests
{
    private const UnixFileMode PrivateFile = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private const UnixFileMode PrivateDirectory = PrivateFile | UnixFileMode.UserExecute;

    private static readonly StateFiles s_files = new();

    [Fact]
    public void Directory_and_its_parents_are_made_private()
    {
        using TemporaryDirectory directory = new();
        foreach (DirectoryRule rule in (DirectoryRule[])[DirectoryRule.Chosen, DirectoryRule.InSharedPlace])
        {
            string path = directory[$"{rule}/below/here"];
            Assert.Equal(DirectoryTrust.Usable, s_files.PrepareDirectory(path, rule));
            Assert.Equal(PrivateDirectory, File.GetUnixFileMode(path));
            Assert.Equal(PrivateDirectory, File.GetUnixFileMode(directory[$"{rule}/below"]));
            Assert.Equal(DirectoryTrust.Usable, s_files.PrepareDirectory(path, rule));
        }
    }

    [Fact]
    public void Link_file_and_open_directory_are_not_trusted_in_a_shared_place()
    {
        using TemporaryDirectory directory = new();
        Directory.CreateDirectory(directory["real"], PrivateDirectory);
        File.CreateSymbolicLink(directory["link"], directory["real"]);
        directory.MakeFile("file", 1);
        Directory.CreateDirectory(directory["seen"]);
        File.SetUnixFileMode(directory["seen"], PrivateDirectory | UnixFileMode.OtherExecute);
        Assert.Equal(DirectoryTrust.SymbolicLink, Prepare("link", DirectoryRule.InSharedPlace));
        Assert.Equal(DirectoryTrust.Usable, Prepare("link", DirectoryRule.Chosen));
        Assert.Equal(DirectoryTrust.NotADirectory, Prepare("file", DirectoryRule.InSharedPlace));
        Assert.Equal(DirectoryTrust.NotADirectory, Prepare("file", DirectoryRule.Chosen));
        Assert.Equal(DirectoryTrust.OpenToOthers, Prepare("seen", DirectoryRule.InSharedPlace));
        Assert.Equal(DirectoryTrust.Usable, Prepare("seen", DirectoryRule.Chosen));
        File.SetUnixFileMode(directory["seen"], PrivateDirectory | UnixFileMode.OtherWrite);
        Assert.Equal(DirectoryTrust.OpenToOthers, Prepare("seen", DirectoryRule.Chosen));

        DirectoryTrust Prepare(string name, DirectoryRule rule) =>
            s_files.PrepareDirectory(directory[name], rule);
    }

    [Fact]
    public void Directory_of_another_user_is_not_trusted()
    {
        Tool.NeedRoot();
        Tool.Need("chown");
        using TemporaryDirectory directory = new();
        Directory.CreateDirectory(directory["theirs"], PrivateDirectory);
        Tool.Run("chown", "65534", directory["theirs"]);
        foreach (DirectoryRule rule in (DirectoryRule[])[DirectoryRule.InSharedPlace, DirectoryRule.Chosen])
        {
            Assert.Equal(DirectoryTrust.OwnedByAnother, s_files.PrepareDirectory(directory["theirs"], rule));
        }
    }

    [Fact]
    public void New_file_is_private_and_made_once()
    {
        using TemporaryDirectory directory = new();
        string path = directory["a.json"];
        Assert.True(s_files.TryCreate(path, "one"u8));
        Assert.False(s_files.TryCreate(path, "two"u8));
        Assert.Equal("one", File.ReadAllText(path));
        Assert.Equal(PrivateFile, File.GetUnixFileMode(path));
        Assert.Equal([path], Directory.GetFileSystemEntries(directory.Path));
    }

    [Fact]
    public void Replaced_file_is_another_file_so_that_readers_of_the_old_one_see_it_whole()
    {
        using TemporaryDirectory directory = new();
        string path = directory["a.json"];
        s_files.TryCreate(path, "one"u8);
        using FileStream reader =
            new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        s_files.Replace(path, "another"u8);
        Assert.Equal('o', reader.ReadByte());
        Assert.Equal(3, reader.Length);
        Assert.Equal("another", File.ReadAllText(path));
        Assert.Equal(PrivateFile, File.GetUnixFileMode(path));
        Assert.Equal([path], Directory.GetFileSystemEntries(directory.Path));
    }

    [Fact]
    public void Removed_file_is_gone_and_a_second_removal_says_so()
    {
        using TemporaryDirectory directory = new();
        s_files.TryCreate(directory["a.json"], "one"u8);
        Assert.True(s_files.Remove(directory["a.json"]));
        Assert.False(s_files.Remove(directory["a.json"]));
        Assert.Empty(Directory.GetFileSystemEntries(directory.Path));
    }

    [Fact]
    public void Failure_is_an_io_error_that_leaves_no_draft()
    {
        using TemporaryDirectory directory = new();
        Directory.CreateDirectory(directory["a.json"]);
        Assert.Throws<IOException>(() => s_files.Replace(directory["a.json"], "one"u8));
        Assert.False(s_files.TryCreate(directory["a.json"], "one"u8));
        Assert.ThrowsAny<IOException>(() => s_files.TryCreate(directory["none/a.json"], "one"u8));
        Assert.Equal([directory["a.json"]], Directory.GetFileSystemEntries(directory.Path));
    }

    [Fact]
    public void Record_can_be_written_by_many_at_once_and_one_wins()
    {
        using TemporaryDirectory directory = new();
        string path = directory["a.json"];
        int winners = 0;
        System.Threading.Tasks.Parallel.For(0, 16, i =>
        {
            if (s_files.TryCreate(path, new byte[] { (byte)i }))
            {
                System.Threading.Interlocked.Increment(ref winners);
            }
        });
        Assert.Equal(1, winners);
        Assert.Single(File.ReadAllBytes(path));
        Assert.Single(Directory.GetFileSystemEntries(directory.Path));
    }
}
