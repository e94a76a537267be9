using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Text.RegularExpressions;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// File systems over dm-remap over a disk of the lab, of each model, that ages a year while files are copied
/// and fio writes with checksums. Nothing is ever wrong; what does not read is where the disk has lost it,
/// and `lost --files` names it. Errors take no time here, nor do lost links, whose errors a file system does
/// not forgive. DMREMAP_LONG=1: seeds of their own too, and a slower year.
/// </summary>
[Collection(nameof(Attaching))]
public sealed class LabFileSystemTests
{
    private const string Size = "400M";

    /// <summary>So many times the tree fills most of it: bad sectors have to be where something is.</summary>
    private const int Copies = 9;

    private const int YearDays = 366;

    private static readonly bool s_isLong = Environment.GetEnvironmentVariable("DMREMAP_LONG") == "1";

    private readonly ITestOutputHelper _output;

    public LabFileSystemTests(ITestOutputHelper output) => _output = output;

    /// <summary>A year in four seconds; long: in a minute.</summary>
    private static string Clock => s_isLong ? "525600" : "7884000";

    /// <summary>Of each model a disk with many errors, and whether they trip the breaker.</summary>
    public static TheoryData<string, string, string, bool> Disks()
    {
        (string Model, string[] Seeds, bool IsStorm)[] models =
        [
            ("nearline", ["33", "34"], false),
            ("enterprise", ["44", "9"], false),
            ("scratch", ["1", "11"], false),
            ("worn-flash", ["4", "33"], false),
        ];
        TheoryData<string, string, string, bool> disks = [];
        foreach ((string model, string[] seeds, bool isStorm) in models)
        {
            foreach (string kind in (string[])["ext4", "xfs", "btrfs"])
            {
                foreach (string seed in s_isLong ? seeds : seeds[..1])
                {
                    disks.Add(kind, model, seed, isStorm);
                }
            }
        }
        return disks;
    }

    [Theory]
    [MemberData(nameof(Disks))]
    public async Task A_file_system_over_a_disk_that_ages_a_year_has_no_wrong_byte(
        string kind, string model, string seed, bool isStorm)
    {
        FileSystemKind fileSystem = FileSystemKind.Of(kind);
        await AttachedDisk.SkipUnlessPossibleAsync("fio", "cp", "sync", "debugfs", "filefrag");
        fileSystem.SkipUnlessKnown();
        RequiredTools.SkipUnless(kind switch
        {
            "xfs" => ["xfs_db"],
            "btrfs" => ["btrfs", "btrfs-map-logical"],
            _ => Array.Empty<string>(),
        });
        await using LabUnderTest lab = await LabUnderTest.StartAsync(
            "--size", Size, "--model", model, "--seed", seed, "--delays", "0", "--clock", Clock);
        await using DeviceUnderTest device = await ServeAsync(lab);
        string tree = Path.Combine(device.Images, "tree");
        MakeTree(tree);
        TreeCheck check = new(tree);
        await using (AttachedDisk disk = await AttachedDisk.AttachAsync(device))
        {
            await fileSystem.MakeAsync(disk.Path);
            await disk.MountAsync();
            await UseForAYearAsync(lab, disk, check);
            CommandResult synced = await Command.RunAsync("sync", "-f", disk.Folder);
            check.IsAllSynced = synced.ExitCode == 0;
            long[] places = await PlacesOfSomeFilesAsync(kind, disk);
            await disk.UnmountAsync();
            await LoseAsync(lab, places);
            JsonElement lost = await SettleAsync(device, disk);
            await AssertLostByTheDiskAsync(lab, lost);
            await CheckAsync(fileSystem, disk, lost);
            await disk.MountAsync("ro");
            check.Compare(disk.Folder);
            if (kind == "btrfs")
            {
                await AssertNoChecksumFailedAsync(disk);
            }
            // Ext4 and XFS are asked with nothing mounted, btrfs while it is mounted, and XFS both ways.
            JsonElement mounted = await LostAsync(device);
            await disk.UnmountAsync();
            await disk.DetachAsync();
            foreach (JsonElement asked in kind switch
            {
                "ext4" => [lost],
                "xfs" => [lost, mounted],
                _ => (JsonElement[])[mounted],
            })
            {
                AssertErrorsAreLosses(check, asked, kind);
            }
        }
        string what = $"{kind} {model} {seed}: {check.Unread.Count} files unread";
        await AssertHitAsync(lab, device, what, isStorm);
        await device.StopAsync();
        await lab.StopAsync();
    }

    private static async Task<DeviceUnderTest> ServeAsync(LabUnderTest lab)
    {
        DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        try
        {
            DeviceUnderTest.WriteZeros(device.SparePath, 64 * DeviceUnderTest.MiB);
            (await device.RunAsync(
                "create", DeviceUnderTest.Name, "--main", lab.Uri, "--spare", device.SparePath, "--yes"))
                .Expect(0);
            await device.ServeAsync();
            return device;
        }
        catch
        {
            await device.DisposeAsync();
            throw;
        }
    }

    /// <summary>Copies of the tree, and again over them, until the year is over; fio in between.</summary>
    private static async Task UseForAYearAsync(LabUnderTest lab, AttachedDisk disk, TreeCheck check)
    {
        for (int copy = 0; copy < Copies || await AgeAsync(lab) < YearDays; copy++)
        {
            // Over what is there already: a block whose content is lost is a block again when written.
            string name = $"copy{copy % Copies}";
            CommandResult copied =
                await Command.RunAsync("cp", "-rT", check.Tree, Path.Combine(disk.Folder, name));
            check.OnCopied(name, isWhole: copied.ExitCode == 0);
            if (copy % 4 == 1)
            {
                await VerifyWithFioAsync(lab, disk);
            }
        }
    }

    /// <summary>A block may be lost before it is read; none may come back as something else.</summary>
    private static async Task VerifyWithFioAsync(LabUnderTest lab, AttachedDisk disk)
    {
        CommandResult fio = await Command.RunAsync(
            "fio", "--name=v", "--filename=" + Path.Combine(disk.Folder, "verified"), "--size=24M",
            "--rw=randwrite", "--bs=16k", "--direct=1", "--ioengine=libaio", "--iodepth=16",
            "--verify=crc32c", "--verify_fatal=1", "--fsync=64", "--do_verify=1");
        Assert.DoesNotMatch("verify failed|bad magic|bad header", fio.Output + fio.Error);
        Assert.True(fio.ExitCode == 0 || await lab.CounterAsync("readsFailed") > 0,
            $"fio met an error, and the disk failed no read: {fio}");
    }

    /// <summary>
    /// Sectors under files that are known, so that there are some to be named whatever the year has brought:
    /// where the fourth block of each lies on the device, in sectors.
    /// </summary>
    private static async Task<long[]> PlacesOfSomeFilesAsync(string kind, AttachedDisk disk)
    {
        const int Into = 3 * 4096;
        List<long> places = [];
        foreach (string file in (string[])["copy0/folder1/file1", "copy4/folder2/file9"])
        {
            CommandResult map = (await Command.RunAsync(
                "filefrag", "-b1", "-v", Path.Combine(disk.Folder, file))).Expect(0);
            // "  0:        0..  303103:   13631488..  13934591: 303104: last,eof"
            Match first = Regex.Match(map.Output, @"^ *0: +0\.\. *(\d+): +(\d+)\.\.", RegexOptions.Multiline);
            Assert.True(first.Success && Number(first.Groups[1]) > Into, map.ToString());
            long at = Number(first.Groups[2]) + Into;
            if (kind == "btrfs")
            {
                // Its own address, until it is told where that lies.
                string logical = at.ToString(CultureInfo.InvariantCulture);
                CommandResult told =
                    (await Command.RunAsync("btrfs-map-logical", "-l", logical, disk.Path)).Expect(0);
                at = Number(Regex.Match(told.Output, @"^mirror 1 .*physical (\d+)", RegexOptions.Multiline)
                    .Groups[1]);
            }
            places.Add(at / 512);
        }
        return [.. places];

        static long Number(Group digits) => long.Parse(digits.ValueSpan, CultureInfo.InvariantCulture);
    }

    private static async Task LoseAsync(LabUnderTest lab, long[] places)
    {
        foreach (long place in places)
        {
            await lab.TellAsync("add-bad", $"{place}-{place + (4096 / 512) - 1}", "dead");
        }
    }

    /// <summary>
    /// All is read, and what does not read is tried until it is given up: then what is lost is known.
    /// </summary>
    private static async Task<JsonElement> SettleAsync(DeviceUnderTest device, AttachedDisk disk)
    {
        await Command.RunAsync(
            "dd", "if=" + disk.Path, "of=/dev/null", "bs=128k", "iflag=direct", "conv=noerror");
        for (int tries = 0; await device.StatusNumberAsync("suspectUnits") > 0; tries++)
        {
            Assert.True(tries < 20, $"suspect units stay so: {await device.StatusAsync()}");
            (await device.RunAsync("retest", DeviceUnderTest.Name)).Expect(0, 7);
        }
        return await LostAsync(device);
    }

    private static async Task<JsonElement> LostAsync(DeviceUnderTest device)
    {
        CommandResult lost =
            (await device.RunAsync("lost", DeviceUnderTest.Name, "--files", "--json")).Expect(0, 7);
        using JsonDocument document = JsonDocument.Parse(lost.Output);
        return document.RootElement.Clone();
    }

    /// <summary>A block is lost only where the disk has a sector that no read gets.</summary>
    private static async Task AssertLostByTheDiskAsync(LabUnderTest lab, JsonElement lost)
    {
        List<(long First, long Last)> unreadable = [];
        foreach (string line in await lab.ListAsync())
        {
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (words.Length > 1 && words[1] is "pending" or "dead")
            {
                long[] ends = [.. words[0].Split('-').Select(
                    end => long.Parse(end, CultureInfo.InvariantCulture))];
                unreadable.Add((ends[0], ends[^1]));
            }
        }
        Assert.Equal(512, lost.GetProperty("blockSize").GetInt64());
        foreach (JsonElement extent in lost.GetProperty("extents").EnumerateArray())
        {
            long first = extent.GetProperty("firstBlock").GetInt64();
            long end = first + extent.GetProperty("blocks").GetInt64();
            for (long block = first; block < end; block++)
            {
                Assert.True(unreadable.Any(run => run.First <= block && block <= run.Last),
                    $"block {block} is lost, and the disk has nothing there that does not read");
            }
        }
    }

    /// <summary>What is wrong with the file system is what was lost of it.</summary>
    private static async Task CheckAsync(FileSystemKind fileSystem, AttachedDisk disk, JsonElement lost)
    {
        CommandResult check = await fileSystem.CheckAsync(disk.Path);
        if (fileSystem.SaysWrongBytes is not null)
        {
            Assert.DoesNotMatch(fileSystem.SaysWrongBytes, check.Output + check.Error);
        }
        bool isLost = lost.GetProperty("lostBlocks").GetInt64() > 0;
        Assert.True(isLost || check.ExitCode == 0, $"nothing is lost: {check}");
        if (isLost)
        {
            await fileSystem.RepairAsync(disk.Path);
        }
    }

    /// <summary>Btrfs would say "I/O error" where its own checksum finds wrong bytes.</summary>
    private static async Task AssertNoChecksumFailedAsync(AttachedDisk disk)
    {
        string stats = (await Command.RunAsync("btrfs", "device", "stats", disk.Folder)).Expect(0).Output;
        foreach (string counter in (string[])["corruption_errs", "generation_errs"])
        {
            Assert.Matches($@"\.{counter} +0\n", stats);
        }
    }

    private static void AssertErrorsAreLosses(TreeCheck check, JsonElement lost, string kind)
    {
        bool isAny = lost.GetProperty("lostBlocks").GetInt64() > 0;
        Assert.True(isAny, "sectors of two files are dead, and nothing is lost");
        Assert.True(TryGet(lost, kind, out JsonElement found), lost.ToString());
        Assert.Equal("", found.GetProperty("unknown").GetString() ?? "");
        string[] named =
        [
            .. found.GetProperty("files").EnumerateArray()
                .Select(file => file.GetProperty("path").GetString() ?? "?")
                .Where(path => path.StartsWith("/copy", StringComparison.Ordinal))
                .Order(StringComparer.Ordinal),
        ];
        Assert.NotEmpty(named);
        Assert.Equal(named, check.Unread.Order(StringComparer.Ordinal));
    }

    private static bool TryGet(JsonElement lost, string kind, out JsonElement fileSystem)
    {
        fileSystem = default;
        JsonElement files = lost.GetProperty("files");
        if (files.ValueKind != JsonValueKind.Object || files.GetProperty("fileSystems").GetArrayLength() == 0)
        {
            return false;
        }
        fileSystem = files.GetProperty("fileSystems")[0];
        return fileSystem.GetProperty("kind").GetString() == kind;
    }

    /// <summary>The disk's bad sectors were where something was: the test has seen something.</summary>
    private async Task AssertHitAsync(LabUnderTest lab, DeviceUnderTest device, string what, bool isStorm)
    {
        JsonElement status = await device.StatusAsync();
        JsonElement counters = status.GetProperty("counters");
        long moved = counters.GetProperty("remapsMade").GetInt64();
        long lost = counters.GetProperty("blocksLost").GetInt64();
        _output.WriteLine($"{what}; {moved} units moved, {lost} blocks lost; "
            + $"{(await lab.StatusAsync()).GetProperty("counters")}");
        Assert.True(moved + lost > 0, $"no bad sector was met: {status}");
        string conditions = status.GetProperty("conditions").ToString();
        Assert.Equal(isStorm, conditions.Contains("storm", StringComparison.Ordinal));
    }

    private static async Task<double> AgeAsync(LabUnderTest lab) =>
        (await lab.StatusAsync()).GetProperty("ageDays").GetDouble();

    private static void MakeTree(string tree)
    {
        Random random = new(42);
        foreach (int i in Enumerable.Range(0, 50))
        {
            string folder = Path.Combine(tree, $"folder{i % 7}");
            Directory.CreateDirectory(folder);
            byte[] content = new byte[random.Next(20_000, 1_000_000)];
            random.NextBytes(content);
            File.WriteAllBytes(Path.Combine(folder, $"file{i}"), content);
        }
    }
}
