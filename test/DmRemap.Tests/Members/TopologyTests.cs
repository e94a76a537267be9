using System.Collections.Generic;
using System.IO;
using System.Linq;
using DmRemap.Linux.Members;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Members;

public sealed class TopologyTests
{
    [Fact]
    public void Partition_lies_on_its_disk_and_beside_its_sibling()
    {
        using FakeMachine machine = new();
        DeviceNumber disk = machine.AddDisk("sda", 8, 0);
        DeviceNumber first = machine.AddPartition("sda", "sda1", 8, 1);
        DeviceNumber second = machine.AddPartition("sda", "sda2", 8, 2);
        Assert.Equal(MemberRelation.FirstLiesOnSecond, Relate(machine, first, disk));
        Assert.Equal(MemberRelation.SecondLiesOnFirst, Relate(machine, disk, first));
        Assert.Equal(MemberRelation.SameDisk, Relate(machine, first, second));
        Assert.Equal(MemberRelation.SameDevice, Relate(machine, first, first));
    }

    [Fact]
    public void Different_disks_are_apart()
    {
        using FakeMachine machine = new();
        DeviceNumber one = machine.AddDisk("sda", 8, 0);
        DeviceNumber two = machine.AddDisk("sdb", 8, 16);
        DeviceNumber part = machine.AddPartition("sdb", "sdb1", 8, 17);
        Assert.Equal(MemberRelation.Apart, Relate(machine, one, two));
        Assert.Equal(MemberRelation.Apart, Relate(machine, one, part));
    }

    [Fact]
    public void Mapped_device_lies_on_everything_below_it()
    {
        using FakeMachine machine = new();
        DeviceNumber disk = machine.AddDisk("sda", 8, 0);
        DeviceNumber part = machine.AddPartition("sda", "sda1", 8, 1);
        DeviceNumber sibling = machine.AddPartition("sda", "sda2", 8, 2);
        DeviceNumber crypt = machine.AddStacked("dm-0", "dm", 253, 0, "sda/sda1");
        DeviceNumber volume = machine.AddStacked("dm-1", "dm", 253, 1, "dm-0");
        Assert.Equal(MemberRelation.FirstLiesOnSecond, Relate(machine, volume, crypt));
        Assert.Equal(MemberRelation.FirstLiesOnSecond, Relate(machine, volume, part));
        Assert.Equal(MemberRelation.FirstLiesOnSecond, Relate(machine, volume, disk));
        Assert.Equal(MemberRelation.SecondLiesOnFirst, Relate(machine, disk, volume));
        Assert.Equal(MemberRelation.SameDisk, Relate(machine, volume, sibling));
    }

    [Fact]
    public void Array_over_two_disks_shares_a_disk_with_both()
    {
        using FakeMachine machine = new();
        DeviceNumber first = machine.AddDisk("sda", 8, 0);
        machine.AddPartition("sda", "sda1", 8, 1);
        DeviceNumber rest = machine.AddPartition("sda", "sda2", 8, 2);
        DeviceNumber second = machine.AddDisk("sdb", 8, 16);
        DeviceNumber third = machine.AddDisk("sdc", 8, 32);
        DeviceNumber array = machine.AddStacked("md0", "md", 9, 0, "sda/sda1", "sdb");
        Assert.Equal(MemberRelation.FirstLiesOnSecond, Relate(machine, array, first));
        Assert.Equal(MemberRelation.FirstLiesOnSecond, Relate(machine, array, second));
        Assert.Equal(MemberRelation.SameDisk, Relate(machine, array, rest));
        Assert.Equal(MemberRelation.Apart, Relate(machine, array, third));
    }

    [Fact]
    public void Stack_that_leads_back_to_itself_ends()
    {
        using FakeMachine machine = new();
        DeviceNumber one = machine.AddStacked("dm-0", "dm", 253, 0);
        DeviceNumber two = machine.AddStacked("dm-1", "dm", 253, 1, "dm-0");
        System.IO.File.CreateSymbolicLink(
            machine.PathOf("sys/devices/dm-0/slaves/dm-1"), machine.PathOf("sys/devices/dm-1"));
        Assert.Equal(MemberRelation.FirstLiesOnSecond, Relate(machine, two, one));
    }

    [Fact]
    public void Users_of_a_disk_are_those_of_its_partitions()
    {
        using FakeMachine machine = new();
        DeviceNumber disk = machine.AddDisk("sda", 8, 0);
        machine.AddPartition("sda", "sda1", 8, 1);
        machine.AddPartition("sda", "sda2", 8, 2);
        machine.AddStacked("dm-0", "dm", 253, 0, "sda/sda2");
        machine.Write("dm-0", "dm/name", "vg-home");
        machine.Mount(@"30 1 8:1 / /mnt/my\040disk rw,relatime shared:1 - ext4 /dev/root rw");
        machine.Mount("31 1 8:33 / /other rw - ext4 /dev/sdc1 rw");
        List<MemberUser> users = MemberInspection.FindDeviceUsers(disk, machine.Topology);
        Assert.Equal(2, users.Count);
        Assert.Contains(new MemberUser(UserKind.Mount, "/mnt/my disk", "sda1"), users);
        Assert.Contains(new MemberUser(UserKind.DeviceMapper, "dm-0 (vg-home)", "sda2"), users);
    }

    [Fact]
    public void Users_of_a_partition_are_its_own_and_those_of_the_whole_disk()
    {
        using FakeMachine machine = new();
        machine.AddDisk("sda", 8, 0);
        DeviceNumber first = machine.AddPartition("sda", "sda1", 8, 1);
        DeviceNumber second = machine.AddPartition("sda", "sda2", 8, 2);
        machine.AddStacked("md127", "md", 9, 127, "sda");
        machine.Mount("30 1 8:1 / /mnt rw - ext4 /dev/sda1 rw");
        Assert.Equal(
            [UserKind.Mount, UserKind.Md],
            MemberInspection.FindDeviceUsers(first, machine.Topology).Select(user => user.Kind).Order());
        MemberUser only = Assert.Single(MemberInspection.FindDeviceUsers(second, machine.Topology));
        Assert.Equal(new MemberUser(UserKind.Md, "md127", "sda"), only);
    }

    /// <summary>What it is written to is shown by a file that the main device is behind (F-21).</summary>
    [Fact]
    public void A_file_on_a_device_of_ours_stands_on_its_main_device()
    {
        using FakeMachine machine = new();
        string main = machine.PathOf("main.img");
        string shown = machine.PathOf("disk1.disk");
        string other = machine.PathOf("other.img");
        foreach (string path in (string[])[main, shown, other])
        {
            File.WriteAllBytes(path, new byte[4096]);
        }
        DeviceNumber loop = machine.AddDisk("loop7", 7, 7);
        machine.Write("loop7", "loop/backing_file", shown);
        machine.Mount($"30 1 0:61 / {shown} rw - fuse.dmremap {main} rw,user_id=0");
        StorageNode node = StorageStack.NodeOf(FileStatus.OfPath(main)!);
        Assert.Contains(node, StorageStack.Below(loop, machine.Topology).Nodes);
        Assert.Contains(node, StorageStack.Below(shown, machine.Topology)!.Nodes);
        Assert.DoesNotContain(node, StorageStack.Below(other, machine.Topology)!.Nodes);
    }

    [Fact]
    public void Holder_that_is_neither_dm_nor_md_is_named()
    {
        using FakeMachine machine = new();
        DeviceNumber disk = machine.AddDisk("sda", 8, 0);
        machine.AddStacked("bcache0", "bcache", 252, 0, "sda");
        MemberUser user = Assert.Single(MemberInspection.FindDeviceUsers(disk, machine.Topology));
        Assert.Equal(new MemberUser(UserKind.Other, "bcache0", string.Empty), user);
    }

    [Fact]
    public void Unused_disk_has_no_users()
    {
        using FakeMachine machine = new();
        DeviceNumber disk = machine.AddDisk("sda", 8, 0);
        machine.AddPartition("sda", "sda1", 8, 1);
        Assert.Empty(MemberInspection.FindDeviceUsers(disk, machine.Topology));
    }

    [Fact]
    public void Swap_file_and_file_behind_a_loop_are_in_use()
    {
        using FakeMachine machine = new();
        using TemporaryDirectory directory = new();
        string swap = directory.MakeFile("swap file", 4096);
        string image = directory.MakeFile("image", 4096);
        machine.Swap(swap.Replace(" ", @"\040", System.StringComparison.Ordinal));
        machine.AddDisk("loop7", 7, 7);
        machine.Write("loop7", "loop/backing_file", image);
        Assert.Equal(
            new MemberUser(UserKind.Swap, swap, string.Empty),
            Assert.Single(MemberInspection.FindUsers(swap, machine.Topology)));
        Assert.Equal(
            new MemberUser(UserKind.Loop, "loop7", string.Empty),
            Assert.Single(MemberInspection.FindUsers(image, machine.Topology)));
        Assert.Equal(MemberRelation.SameBytes, MemberInspection.Relate(
            StorageStack.Below(new DeviceNumber(7, 7), machine.Topology),
            StorageStack.Below(image, machine.Topology)!));
    }

    [Fact]
    public void Names_and_numbers_of_a_disk_are_those_of_its_partitions()
    {
        using FakeMachine machine = new();
        DeviceNumber disk = machine.AddDisk("sda", 8, 0);
        DeviceNumber part = machine.AddPartition("sda", "sda1", 8, 1);
        machine.Write("sda", "queue/rotational", "1");
        machine.Write("sda", "queue/max_sectors_kb", "1280");
        machine.Write("sda", "device/wwid", "naa.5000c500a1b2c3d4");
        machine.WriteUdev(disk, "S:disk/by-id/ata-X\nE:ID_SERIAL=Model_ABC123\nE:ID_SERIAL_SHORT=ABC123\n");
        BlockTopology topology = machine.Topology;
        Assert.True(topology.IsRotational(part));
        Assert.Equal(1280 * 1024, topology.TransferBytesMax(part));
        Assert.Equal("ABC123", topology.SerialOf(part));
        Assert.Equal("naa.5000c500a1b2c3d4", topology.WorldWideNameOf(part));
    }

    [Fact]
    public void Device_that_sysfs_does_not_list_is_alone()
    {
        using FakeMachine machine = new();
        DeviceNumber ghost = new(8, 48);
        Assert.Equal("8:48", machine.Topology.NameOf(ghost));
        Assert.Equal(string.Empty, machine.Topology.SerialOf(ghost));
        Assert.Empty(MemberInspection.FindDeviceUsers(ghost, machine.Topology));
        Assert.Equal(MemberRelation.SameDevice, Relate(machine, ghost, ghost));
    }

    [Theory]
    [InlineData("")]
    [InlineData("1 2 3")]
    [InlineData("30 1 8:1 / /mnt rw")]
    [InlineData("30 1 8:1 / /mnt rw -")]
    [InlineData("30 1 8:1 / /mnt rw - ext4 /dev/sda1")]
    [InlineData("30 1 81 / /mnt rw - ext4 /dev/sda1 rw")]
    [InlineData("30 1 8:99999999999 / /mnt rw - ext4 /dev/sda1 rw")]
    public void Mount_line_that_is_none_is_passed_over(string line) =>
        Assert.False(MountTable.TryParseMount(line, out _));

    [Theory]
    [InlineData(@"a\040b", "a b")]
    [InlineData(@"a\134040b", @"a\040b")]
    [InlineData(@"a\04", @"a\04")]
    [InlineData(@"a\", @"a\")]
    [InlineData("plain", "plain")]
    public void Escapes_of_the_kernel_are_undone(string field, string text) =>
        Assert.Equal(text, MountTable.Unescape(field));

    private static MemberRelation Relate(FakeMachine machine, DeviceNumber first, DeviceNumber second) =>
        MemberInspection.Relate(
            StorageStack.Below(first, machine.Topology), StorageStack.Below(second, machine.Topology));
}
