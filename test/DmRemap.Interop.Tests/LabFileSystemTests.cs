using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// A file system over dm-remap over a disk of the lab, of each model, that ages a year while files are
/// copied: nothing is ever wrong, and what does not read is where the disk has lost it.
/// </summary>
[Collection(nameof(Attaching))]
public sealed class LabFileSystemTests
{
    /// <summary>A year in ten seconds.</summary>
    private const string Clock = "3153600";

    private readonly ITestOutputHelper _output;

    public LabFileSystemTests(ITestOutputHelper output) => _output = output;

    /// <summary>Of each model a disk with many errors, and whether they trip the breaker.</summary>
    [Theory]
    [InlineData("nearline", "9", false)]
    [InlineData("enterprise", "9", false)]
    [InlineData("scratch", "1", false)]
    [InlineData("worn-flash", "1", false)]
    public async Task Ext4_over_a_disk_that_ages_a_year_has_no_wrong_byte(
        string model, string seed, bool isStorm)
    {
        await AttachedDisk.SkipUnlessPossibleAsync("mkfs.ext4", "e2fsck", "fio", "cp");
        await using LabUnderTest lab = await LabUnderTest.StartAsync(
            "--size", "512M", "--model", model, "--seed", seed, "--delays", "0.001",
            "--clock", Clock);
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        DeviceUnderTest.WriteZeros(device.SparePath, 64 * DeviceUnderTest.MiB);
        (await device.RunAsync(
            "create", DeviceUnderTest.Name, "--main", lab.Uri, "--spare", device.SparePath, "--yes"))
            .Expect(0);
        await device.ServeAsync();
        string tree = Path.Combine(device.Images, "tree");
        MakeTree(tree);
        List<string> lost = [];
        await using (AttachedDisk disk = await AttachedDisk.AttachAsync(device))
        {
            (await Command.RunAsync("mkfs.ext4", "-q", "-F", disk.Path)).Expect(0);
            await disk.MountAsync();
            for (int copy = 0; await AgeAsync(lab) < 366; copy++)
            {
                // Over what is there already: a block whose content is lost is a block again when written.
                string target = Path.Combine(disk.Folder, $"copy{copy % 3}");
                await Command.RunAsync("cp", "-rT", tree, target);
            }
            (await Command.RunAsync("sync", disk.Folder)).Expect(0, 1);
            await disk.UnmountAsync();
            (await Command.RunAsync("e2fsck", "-f", "-y", disk.Path)).Expect(0, 1);
            await disk.MountAsync("ro");
            foreach (string copy in Directory.GetDirectories(disk.Folder, "copy*"))
            {
                Compare(tree, copy, lost);
            }
            await disk.UnmountAsync();
            await disk.DetachAsync();
        }
        JsonElement status = await device.StatusAsync();
        _output.WriteLine($"{model}: {lost.Count} files with lost blocks; {status}");
        _output.WriteLine($"{model}: {await lab.StatusAsync()}");
        bool wasStorm = status.GetProperty("conditions").ToString()
            .Contains("storm", StringComparison.Ordinal);
        Assert.Equal(isStorm, wasStorm);
        long failedReads = await lab.CounterAsync("readsFailed");
        Assert.True(lost.Count == 0 || failedReads > 0, "a file does not read, and the disk failed no read");
        await device.StopAsync();
        await lab.StopAsync();
    }

    private static async Task<double> AgeAsync(LabUnderTest lab) =>
        (await lab.StatusAsync()).GetProperty("ageDays").GetDouble();

    /// <summary>Each file is as it was written, or fails to read.</summary>
    private static void Compare(string tree, string copy, List<string> lost)
    {
        foreach (string original in Directory.GetFiles(tree, "*", SearchOption.AllDirectories))
        {
            string file = Path.Combine(copy, Path.GetRelativePath(tree, original));
            byte[] expected = File.ReadAllBytes(original);
            try
            {
                byte[] actual = File.ReadAllBytes(file);
                Assert.True(
                    expected.AsSpan().StartsWith(actual), $"{file} has bytes that nobody wrote there");
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                lost.Add(file);
            }
        }
    }

    private static void MakeTree(string tree)
    {
        Random random = new(42);
        foreach (int i in Enumerable.Range(0, 40))
        {
            string folder = Path.Combine(tree, $"folder{i % 7}");
            Directory.CreateDirectory(folder);
            byte[] content = new byte[random.Next(0, 1_000_000)];
            random.NextBytes(content);
            File.WriteAllBytes(Path.Combine(folder, $"file{i}"), content);
        }
    }
}
