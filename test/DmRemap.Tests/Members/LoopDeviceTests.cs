using System;
using System.IO;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Members;

/// <summary>Real block devices, where the machine gives us any.</summary>
public sealed class LoopDeviceTests
{
    private const int MebiByte = 1024 * 1024;

    [Fact]
    public void Block_device_is_claimed_for_itself_and_measured()
    {
        using TemporaryDirectory directory = new();
        using LoopDevice loop = LoopDevice.Attach(directory.MakeFile("image", 4 * MebiByte));
        using MemberFile member = MemberFile.TryClaim(loop.Path, new MemberOptions()).Member!;
        Assert.True(member.IsBlockDevice);
        Assert.True(member.IsDirect);
        Assert.Equal(4 * MebiByte, member.SizeBytes);
        Assert.Equal(member.SizeBytes, member.Geometry.Bytes.Value);
        Assert.Equal(512, member.Geometry.LogicalBlockSize.Bytes);
        Assert.Equal(0, member.Geometry.AlignmentOffsetBytes);
        Assert.False(member.Geometry.CanDiscard);
        Assert.Equal(7U, member.Identity.Device.Major);

        ClaimResult second = MemberFile.TryClaim(loop.Path, new MemberOptions());
        Assert.Null(second.Member);
        Assert.Contains(second.Holders, holder => holder.ProcessId == Environment.ProcessId);
    }

    [Fact]
    public void Block_device_keeps_its_own_block_size()
    {
        using TemporaryDirectory directory = new();
        using LoopDevice loop = LoopDevice.Attach(directory.MakeFile("image", 4 * MebiByte), "-b", "4096");
        using (MemberFile member = MemberFile.TryClaim(loop.Path, new MemberOptions()).Member!)
        {
            Assert.Equal(4096, member.Geometry.LogicalBlockSize.Bytes);
            Assert.Equal(4096, member.DirectOffsetAlignment);
        }
        RefusalException refusal = Assert.Throws<RefusalException>(
            () => MemberFile.TryClaim(loop.Path, new MemberOptions { BlockBytes = 512 }));
        Assert.Equal("DMR-MEMBER-BLOCK-SIZE", refusal.Id);
    }

    [Fact]
    public void Loop_and_its_file_are_one_storage()
    {
        using TemporaryDirectory directory = new();
        string image = directory.MakeFile("image", 4 * MebiByte);
        string other = directory.MakeFile("other", 4 * MebiByte);
        using LoopDevice loop = LoopDevice.Attach(image);
        Assert.Equal(MemberRelation.SameBytes, MemberInspection.Relate(loop.Path, image));
        Assert.NotEqual(MemberRelation.SameBytes, MemberInspection.Relate(loop.Path, other));
        MemberUser user = Assert.Single(MemberInspection.FindUsers(image));
        Assert.Equal(new MemberUser(UserKind.Loop, loop.Name, string.Empty), user);
        RefusalException refusal = Assert.Throws<RefusalException>(() => MemberRules.RequireUnused(image));
        Assert.Equal("DMR-MEMBER-LOOP", refusal.Id);
        Assert.Equal(ExitCode.InUse, refusal.ExitCode);
        Assert.Contains(loop.Name, refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Mounted_device_is_refused_with_its_mount_point()
    {
        using TemporaryDirectory directory = new();
        using LoopDevice loop = LoopDevice.Attach(directory.MakeSparseFile("image", 8 * MebiByte));
        using MountedExt4 mount = MountedExt4.Make(loop.Path, directory["mnt"]);
        RefusalException refusal = Assert.Throws<RefusalException>(() => MemberFile.WaitForClaim(
            loop.Path, new MemberOptions(), _ => { }, CancellationToken.None));
        Assert.Equal("DMR-MEMBER-MOUNTED", refusal.Id);
        Assert.Equal(ExitCode.InUse, refusal.ExitCode);
        Assert.Contains(mount.Point, refusal.Message, StringComparison.Ordinal);
        Assert.Contains("umount", refusal.Action, StringComparison.Ordinal);
    }

    [Fact]
    public void File_on_the_file_system_that_the_main_device_carries_is_refused()
    {
        using TemporaryDirectory directory = new();
        string image = directory.MakeSparseFile("image", 8 * MebiByte);
        using LoopDevice loop = LoopDevice.Attach(image);
        using MountedExt4 mount = MountedExt4.Make(loop.Path, directory["mnt"]);
        string spare = Path.Combine(mount.Point, "spare");
        File.WriteAllBytes(spare, new byte[MebiByte]);
        Assert.Equal(MemberRelation.FirstLiesOnSecond, MemberInspection.Relate(spare, loop.Path));
        Assert.Equal(MemberRelation.FirstLiesOnSecond, MemberInspection.Relate(spare, image));
        Assert.True(MemberInspection.LiesOn(mount.Point, loop.Path));
        Assert.True(MemberInspection.LiesOn(spare, image));
        Assert.False(MemberInspection.LiesOn(directory.Path, loop.Path));
        RefusalException refusal = Assert.Throws<RefusalException>(
            () => MemberRules.RequireApart(loop.Path, [spare]));
        Assert.Equal("DMR-MEMBER-OVERLAP", refusal.Id);
        refusal = Assert.Throws<RefusalException>(
            () => MemberRules.RequireStateElsewhere(["/", mount.Point], loop.Path));
        Assert.Equal("DMR-STATE-ON-MEMBER", refusal.Id);
    }

    [Fact]
    public void Partition_and_its_disk_cannot_both_be_members()
    {
        using TemporaryDirectory directory = new();
        string image = directory.MakeSparseFile("image", 8 * MebiByte);
        using LoopDevice loop = LoopDevice.Attach(image, "-P");
        Tool.Need("addpart");
        Tool.Run("addpart", loop.Path, "1", "63", "2048");
        Tool.Run("addpart", loop.Path, "2", "4096", "2048");
        string first = $"{loop.Path}p1";
        string second = $"{loop.Path}p2";
        if (!File.Exists(first) || !File.Exists(second))
        {
            Assert.Skip("partitions of loop devices get no nodes here");
        }
        Assert.Equal(MemberRelation.FirstLiesOnSecond, MemberInspection.Relate(first, loop.Path));
        Assert.Equal(MemberRelation.SameDisk, MemberInspection.Relate(first, second));
        Assert.Equal("DMR-MEMBER-OVERLAP", Assert.Throws<RefusalException>(
            () => MemberRules.RequireApart(loop.Path, [first])).Id);
        using MemberFile member = MemberFile.TryClaim(first, new MemberOptions()).Member!;
        Assert.Equal(2048 * 512, member.SizeBytes);
        Assert.Equal(
            0, (63 * 512 + member.Geometry.AlignmentOffsetBytes) % member.Geometry.PhysicalBlockBytes);

        // The whole disk cannot be claimed while a part of it is.
        Assert.Null(MemberFile.TryClaim(loop.Path, new MemberOptions()).Member);
    }

    [Theory]
    [InlineData(63, 512, 4096, 512)]
    [InlineData(63, 512, 512, 0)]
    [InlineData(64, 512, 4096, 0)]
    [InlineData(1, 512, 65_536, 3584)]
    public void Unit_grid_follows_the_physical_sectors_of_the_disk(
        int startSector, int logical, int granularity, int expected)
    {
        // As the kernel computes alignment_offset: from the partition's start to the next boundary of its
        // granularity.
        int alignmentOffset = (granularity - (startSector * 512 % granularity)) % granularity;
        int physical = int.Min(granularity, 4096);
        DeviceGeometry geometry = DeviceFacts.GeometryOf(
            MebiByte, logical, physical, alignmentOffset, new MemberOptions(), isRotational: false);
        Assert.Equal(expected, geometry.AlignmentOffsetBytes);
        Assert.Equal(0, ((startSector * 512) + geometry.AlignmentOffsetBytes) % physical);
        Assert.Equal(physical, geometry.PhysicalBlockBytes);
    }

    [Theory]
    [InlineData(512, 512, 3584, null)]
    [InlineData(4096, 512, 0, null)]
    [InlineData(4096, 512, 3584, "DMR-MEMBER-BLOCK-SIZE")]
    [InlineData(1024, 512, 512, "DMR-MEMBER-BLOCK-SIZE")]
    [InlineData(4096, 4096, 512, "DMR-MEMBER-MISALIGNED")]
    public void Partition_off_the_blocks_it_would_be_served_in_is_refused(
        int logical, int own, int alignmentOffset, string? id) =>
        Assert.Equal(id, DeviceFacts.RefusalOfOffset("/dev/sda1", logical, own, alignmentOffset)?.Id);

    [Fact]
    public void Spare_partition_on_the_disk_of_the_main_device_needs_force()
    {
        using FakeMachine machine = new();
        DeviceNumber first = new(8, 1);
        machine.AddDisk("sda", 8, 0);
        machine.AddPartition("sda", "sda1", 8, 1);
        machine.AddPartition("sda", "sda2", 8, 2);
        using TemporaryDirectory directory = new();
        Tool.NeedRoot();
        Tool.Need("mknod");
        Tool.Run("mknod", directory["sda1"], "b", "8", "1");
        Tool.Run("mknod", directory["sda2"], "b", "8", "2");
        Refusal concern = Assert.Single(MemberRules.FindConcerns(
            directory["sda1"],
            [directory["sda2"]],
            machine.Topology,
            _ => new SignatureReport(SignatureFinding.Nothing, string.Empty)));
        Assert.Equal("DMR-SPARE-SAME-DISK", concern.Id);
        Assert.True(concern.CanBeForced);
        Assert.True(machine.Topology.IsPartition(first));
    }

    [Fact]
    public void Detached_loop_device_is_refused()
    {
        using TemporaryDirectory directory = new();
        string path;
        using (LoopDevice loop = LoopDevice.Attach(directory.MakeFile("image", 4 * MebiByte)))
        {
            path = loop.Path;
        }
        try
        {
            ClaimResult result = MemberFile.TryClaim(path, new MemberOptions());
            result.Member?.Dispose();
            Assert.Skip($"{path} has been attached again by somebody else");
        }
        catch (RefusalException refusal)
        {
            Assert.Contains(refusal.Id, (string[])["DMR-MEMBER-EMPTY", "DMR-MEMBER-MISSING"]);
        }
    }
}
