using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Text.RegularExpressions;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>`lost --files` where the file system is not as simple as a folder with files.</summary>
[Collection(nameof(Attaching))]
public sealed class LostFilesTests
{
    private const string Name = DeviceUnderTest.Name;

    /// <summary>A subvolume has its own names for its files, and a snapshot the same files again.</summary>
    [Fact]
    public async Task Files_of_subvolumes_and_snapshots_of_btrfs_are_named()
    {
        FileSystemKind kind = FileSystemKind.Of("btrfs");
        await AttachedDisk.SkipUnlessPossibleAsync("btrfs", "btrfs-map-logical", "filefrag");
        kind.SkipUnlessKnown();
        await using DeviceUnderTest device = await CreateAsync();
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        await kind.MakeAsync(disk.Path);
        await disk.MountAsync();
        string photos = Path.Combine(disk.Folder, "photos");
        (await Command.RunAsync("btrfs", "subvolume", "create", photos)).Expect(0);
        long place = await WriteAsync(disk, "photos/file 1");
        (await Command.RunAsync(
            "btrfs", "subvolume", "snapshot", photos, Path.Combine(disk.Folder, "before"))).Expect(0);
        (await Command.RunAsync("sync", "-f", disk.Folder)).Expect(0);
        CommandResult told = (await Command.RunAsync(
            "btrfs-map-logical", "-l", place.ToString(CultureInfo.InvariantCulture), disk.Path)).Expect(0);
        await LoseAsync(device, long.Parse(
            Regex.Match(told.Output, "physical ([0-9]+)").Groups[1].ValueSpan, CultureInfo.InvariantCulture));
        Assert.Equal(("/before/file 1 /photos/file 1", ""), await AskAsync(device, 0));
        // What hides one of them leaves a doubt, and names nothing of its own.
        (await Command.RunAsync("mount", "-t", "tmpfs", "none", photos)).Expect(0);
        (string files, string unknown) = await AskAsync(device, 7);
        (await Command.RunAsync("umount", photos)).Expect(0);
        Assert.Equal("/before/file 1", files);
        Assert.Contains("mounted over", unknown, StringComparison.Ordinal);
        await disk.UnmountAsync();
        Assert.Contains("mounted", (await AskAsync(device, 7)).Unknown, StringComparison.Ordinal);
        await disk.DetachAsync();
    }

    [Fact]
    public async Task Files_of_xfs_are_named_mounted_or_not_and_what_is_hidden_is_a_doubt()
    {
        FileSystemKind kind = FileSystemKind.Of("xfs");
        await AttachedDisk.SkipUnlessPossibleAsync("xfs_db", "filefrag");
        kind.SkipUnlessKnown();
        await using DeviceUnderTest device = await CreateAsync();
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        await kind.MakeAsync(disk.Path);
        await disk.MountAsync();
        string hidden = Path.Combine(disk.Folder, "hidden");
        Directory.CreateDirectory(hidden);
        await LoseAsync(device, await WriteAsync(disk, "file 1"));
        await LoseAsync(device, await WriteAsync(disk, "hidden/file2"));
        Assert.Equal(("/file 1 /hidden/file2", ""), await AskAsync(device, 0));
        (await Command.RunAsync("mount", "-t", "tmpfs", "none", hidden)).Expect(0);
        (string files, string unknown) = await AskAsync(device, 7);
        (await Command.RunAsync("umount", hidden)).Expect(0);
        Assert.Equal("/file 1", files);
        Assert.Contains("mounted over", unknown, StringComparison.Ordinal);
        await disk.UnmountAsync();
        Assert.Equal(("/file 1 /hidden/file2", ""), await AskAsync(device, 0));
        await disk.DetachAsync();
    }

    private static async Task<DeviceUnderTest> CreateAsync()
    {
        DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        DeviceUnderTest.WriteZeros(device.MainPath, 400 * DeviceUnderTest.MiB);
        DeviceUnderTest.WriteZeros(device.SparePath, 64 * DeviceUnderTest.MiB);
        await device.CreateAsync();
        return device;
    }

    /// <summary>Where its second block lies, in bytes: of the device, or of btrfs's own.</summary>
    private static async Task<long> WriteAsync(AttachedDisk disk, string name)
    {
        string path = Path.Combine(disk.Folder, name);
        await File.WriteAllBytesAsync(
            path, Content.Of(DeviceUnderTest.MiB), TestContext.Current.CancellationToken);
        (await Command.RunAsync("sync", "-f", disk.Folder)).Expect(0);
        CommandResult map = (await Command.RunAsync("filefrag", "-b1", "-v", path)).Expect(0);
        Match first = Regex.Match(map.Output, @"^ *0: +0\.\. *\d+: +(\d+)\.\.", RegexOptions.Multiline);
        Assert.True(first.Success, map.ToString());
        return long.Parse(first.Groups[1].ValueSpan, CultureInfo.InvariantCulture) + 4096;
    }

    private static async Task LoseAsync(DeviceUnderTest device, long at) => (await device.RunAsync(
        "mark-lost", Name, $"{at / 512}-{(at / 512) + 7}", "--yes")).Expect(0);

    /// <summary>The names, in order, and why there may be more.</summary>
    private static async Task<(string Files, string Unknown)> AskAsync(DeviceUnderTest device, int exitCode)
    {
        CommandResult lost = (await device.RunAsync("lost", Name, "--files", "--json")).Expect(exitCode);
        using JsonDocument document = JsonDocument.Parse(lost.Output);
        JsonElement found = document.RootElement.GetProperty("files").GetProperty("fileSystems")[0];
        return (
            string.Join(' ', found.GetProperty("files").EnumerateArray()
                .Select(file => file.GetProperty("path").GetString()).Order(StringComparer.Ordinal)),
            found.GetProperty("unknown").GetString() ?? "");
    }
}
