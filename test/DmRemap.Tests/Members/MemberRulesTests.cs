using System;
using System.IO;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Linux.Members;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Members;

public sealed class MemberRulesTests
{
    private const int MebiByte = 1024 * 1024;

    [Fact]
    public void Two_files_in_one_directory_may_be_members()
    {
        using TemporaryDirectory directory = new();
        string main = directory.MakeFile("main", MebiByte);
        string spare = directory.MakeFile("spare", MebiByte);
        MemberRules.RequireApart(main, [spare]);
        Assert.DoesNotContain(
            MemberRules.FindConcerns(main, [spare]), concern => concern.Id == "DMR-SPARE-SAME-DISK");
    }

    [Fact]
    public void One_file_under_two_names_is_refused()
    {
        using TemporaryDirectory directory = new();
        string main = directory.MakeFile("main", MebiByte);
        string spare = directory.MakeFile("spare", MebiByte);
        Tool.Need("ln");
        Tool.Run("ln", main, directory["hard"]);
        File.CreateSymbolicLink(directory["soft"], spare);
        AssertRefused("DMR-MEMBER-SAME", () => MemberRules.RequireApart(main, [main]));
        AssertRefused("DMR-MEMBER-SAME", () => MemberRules.RequireApart(main, [spare, directory["hard"]]));
        AssertRefused("DMR-MEMBER-SAME", () => MemberRules.RequireApart(main, [spare, directory["soft"]]));
        AssertRefused("DMR-MEMBER-MISSING", () => MemberRules.RequireApart(main, [directory["nothing"]]));
    }

    [Fact]
    public void Spare_with_a_file_system_needs_force()
    {
        Tool.Need("mkfs.ext4");
        Tool.Need("blkid");
        using TemporaryDirectory directory = new();
        string main = directory.MakeFile("main", MebiByte);
        string spare = directory.MakeSparseFile("spare", 4 * MebiByte);
        Assert.Empty(MemberRules.FindConcerns(main, [spare]));
        Tool.Run("mkfs.ext4", "-q", "-F", "-L", "my photos", spare);
        Refusal concern = Assert.Single(MemberRules.FindConcerns(main, [spare]));
        Assert.Equal("DMR-SPARE-FOREIGN-DATA", concern.Id);
        Assert.True(concern.CanBeForced);
        Assert.Contains("ext4 file system", concern.Message, StringComparison.Ordinal);
        Assert.Contains(spare, concern.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_blkid_the_spare_is_not_called_empty()
    {
        using TemporaryDirectory directory = new();
        string main = directory.MakeFile("main", MebiByte);
        string spare = directory.MakeFile("spare", MebiByte);
        Refusal concern = Assert.Single(MemberRules.FindConcerns(
            main, [spare], new BlockTopology(), path => ForeignSignature.Probe(path, null)));
        Assert.Equal("DMR-SPARE-NOT-PROBED", concern.Id);
        Assert.Contains("blkid is not installed", concern.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(2, "", SignatureFinding.Nothing, "")]
    [InlineData(8, "", SignatureFinding.Found, "signatures of several kinds")]
    [InlineData(4, "", SignatureFinding.Unknown, "blkid ended with 4")]
    [InlineData(
        0, "TYPE=ext4,USAGE=filesystem,LABEL=a\\ b", SignatureFinding.Found, "ext4 file system \"a b\"")]
    [InlineData(0, "TYPE=crypto_LUKS,USAGE=crypto", SignatureFinding.Found, "LUKS encrypted volume")]
    [InlineData(0, "TYPE=LVM2_member,USAGE=raid", SignatureFinding.Found, "LVM physical volume")]
    [InlineData(
        0, "TYPE=linux_raid_member,USAGE=raid", SignatureFinding.Found, "member of a Linux RAID array")]
    [InlineData(0, "TYPE=swap,USAGE=other", SignatureFinding.Found, "swap area")]
    [InlineData(0, "PTTYPE=gpt", SignatureFinding.Found, "gpt partition table")]
    [InlineData(0, "PART_ENTRY_SCHEME=gpt,PART_ENTRY_TYPE=83", SignatureFinding.Nothing, "")]
    [InlineData(0, "TYPE=zfs_member,USAGE=raid", SignatureFinding.Found, "signature of zfs_member")]
    public void Answer_of_blkid_is_understood(
        int exitCode, string output, SignatureFinding finding, string description)
    {
        SignatureReport report = ForeignSignature.Interpret(exitCode, output.Split(','), []);
        Assert.Equal(finding, report.Finding);
        Assert.Equal(description, report.Description);
    }

    [Fact]
    public void Blkid_that_found_nothing_because_it_could_not_read_leaves_the_answer_open()
    {
        SignatureReport report = ForeignSignature.Interpret(2, [], ["error: /dev/sdb: Input/output error"]);
        Assert.Equal(SignatureFinding.Unknown, report.Finding);
        Assert.Contains("Input/output error", report.Description, StringComparison.Ordinal);
    }

    [Fact]
    public void Program_that_cannot_be_run_leaves_the_answer_open()
    {
        SignatureReport report = ForeignSignature.Probe("/dev/null", "/nonexistent/blkid");
        Assert.Equal(SignatureFinding.Unknown, report.Finding);
    }

    [Fact]
    public void Spare_too_small_is_refused_with_the_size_needed()
    {
        RefusalException refusal = Assert.Throws<RefusalException>(
            () => MemberRules.RequireSpareSize("/spare", 1000, 1500));
        Assert.Equal("DMR-SPARE-TOO-SMALL", refusal.Id);
        Assert.Contains("1500", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("500 more", refusal.Message, StringComparison.Ordinal);
        MemberRules.RequireSpareSize("/spare", 1500, 1500);
    }

    [Theory]
    [InlineData(TransferMode.Direct, TransferMode.Direct, false)]
    [InlineData(TransferMode.Direct, TransferMode.PageCache, true)]
    [InlineData(TransferMode.PageCache, TransferMode.Direct, false)]
    [InlineData(TransferMode.PageCache, TransferMode.PageCache, false)]
    public void Spare_through_the_page_cache_serves_rehearsals_only(
        TransferMode main, TransferMode spare, bool isRefused)
    {
        using MemberFile one = Pretend("/main", main);
        using MemberFile two = Pretend("/spare", spare);
        if (isRefused)
        {
            AssertRefused("DMR-SPARE-NO-DIRECT-IO", () => MemberRules.RequireSpareMode(one.IsDirect, two));
        }
        else
        {
            MemberRules.RequireSpareMode(one.IsDirect, two);
        }
    }

    [Fact]
    public void State_beside_an_image_file_is_not_on_it()
    {
        using TemporaryDirectory directory = new();
        string main = directory.MakeFile("main", MebiByte);
        MemberRules.RequireStateElsewhere([directory.Path, "/"], main);
    }

    private static MemberFile Pretend(string path, TransferMode mode) =>
        new(path, new Microsoft.Win32.SafeHandles.SafeFileHandle(-1, ownsHandle: false))
        {
            Kind = MemberKind.File,
            Mode = mode,
            ModeReason = "a reason",
            FileSystem = "none",
            SizeBytes = 4096,
            Geometry = new DeviceGeometry
            {
                LogicalBlockSize = new BlockSize(512),
                PhysicalBlockBytes = 4096,
                Blocks = new BlockCount(8),
            },
            DirectOffsetAlignment = 1,
            DirectMemoryAlignment = 1,
            HardwareTransferBytesMax = 0,
            Identity = default,
            Serial = string.Empty,
            WorldWideName = string.Empty,
        };

    private static void AssertRefused(string id, Action action)
    {
        RefusalException refusal = Assert.Throws<RefusalException>(action);
        Assert.Equal(id, refusal.Id);
        Assert.False(refusal.Refusal.CanBeForced);
    }
}
