using System.IO;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Devices;
using DmRemap.Linux.Members;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Members;

public sealed class MemberFileTests
{
    private const int MebiByte = 1024 * 1024;

    [Fact]
    public void Regular_file_is_claimed_and_measured()
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeFile("main", MebiByte);
        using MemberFile member = Claim(path);
        Assert.Equal(MemberKind.File, member.Kind);
        Assert.False(member.IsBlockDevice);
        Assert.Equal(path, member.Path);
        Assert.Equal(MebiByte, member.SizeBytes);
        Assert.Equal(512, member.Geometry.LogicalBlockSize.Bytes);
        Assert.Equal(4096, member.Geometry.PhysicalBlockBytes);
        Assert.Equal(MebiByte / 512, member.Geometry.Blocks.Value);
        Assert.Equal(0, member.Geometry.AlignmentOffsetBytes);
        Assert.False(member.Geometry.IsReadOnly);
        Assert.True(member.Descriptor > 2);
        Assert.NotEqual(0UL, member.Identity.Inode);
    }

    [Fact]
    public void Mode_is_direct_exactly_when_there_is_no_reason_against_it()
    {
        using TemporaryDirectory directory = new();
        using MemberFile member = Claim(directory.MakeFile("main", MebiByte));
        Assert.Equal(member.IsDirect, member.ModeReason.Length == 0);
        Assert.Equal(member.IsDirect, (OpenFlags(member) & DirectFlag) != 0);
        if (member.IsDirect)
        {
            Assert.InRange(member.DirectOffsetAlignment, 1, 512);
            Assert.InRange(member.DirectMemoryAlignment, 1, 512);
        }
    }

    [Fact]
    public void File_on_ext4_is_direct_and_direct_transfers_work()
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeFile("main", MebiByte);
        byte[] content = File.ReadAllBytes(path);
        using MemberFile member = Claim(path);
        if (member.FileSystem != "ext4" || !member.IsDirect)
        {
            Assert.Skip($"{directory.Path} is on {member.FileSystem}: {member.ModeReason}");
        }
        BufferSlice buffer = AlignedMemory.Allocate(4096);
        Assert.Equal(512, RandomAccess.Read(member.Handle, buffer.Span[..512], 512));
        Assert.Equal(content[512..1024], buffer.Span[..512].ToArray());
    }

    [Fact]
    public void File_in_memory_is_a_rehearsal_and_says_why()
    {
        const string Memory = "/dev/shm";
        if (!Directory.Exists(Memory))
        {
            Assert.Skip("needs /dev/shm");
        }
        string path = Path.Combine(Memory, Path.GetRandomFileName());
        File.WriteAllBytes(path, new byte[MebiByte]);
        try
        {
            using MemberFile member = Claim(path);
            if (member.FileSystem != "tmpfs")
            {
                Assert.Skip($"/dev/shm is {member.FileSystem}");
            }
            Assert.Equal(TransferMode.PageCache, member.Mode);
            Assert.True(member.IsInMemory);
            Assert.Equal(CacheMode.InMemory, LinuxFileOptions.Of(member).CacheMode);
            Assert.Contains("memory", member.ModeReason, System.StringComparison.Ordinal);
            Assert.Equal(1, member.DirectOffsetAlignment);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData(512, 10 * 512 + 511, 10)]
    [InlineData(4096, 3 * 4096 + 4095, 3)]
    [InlineData(4096, 4096, 1)]
    public void Size_that_is_no_multiple_of_the_block_is_rounded_down(int block, int bytes, int blocks)
    {
        using TemporaryDirectory directory = new();
        using MemberFile member =
            Claim(directory.MakeFile("main", bytes), new MemberOptions { BlockBytes = block });
        Assert.Equal(bytes, member.SizeBytes);
        Assert.Equal(blocks, member.Geometry.Blocks.Value);
        Assert.Equal(block, member.Geometry.LogicalBlockSize.Bytes);
        Assert.Equal(4096, member.Geometry.PhysicalBlockBytes);
    }

    [Fact]
    public void Descriptor_is_not_inherited_by_programs_we_start()
    {
        using TemporaryDirectory directory = new();
        using MemberFile member = Claim(directory.MakeFile("main", MebiByte));
        Assert.NotEqual(0, OpenFlags(member) & CloseOnExecFlag);
    }

    [Fact]
    public void Read_only_member_is_claimed_too_and_cannot_be_written()
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeFile("main", MebiByte);
        using MemberFile member = Claim(path, new MemberOptions { Access = MemberAccess.ReadOnly });
        Assert.True(member.Geometry.IsReadOnly);
        Assert.False(member.Geometry.CanWriteZeroes);
        Assert.Equal(0, OpenFlags(member) & 3);
        Assert.Null(MemberFile.TryClaim(path, new MemberOptions()).Member);
    }

    [Fact]
    public void Link_is_followed_and_kept_as_given()
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeFile("main", MebiByte);
        File.CreateSymbolicLink(directory["link"], path);
        using MemberFile member = Claim(directory["link"]);
        Assert.Equal(directory["link"], member.Path);
        Assert.Null(MemberFile.TryClaim(path, new MemberOptions()).Member);
    }

    [Fact]
    public void Missing_path_is_refused()
    {
        using TemporaryDirectory directory = new();
        AssertRefused("DMR-MEMBER-MISSING", ExitCode.NoSuchDevice, directory["nothing"]);
        directory.MakeFile("file", 10);
        AssertRefused("DMR-MEMBER-MISSING", ExitCode.NoSuchDevice, directory["file/below"]);
    }

    [Fact]
    public void Link_to_nowhere_and_link_to_itself_are_refused()
    {
        using TemporaryDirectory directory = new();
        File.CreateSymbolicLink(directory["dangling"], directory["nothing"]);
        File.CreateSymbolicLink(directory["loop"], directory["loop"]);
        AssertRefused("DMR-MEMBER-MISSING", ExitCode.NoSuchDevice, directory["dangling"]);
        AssertRefused("DMR-MEMBER-NOT-STORAGE", ExitCode.Usage, directory["loop"]);
    }

    [Fact]
    public void Directory_pipe_and_character_device_are_refused()
    {
        Tool.Need("mkfifo");
        using TemporaryDirectory directory = new();
        Tool.Run("mkfifo", directory["pipe"]);
        AssertRefused("DMR-MEMBER-NOT-STORAGE", ExitCode.Usage, directory.Path);
        AssertRefused("DMR-MEMBER-NOT-STORAGE", ExitCode.Usage, directory["pipe"]);
        AssertRefused("DMR-MEMBER-NOT-STORAGE", ExitCode.Usage, "/dev/null");
    }

    [Fact]
    public void Path_longer_than_paths_can_be_is_refused() =>
        AssertRefused("DMR-MEMBER-NOT-STORAGE", ExitCode.Usage, "/" + new string('a', 300));

    [Theory]
    [InlineData(0)]
    [InlineData(511)]
    public void File_without_a_whole_block_is_refused(int bytes)
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeFile("main", bytes);
        AssertRefused("DMR-MEMBER-EMPTY", ExitCode.Usage, path);

        // The refusal has given the claim back.
        File.WriteAllBytes(path, new byte[MebiByte]);
        Claim(path).Dispose();
    }

    [Theory]
    [InlineData(256)]
    [InlineData(1000)]
    [InlineData(8192)]
    public void Block_size_that_is_none_is_refused(int block)
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeFile("main", MebiByte);
        RefusalException refusal = Assert.Throws<RefusalException>(
            () => MemberFile.TryClaim(path, new MemberOptions { BlockBytes = block }));
        Assert.Equal("DMR-MEMBER-BLOCK-SIZE", refusal.Id);
    }

    [Fact]
    public void Every_refusal_says_what_which_and_what_to_do()
    {
        RefusalException refusal = Assert.Throws<RefusalException>(
            () => MemberFile.TryClaim("/nonexistent/disk", new MemberOptions()));
        Assert.Contains("/nonexistent/disk", refusal.Message, System.StringComparison.Ordinal);
        Assert.Equal("/nonexistent/disk", refusal.Device);
        Assert.NotEmpty(refusal.Action);
    }

    private static int DirectFlag =>
        System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture
            == System.Runtime.InteropServices.Architecture.Arm64 ? 0x10000 : 0x4000;

    private static int CloseOnExecFlag => 0x80000;

    private static MemberFile Claim(string path, MemberOptions? options = null)
    {
        ClaimResult result = MemberFile.TryClaim(path, options ?? new MemberOptions());
        Assert.NotNull(result.Member);
        return result.Member;
    }

    private static int OpenFlags(MemberFile member)
    {
        foreach (string line in File.ReadAllLines($"/proc/self/fdinfo/{member.Descriptor}"))
        {
            if (line.StartsWith("flags:", System.StringComparison.Ordinal))
            {
                return System.Convert.ToInt32(line[6..].Trim(), 8);
            }
        }
        throw new InvalidDataException("no flags in fdinfo");
    }

    private static void AssertRefused(string id, ExitCode exitCode, string path)
    {
        RefusalException refusal = Assert.Throws<RefusalException>(
            () => MemberFile.TryClaim(path, new MemberOptions()));
        Assert.Equal(id, refusal.Id);
        Assert.Equal(exitCode, refusal.ExitCode);
        Assert.Equal(path, refusal.Device);
    }
}
