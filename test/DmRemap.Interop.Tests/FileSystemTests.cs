using System;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>A real file system on a disk whose most important sectors cannot be written.</summary>
public sealed class FileSystemTests
{
    // Sectors 0, 2 and 1000 (boot block, superblock, group 0), and a cluster.
    private static readonly string[] s_badWrites =
        ["0-0 write", "2-2 write", "1000-1000 write", "40000-40127 write"];

    [Fact]
    public async Task Ext4_on_write_bad_sectors_survives_a_restart_with_every_file_intact()
    {
        await RequiredTools.SkipUnlessLoopAsync();
        RequiredTools.SkipUnless("diff", "cp");
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(
            new byte[64 * DeviceUnderTest.MiB], s_badWrites);
        string tree = Path.Combine(device.Images, "tree");
        MakeTree(tree);
        await using (LoopMount mount = await LoopMount.AttachAsync(device))
        {
            (await Command.RunAsync("mkfs.ext4", "-q", "-F", mount.LoopDevice)).Expect(0);
            await mount.MountAsync("rw");
            (await Command.RunAsync("cp", "-a", tree, mount.Folder)).Expect(0);
            await mount.DetachAsync();
        }

        // Sectors 0 and 2 lie in one unit; the cluster has 16.
        Assert.InRange(await device.StatusNumberAsync("remaps"), 2, 18);
        Assert.Equal(0, await device.StatusNumberAsync("counters", "clientErrors"));
        await device.StopAsync();
        await device.ServeAsync(s_badWrites);
        await using LoopMount again = await LoopMount.AttachAsync(device);
        (await Command.RunAsync("e2fsck", "-f", "-n", again.LoopDevice)).Expect(0);
        await again.MountAsync("ro");
        (await Command.RunAsync("diff", "-r", tree, Path.Combine(again.Folder, "tree"))).Expect(0);
        await again.DetachAsync();
    }

    /// <summary>
    /// 30 MB in 300 files of all sizes, in folders, so that the cluster is certainly written to.
    /// </summary>
    private static void MakeTree(string tree)
    {
        Random random = new(42);
        foreach (int i in Enumerable.Range(0, 300))
        {
            string folder = Path.Combine(tree, $"folder{i % 17}", $"inner{i % 5}");
            Directory.CreateDirectory(folder);
            byte[] content = new byte[random.Next(0, 200_000)];
            random.NextBytes(content);
            File.WriteAllBytes(Path.Combine(folder, $"file{i}"), content);
        }
    }
}
