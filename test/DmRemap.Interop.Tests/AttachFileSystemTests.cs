using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>Real file systems on an attached device whose disk has bad sectors, and gets more.</summary>
[Collection(nameof(Attaching))]
public sealed class AttachFileSystemTests
{
    private const long MainBytes = 320 * DeviceUnderTest.MiB;

    [Theory]
    [InlineData("ext4", "-q -F", "e2fsck -f -n", DeviceUnderTest.Uring)]
    [InlineData("ext4", "-q -F", "e2fsck -f -n", DeviceUnderTest.Epoll)]
    [InlineData("xfs", "-q -f", "xfs_repair -n", DeviceUnderTest.Uring)]
    [InlineData("btrfs", "-q -f", "btrfs check --readonly", DeviceUnderTest.Uring)]
    public async Task A_file_system_over_sectors_that_go_bad_stays_whole(
        string kind, string makeOptions, string check, string backend)
    {
        string make = "mkfs." + kind;
        string[] checking = check.Split(' ');
        await AttachedDisk.SkipUnlessPossibleAsync(make, checking[0], "fio", "fstrim", "diff", "cp");
        SkipUnlessKnown(kind);
        await using DeviceUnderTest device = PrepareMain();
        device.Backend = backend;
        await device.CreateAsync();
        // The places of the first superblocks, and a run somewhere.
        await device.ServeAsync("2-2 write", "8-15 write", "128-135 write", "40000-40063 write");
        string tree = Path.Combine(device.Images, "tree");
        MakeTree(tree);
        await using (AttachedDisk disk = await AttachedDisk.AttachAsync(device))
        {
            (await Command.RunAsync(make, [.. makeOptions.Split(' '), disk.Path])).Expect(0);
            await disk.MountAsync();
            (await Command.RunAsync("cp", "-a", tree, Path.Combine(disk.Folder, "before"))).Expect(0);
            await GoBadAsync(device);
            (await Command.RunAsync("cp", "-a", tree, Path.Combine(disk.Folder, "after"))).Expect(0);
            await VerifyAsync(disk);
            if (disk.CanDiscard)
            {
                (await Command.RunAsync("fstrim", disk.Folder)).Expect(0);
            }
            await disk.UnmountAsync();
            (await Command.RunAsync(checking[0], [.. checking[1..], disk.Path])).Expect(0);
            await disk.MountAsync("ro");
            foreach (string copy in (string[])["before", "after"])
            {
                (await Command.RunAsync("diff", "-r", tree, Path.Combine(disk.Folder, copy))).Expect(0);
            }
            await disk.UnmountAsync();
            await disk.DetachAsync();
        }
        Assert.InRange(await device.StatusNumberAsync("remaps"), 1, 5000);
        Assert.Equal(0, await device.StatusNumberAsync("counters", "clientErrors"));
        await device.StopAsync();
    }

    /// <summary>
    /// The main device takes a discard and keeps what it had: what is to read as zeros must be written
    /// (F-11).
    /// </summary>
    [Fact]
    public async Task A_disk_whose_discard_does_not_zero_shows_nothing_old()
    {
        await AttachedDisk.SkipUnlessPossibleAsync(
            "nbdkit", "mkfs.ext4", "dumpe2fs", "e2fsck", "blkdiscard", "fallocate");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        const int Bytes = 48 * (int)DeviceUnderTest.MiB;
        byte[] old = new byte[Bytes];
        Array.Fill(old, (byte)0xa5);
        await File.WriteAllBytesAsync(device.MainPath, old, TestContext.Current.CancellationToken);
        string socket = await ServeWithIdleTrimAsync(device, Bytes);
        DeviceUnderTest.WriteZeros(device.SparePath, DeviceUnderTest.SpareBytesDefault);
        string main = $"nbd+unix:///?socket={socket}";
        (await device.RunAsync(
            "create", DeviceUnderTest.Name, "--main", main, "--spare", device.SparePath, "--yes")).Expect(0);
        await device.ServeAsync();
        await using (AttachedDisk disk = await AttachedDisk.AttachAsync(device))
        {
            // To a disk that cannot zero fast, loop sends zeros as data; the file takes them as holes too.
            Assert.False(disk.CanDiscard);
            string below = AttachedDisk.FileOf(device);
            (await Command.RunAsync("fallocate", "-p", "-o", "4194304", "-l", "65536", below)).Expect(0);
            (await Command.RunAsync("fallocate", "-z", "-n", "-o", "5242880", "-l", "65536", below))
                .Expect(0);
            Assert.True(IsZero(disk.Path, 4_194_304, 65_536), "a punched hole shows what was there");
            Assert.True(IsZero(disk.Path, 5_242_880, 65_536), "a zeroed range shows what was there");
            (await Command.RunAsync("blkdiscard", "-z", "-o", "1048576", "-l", "65536", disk.Path)).Expect(0);
            Assert.True(IsZero(disk.Path, 1_048_576, 65_536), "write-zeroes left what was there");
            Assert.False(IsZero(disk.Path, 1_048_576 + 65_536, 4096));
            (await Command.RunAsync(
                "mkfs.ext4", "-q", "-F", "-b", "1024", "-E", "nodiscard,lazy_itable_init=0", disk.Path))
                .Expect(0);
            (await Command.RunAsync("e2fsck", "-f", "-n", disk.Path)).Expect(0);
            CommandResult groups = (await Command.RunAsync("dumpe2fs", disk.Path)).Expect(0);
            long[] tables = [.. groups.Output.Split('\n')
                .Where(line => line.Contains("Inode table at ", StringComparison.Ordinal))
                .Select(line => line.Split("Inode table at ")[1].Split('-')[0])
                .Select(first => long.Parse(first, CultureInfo.InvariantCulture))];
            Assert.True(tables.Length > 3, groups.Output);
            foreach (long table in tables.Skip(1))
            {
                Assert.True(IsZero(disk.Path, table * 1024, 16_384), $"inodes at {table} are not zero");
            }
            await disk.DetachAsync();
        }
        await device.StopAsync();
    }

    private static DeviceUnderTest PrepareMain()
    {
        DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        using (FileStream main = new(device.MainPath, FileMode.CreateNew))
        {
            main.SetLength(MainBytes);
        }
        DeviceUnderTest.WriteZeros(device.SparePath, DeviceUnderTest.SpareBytesDefault);
        return device;
    }

    private static void SkipUnlessKnown(string kind)
    {
        bool isKnown = File.ReadAllText("/proc/filesystems").Contains(kind, StringComparison.Ordinal)
            || Directory.Exists($"/lib/modules/{File.ReadAllText("/proc/sys/kernel/osrelease").Trim()}");
        Assert.SkipUnless(isKnown, $"this kernel has no {kind}");
    }

    /// <summary>A run of sectors in every 4 MiB, while the file system is in use.</summary>
    private static async Task GoBadAsync(DeviceUnderTest device)
    {
        long step = 4 * DeviceUnderTest.MiB / 512;
        for (long sector = 3000; sector < MainBytes / 512; sector += step)
        {
            await device.AddFaultAsync($"{sector}-{sector + 15} write");
        }
    }

    private static async Task VerifyAsync(AttachedDisk disk)
    {
        string file = Path.Combine(disk.Folder, "verified");
        (await Command.RunAsync(
            "fio", "--name=v", "--filename=" + file, "--size=32M", "--rw=randwrite", "--bs=16k", "--direct=1",
            "--ioengine=libaio", "--iodepth=16", "--verify=crc32c", "--verify_fatal=1", "--fsync=64",
            "--do_verify=1")).Expect(0);
    }

    private static void MakeTree(string tree)
    {
        Random random = new(42);
        foreach (int i in Enumerable.Range(0, 200))
        {
            string folder = Path.Combine(tree, $"folder{i % 17}", $"inner{i % 5}");
            Directory.CreateDirectory(folder);
            byte[] content = new byte[random.Next(0, 200_000)];
            random.NextBytes(content);
            File.WriteAllBytes(Path.Combine(folder, $"file{i}"), content);
        }
    }

    private static bool IsZero(string path, long start, int bytes)
    {
        using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 0);
        file.Position = start;
        byte[] content = new byte[bytes];
        file.ReadExactly(content);
        return content.All(value => value == 0);
    }

    /// <summary>A trim is taken and does nothing.</summary>
    private static async Task<string> ServeWithIdleTrimAsync(DeviceUnderTest device, int bytes)
    {
        string socket = Path.Combine(device.Folder, "main.sock");
        string file = device.MainPath;
        RunningProgram server = device.StartBeside(
            "nbdkit", "-f", "-U", socket, "eval", $"get_size=echo {bytes}",
            $"pread=dd if={file} skip=$4 count=$3 iflag=count_bytes,skip_bytes bs=64k status=none",
            $"pwrite=dd of={file} seek=$4 oflag=seek_bytes bs=64k conv=notrunc status=none",
            "can_write=exit 0", "can_trim=exit 0", "trim=exit 0", "can_flush=exit 0", "flush=exit 0",
            "can_fua=echo native",
            $"zero=dd if=/dev/zero of={file} seek=$4 count=$3 iflag=count_bytes oflag=seek_bytes bs=64k "
                + "conv=notrunc status=none");
        await SlowDisk.UntilAsync(() => server.HasEnded || File.Exists(socket));
        Assert.False(server.HasEnded, server.Said);
        return socket;
    }
}
