using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// What a person does to blocks by hand, through the real program, and what he is told was lost.
/// </summary>
[Collection(nameof(Attaching))]
public sealed class HandworkTests
{
    private const string Name = DeviceUnderTest.Name;
    private const long MiB = DeviceUnderTest.MiB;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Unremapped_blocks_are_on_the_main_device_and_outlive_a_kill_without_the_spare()
    {
        byte[] model = Content.Of(4 * MiB);
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(model, "800-815 write", "4096-4103 write");
        using (NbdTestClient client = await device.ConnectAsync())
        {
            foreach (int sector in (int[])[800, 808, 4096])
            {
                Content.Fill(model.AsSpan(sector * 512, 4096), sector * 512, 2);
                Assert.Equal(0u, await client.WriteAsync(sector * 512, model.AsMemory(sector * 512, 4096)));
            }
        }
        Assert.Equal(3, await device.StatusNumberAsync("remaps"));
        (await device.RunAsync("unremap", Name, "800-807")).Expect(1);
        Assert.Equal(3, await device.StatusNumberAsync("remaps"));
        (await device.RunAsync("faults", Name, "clear", "800-815 write")).Expect(0);
        CommandResult back = (await device.RunAsync("unremap", Name, "0-8191", "--json")).Expect(7);
        JsonElement report = JsonDocument.Parse(back.Output).RootElement;
        Assert.Equal(2, report.GetProperty("unitsReturned").GetInt64());
        Assert.Equal(1, report.GetProperty("unitsFailed").GetInt64());
        Assert.Equal(4096, report.GetProperty("stayedExtents")[0].GetProperty("firstBlock").GetInt64());
        Assert.Equal(1, await device.StatusNumberAsync("remaps"));
        await WaitAsync(device, async () => await device.SpareUnitsUsedAsync() == 1);
        await device.KillAsync();
        byte[] image = await File.ReadAllBytesAsync(device.MainPath, Ended);
        Content.AssertEqual(model.AsSpan(800 * 512, 8192), image.AsSpan(800 * 512, 8192), "the main device");
        await device.ServeAsync();
        (await device.RunAsync("unremap", Name, "0-8191")).Expect(0);
        Assert.Equal(0, await device.StatusNumberAsync("remaps"));
        await AssertContentAsync(device, model);
        await device.StopAsync();
        image = await File.ReadAllBytesAsync(device.MainPath, Ended);
        Content.AssertEqual(model, image, "the main device");
    }

    [Fact]
    public async Task What_was_given_up_and_reads_again_comes_back_by_retest_and_what_was_declared_does_not()
    {
        byte[] model = Content.Of(MiB);
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(model, "1000-1007 read");
        (await device.RunAsync("mark-lost", Name, "64-71")).Expect(2);
        (await device.RunAsync("mark-lost", Name, "64-71", "--yes")).Expect(0);
        using NbdTestClient client = await device.ConnectAsync();
        Assert.Equal(NbdTestClient.ErrorIo, await client.ReadAsync(1000 * 512, new byte[4096]));
        // Nobody reads it again but the program itself.
        await WaitAsync(device, async () => await device.StatusNumberAsync("lostBlocks") == 16);
        JsonElement lost = await ReportAsync(device, "lost", Name);
        Assert.Equal(
            ["declared", "unreadable"],
            lost.GetProperty("extents").EnumerateArray()
                .Select(one => one.GetProperty("reason").GetString()));
        Assert.Equal(1000, lost.GetProperty("extents")[1].GetProperty("firstBlock").GetInt64());
        Assert.Equal("EIO", lost.GetProperty("extents")[1].GetProperty("error").GetString());

        Assert.Equal(0, (await ReportAsync(device, "retest", Name)).GetProperty("blocksBack").GetInt64());
        (await device.RunAsync("faults", Name, "clear")).Expect(0);
        Assert.Equal(8, (await ReportAsync(device, "retest", Name)).GetProperty("blocksBack").GetInt64());
        byte[] read = new byte[4096];
        Assert.Equal(0u, await client.ReadAsync(1000 * 512, read));
        Content.AssertEqual(model.AsSpan(1000 * 512, 4096), read, "what came back");
        Assert.Equal(NbdTestClient.ErrorIo, await client.ReadAsync(64 * 512, new byte[512]));
        await device.KillAsync();
        await device.ServeAsync();
        using NbdTestClient again = await device.ConnectAsync();
        Assert.Equal(0u, await again.ReadAsync(1000 * 512, read));
        Assert.Equal(NbdTestClient.ErrorIo, await again.ReadAsync(64 * 512, new byte[512]));
        Assert.Equal(8, await device.StatusNumberAsync("lostBlocks"));
        Assert.Equal(0u, await again.WriteAsync(64 * 512, model.AsMemory(64 * 512, 4096)));
        await AssertContentAsync(device, model);
    }

    [Fact]
    public async Task While_it_is_suspended_nothing_is_begun()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        (await device.RunAsync("suspend", Name)).Expect(0);
        foreach (string line in (string[])["unremap dev 0-7", "retest dev", "mark-lost dev 0-7 --yes"])
        {
            CommandResult refused = (await device.RunAsync(line.Split(' '))).Expect(1);
            Assert.Contains("DMR-DEVICE-SUSPENDED", refused.Error, StringComparison.Ordinal);
        }
        (await device.RunAsync("lost", Name)).Expect(0);
        (await device.RunAsync("resume", Name)).Expect(0);
        (await device.RunAsync("retest", Name)).Expect(0);
    }

    [Fact]
    public async Task List_of_bad_blocks_is_moved_to_the_spare()
    {
        byte[] model = Content.Of(MiB);
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(model, "40-47 read");
        string list = Path.Combine(device.Images, "bad.txt");
        await File.WriteAllTextAsync(list, "# of another tool\n800-815\n40\n", Ended);
        JsonElement done = await ReportAsync(device, "mark-bad", Name, "--list", list);
        Assert.Equal(2, done.GetProperty("unitsRemapped").GetInt64());
        Assert.Equal(8, done.GetProperty("blocksUnread").GetInt64());
        Assert.Equal(2, await device.StatusNumberAsync("remaps"));
        (await device.RunAsync("faults", Name, "clear")).Expect(0);
        await AssertContentAsync(device, model);
    }

    /// <summary>Asked of the served view: the tool of the file system sees what clients see.</summary>
    [Theory]
    [InlineData(1024)]
    [InlineData(4096)]
    public async Task Lost_names_exactly_the_files_that_are_hit(int blockSize)
    {
        RequiredTools.SkipUnless("mkfs.ext4", "debugfs", "blkid");
        RequiredTools.SkipUnlessKernelFuse();
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        string tree = Path.Combine(device.Images, "tree");
        Directory.CreateDirectory(Path.Combine(tree, "some folder"));
        foreach (string file in (string[])["one", "two", "three", "some folder/na\nme", "some folder/b"])
        {
            await File.WriteAllBytesAsync(Path.Combine(tree, file), Content.Of(64 * 1024), Ended);
        }
        DeviceUnderTest.WriteZeros(device.MainPath, 32 * MiB);
        DeviceUnderTest.WriteZeros(device.SparePath, DeviceUnderTest.SpareBytesDefault);
        string size = blockSize.ToString(CultureInfo.InvariantCulture);
        (await Command.RunAsync("mkfs.ext4", "-q", "-F", "-b", size, "-d", tree, device.MainPath)).Expect(0);
        await device.CreateAsync();
        await device.ServeAsync();
        long one = await FirstBlockAsync(device, "/one", blockSize);
        long named = await FirstBlockAsync(device, "/some folder/na\\nme", blockSize);
        Assert.True(one > 0);
        (await device.RunAsync("mark-lost", Name, $"{one + 5}", "--yes")).Expect(0);
        (await device.RunAsync("mark-lost", Name, $"{named}-{named + 1}", "--yes")).Expect(0);
        // Free, and where tools that look for a file system look too.
        (await device.RunAsync("mark-lost", Name, "65528", "--yes")).Expect(0);
        JsonElement without = await ReportAsync(device, "lost", Name, "--files");
        Assert.Contains(
            "dmremap attach", without.GetProperty("files").GetProperty("unknown").GetString()!,
            StringComparison.Ordinal);
        CommandResult attached = await device.RunAsync("attach", Name, "--file");
        Assert.SkipWhen(attached.ExitCode is 8 or 9, "not possible here: " + attached.Error.Trim());
        try
        {
            JsonElement lost = await ReportAsync(device, "lost", Name, "--files");
            JsonElement fileSystem = lost.GetProperty("files").GetProperty("fileSystems")[0];
            Assert.Equal("ext4", fileSystem.GetProperty("kind").GetString());
            Assert.Equal(JsonValueKind.Null, fileSystem.GetProperty("unknown").ValueKind);
            string[] files =
                [.. fileSystem.GetProperty("files").EnumerateArray()
                    .Select(file => file.GetProperty("path").GetString() ?? "-")
                    .Order(StringComparer.Ordinal)];
            Assert.Equal(2, files.Length);
            Assert.Equal("/one", files[0]);
            Assert.StartsWith("/some folder/na", files[1], StringComparison.Ordinal);
            JsonElement hit = fileSystem.GetProperty("files").EnumerateArray()
                .First(file => file.GetProperty("path").GetString() == "/one").GetProperty("extents")[0];
            Assert.Equal((one + 5, 1), (hit.GetProperty("firstBlock").GetInt64(),
                hit.GetProperty("blocks").GetInt64()));
            Assert.Equal(
                65528, fileSystem.GetProperty("inNoFile")[0].GetProperty("firstBlock").GetInt64());
            string text = (await device.RunAsync("lost", Name, "--files")).Expect(0).Output;
            Assert.Contains("    /one (inode ", text, StringComparison.Ordinal);
        }
        finally
        {
            (await device.RunAsync("detach", Name)).Expect(0);
        }
        await device.StopAsync();
    }

    private static CancellationToken Ended => TestContext.Current.CancellationToken;

    /// <summary>In sectors of 512 bytes, of the image before anything is served.</summary>
    private static async Task<long> FirstBlockAsync(DeviceUnderTest device, string file, int blockSize)
    {
        string name = file.Replace("\\n", "\n", StringComparison.Ordinal);
        long inode = 0;
        if (name.Contains('\n', StringComparison.Ordinal))
        {
            // Its name cannot be said to debugfs: it is the entry of its folder that has another name.
            CommandResult list =
                await Command.RunAsync("debugfs", "-R", "ls -p \"/some folder\"", device.MainPath);
            inode = list.Expect(0).Output.Split('\n')
                .Where(line => line.Contains("/na", StringComparison.Ordinal))
                .Select(line => long.Parse(line.Split('/')[1], CultureInfo.InvariantCulture)).First();
        }
        string target = inode > 0 ? $"<{inode}>" : file;
        CommandResult blocks =
            (await Command.RunAsync("debugfs", "-R", $"blocks {target}", device.MainPath)).Expect(0);
        string first = blocks.Output.Split(' ', StringSplitOptions.RemoveEmptyEntries)[0].Trim();
        return long.Parse(first, CultureInfo.InvariantCulture) * blockSize / 512;
    }

    private static async Task<JsonElement> ReportAsync(DeviceUnderTest device, params string[] command)
    {
        CommandResult result = (await device.RunAsync([.. command, "--json"])).Expect(0, 7);
        return JsonDocument.Parse(result.Output).RootElement;
    }

    private static async Task WaitAsync(DeviceUnderTest device, Func<Task<bool>> isSo)
    {
        using CancellationTokenSource late = CancellationTokenSource.CreateLinkedTokenSource(Ended);
        late.CancelAfter(s_patience);
        while (!await isSo())
        {
            Assert.False(late.IsCancellationRequested, (await device.RunAsync("status", Name)).Output);
        }
    }

    private static async Task AssertContentAsync(DeviceUnderTest device, byte[] model)
    {
        using NbdTestClient client = await device.ConnectAsync();
        byte[] read = new byte[MiB];
        for (int start = 0; start < model.Length; start += read.Length)
        {
            Assert.Equal(0u, await client.ReadAsync(start, read));
            Content.AssertEqual(model.AsSpan(start, read.Length), read, $"byte {start} on");
        }
    }
}
