using System;
using System.IO;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>What `attach` and `detach` leave to others, and what the other commands say meanwhile.</summary>
[Collection(nameof(Attaching))]
public sealed class AttachNeighbourTests
{
    private const string LinkPath = "/dev/dmremap/" + DeviceUnderTest.Name;

    /// <summary>A read-only device has no discard; whoever has the number next may have it.</summary>
    [Fact]
    public async Task A_number_is_left_as_a_new_one()
    {
        await AttachedDisk.SkipUnlessPossibleAsync();
        await using DeviceUnderTest device = await CreateAsync();
        await DeviceUnderTest.WaitUntilReadyAsync(device.StartServe("--read-only"));
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        Assert.False(disk.CanDiscard, "a device that is only read has discard");
        await disk.DetachAsync();
        // tmpfs makes holes: a loop device on it has discard wherever one can have it.
        string image = $"/dev/shm/dmremap-{Path.GetRandomFileName()}";
        await File.WriteAllBytesAsync(image, new byte[1 << 20], TestContext.Current.CancellationToken);
        CommandResult plain = await Command.RunAsync("losetup", disk.Path, image);
        File.Delete(image);
        Assert.SkipUnless(plain.ExitCode == 0, "somebody else has taken the number: " + plain.Error.Trim());
        bool canDiscard = disk.CanDiscard;
        (await Command.RunAsync("losetup", "-d", disk.Path)).Expect(0);
        Assert.True(canDiscard, $"{disk.Path} has no discard any more");
        await device.StopAsync();
    }

    [Fact]
    public async Task What_another_has_left_in_the_queue_of_a_number_is_not_taken_over()
    {
        await AttachedDisk.SkipUnlessPossibleAsync();
        await using DeviceUnderTest device = await CreateAsync();
        RequiredTools.SkipUnless(["fallocate"]);
        CommandResult hole = await Command.RunAsync("fallocate", "-p", "-l", "1M", device.MainPath);
        Assert.SkipUnless(hole.ExitCode == 0, "zeroing is not cheap where the images lie");
        await device.ServeAsync();
        string spoilt = (await Command.RunAsync("losetup", "-f", "--show", device.SparePath)).Expect(0)
            .Output.Trim();
        await File.WriteAllTextAsync(
            $"/sys/block/{Path.GetFileName(spoilt)}/queue/discard_max_bytes", "0",
            TestContext.Current.CancellationToken);
        (await Command.RunAsync("losetup", "-d", spoilt)).Expect(0);
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        Assert.SkipUnless(disk.Path == spoilt, "somebody else has taken the number");
        Assert.True(disk.CanDiscard, $"{disk.Path} has no discard");
        await disk.DetachAsync();
        await device.StopAsync();
    }

    /// <summary>Two users of the machine, each with a device of this name.</summary>
    [Fact]
    public async Task A_link_that_is_anothers_is_not_taken_named_or_removed()
    {
        await AttachedDisk.SkipUnlessPossibleAsync();
        await using DeviceUnderTest device = await CreateAsync();
        await using DeviceUnderTest second = await CreateAsync();
        await using Leftovers leftovers = new(second);
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        CommandResult refused = (await second.RunAsync("attach", DeviceUnderTest.Name)).Expect(4);
        Assert.Contains("DMR-ATTACH-NAME-TAKEN", refused.Error, StringComparison.Ordinal);
        Assert.Contains(
            $"{LinkPath} leads to {disk.Path}", Words(refused.Error), StringComparison.Ordinal);
        Assert.Equal(disk.Path, new FileInfo(LinkPath).LinkTarget);
        AttachedDisk.AssertNothingLeft(second);
        Assert.Null(AttachedDisk.ServerOf(second));
        // As it would be if the other had taken it all the same.
        (await second.RunAsync("attach", DeviceUnderTest.Name, "--file")).Expect(0);
        string other = (await Command.RunAsync("losetup", "-f", "--show", AttachedDisk.FileOf(second)))
            .Expect(0).Output.Trim();
        File.Delete(LinkPath);
        File.CreateSymbolicLink(LinkPath, other);
        CommandResult again = (await device.RunAsync("attach", DeviceUnderTest.Name, "--json")).Expect(0);
        Assert.Equal(disk.Path, Field(again.Output, "device").GetString());
        Assert.Equal(JsonValueKind.Null, Field(again.Output, "link").ValueKind);
        JsonElement shown = (await device.StatusAsync()).GetProperty("attached");
        Assert.Equal(disk.Path, shown.GetProperty("device").GetString());
        Assert.Equal(JsonValueKind.Null, shown.GetProperty("link").ValueKind);
        await disk.DetachAsync();
        Assert.Equal(other, new FileInfo(LinkPath).LinkTarget);
        (await second.RunAsync("detach", DeviceUnderTest.Name)).Expect(0);
        Assert.Null(new FileInfo(LinkPath).LinkTarget);
        AttachedDisk.AssertNothingLeft(second);
    }

    [Fact]
    public async Task Other_commands_say_that_it_is_attached_and_to_detach_it()
    {
        await AttachedDisk.SkipUnlessPossibleAsync();
        await using DeviceUnderTest device = await CreateAsync();
        Assert.Equal(JsonValueKind.Null, (await device.StatusAsync()).GetProperty("attached").ValueKind);
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        JsonElement attached = (await device.StatusAsync()).GetProperty("attached");
        Assert.Equal(disk.Path, attached.GetProperty("device").GetString());
        Assert.Equal(LinkPath, attached.GetProperty("link").GetString());
        Assert.Equal(AttachedDisk.FileOf(device), attached.GetProperty("file").GetString());
        CommandResult status = (await device.RunAsync("status", DeviceUnderTest.Name)).Expect(0);
        Assert.Contains(
            $"attached: {disk.Path} ({LinkPath})\n", status.Output, StringComparison.Ordinal);
        CommandResult list = (await device.RunAsync("list")).Expect(0);
        Assert.Contains("  ATTACHED ", list.Output, StringComparison.Ordinal);
        Assert.Contains($"  {disk.Path} ", list.Output, StringComparison.Ordinal);
        list = (await device.RunAsync("list", "--json")).Expect(0);
        attached = Field(list.Output, "devices")[0].GetProperty("attached");
        Assert.Equal(disk.Path, attached.GetProperty("device").GetString());
        foreach (string[] command in (string[][])
            [["check"], ["dump"], ["repair"], ["delete", "--yes"], ["serve"], ["stop"]])
        {
            CommandResult refused = (await device.RunAsync(
                [command[0], DeviceUnderTest.Name, .. command[1..]])).Expect(4);
            Assert.Contains("dmremap detach ", Words(refused.Error), StringComparison.Ordinal);
        }
        await disk.DetachAsync();
    }

    /// <summary>While suspended it is only named; what would read from it is refused.</summary>
    [Fact]
    public async Task A_suspended_device_that_is_attached_is_named_again()
    {
        await AttachedDisk.SkipUnlessPossibleAsync();
        await using DeviceUnderTest device = await CreateAsync();
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        (await device.RunAsync("suspend", DeviceUnderTest.Name)).Expect(0);
        // Whatever waits for the queue to be empty would wait for this one, which waits for the resume.
        RunningProgram reader = device.StartBeside(
            "dd", "if=" + disk.Path, "of=/dev/null", "bs=4k", "count=1", "skip=99", "iflag=direct");
        await SlowDisk.UntilAsync(
            () => File.ReadAllText($"/sys/block/{Path.GetFileName(disk.Path)}/inflight").Trim()[0] != '0');
        CommandResult again = (await device.RunAsync("attach", DeviceUnderTest.Name)).Expect(0);
        Assert.Equal(disk.Path + "\n", again.Output);
        (await device.RunAsync("resume", DeviceUnderTest.Name)).Expect(0);
        Assert.Equal(0, await reader.WaitForEndAsync(Command.TimeMax));
        await disk.DetachAsync();
    }

    /// <summary>The kernel reads the first blocks of a new block device.</summary>
    [Fact]
    public async Task A_suspended_device_that_is_a_file_does_not_become_a_block_device()
    {
        await AttachedDisk.SkipUnlessPossibleAsync();
        await using DeviceUnderTest device = await CreateAsync();
        await using Leftovers leftovers = new(device);
        await device.ServeAsync();
        (await device.RunAsync("attach", DeviceUnderTest.Name, "--file")).Expect(0);
        (await device.RunAsync("suspend", DeviceUnderTest.Name)).Expect(0);
        CommandResult refused = (await device.RunAsync("attach", DeviceUnderTest.Name)).Expect(1);
        Assert.Contains("DMR-DEVICE-SUSPENDED", refused.Error, StringComparison.Ordinal);
        (await device.RunAsync("attach", DeviceUnderTest.Name, "--file")).Expect(0);
        (await device.RunAsync("resume", DeviceUnderTest.Name)).Expect(0);
        (await device.RunAsync("detach", DeviceUnderTest.Name)).Expect(0);
        AttachedDisk.AssertNothingLeft(device);
        await device.StopAsync();
    }

    /// <summary>As a shell does that has it open itself.</summary>
    [Fact]
    public async Task Detach_does_not_name_itself_among_the_users()
    {
        await AttachedDisk.SkipUnlessPossibleAsync();
        await using DeviceUnderTest device = await CreateAsync();
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        string detach = $"{DeviceUnderTest.Program} detach {DeviceUnderTest.Name}";
        foreach (string path in (string[])[disk.Path, AttachedDisk.FileOf(device)])
        {
            if (path != disk.Path)
            {
                await disk.DetachAsync();
                (await device.RunAsync("attach", DeviceUnderTest.Name, "--file")).Expect(0);
            }
            CommandResult refused = (await Command.RunAsync(
                "sh", ["-c", $"exec 5<{path}; {detach}; exit $?"], device.Environment)).Expect(4);
            string words = Words(refused.Error);
            Assert.Contains($"{path} is open in sh (process ", words, StringComparison.Ordinal);
            Assert.DoesNotContain("is open in dmremap", words, StringComparison.Ordinal);
            refused = (await Command.RunAsync(
                "sh", ["-c", $"exec {detach} 5<{path}"], device.Environment)).Expect(4);
            Assert.Contains("in this very command", Words(refused.Error), StringComparison.Ordinal);
        }
        await disk.DetachAsync();
    }

    [Fact]
    public async Task Unknown_names_leave_nothing_and_delete_removes_what_attach_left()
    {
        await AttachedDisk.SkipUnlessPossibleAsync();
        await using DeviceUnderTest device = await CreateAsync();
        (await device.RunAsync("attach", "nosuch")).Expect(3);
        (await device.RunAsync("detach", "nosuch")).Expect(3);
        Assert.Empty(Directory.GetFileSystemEntries(device.RunFolder));
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        await disk.DetachAsync();
        Assert.NotEmpty(Directory.GetFileSystemEntries(device.RunFolder));
        (await device.RunAsync("delete", DeviceUnderTest.Name, "--yes")).Expect(0);
        Assert.Empty(Directory.GetFileSystemEntries(device.RunFolder));
    }

    /// <summary>Whatever a test that fails has left attached.</summary>
    private sealed class Leftovers(DeviceUnderTest device) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync() => await AttachedDisk.CleanUpAsync(device);
    }

    /// <summary>As it was before it was wrapped for the width of a terminal.</summary>
    private static string Words(string text) =>
        string.Join(' ', text.Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries));

    private static JsonElement Field(string json, string name)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return document.RootElement.GetProperty(name).Clone();
    }

    private static async Task<DeviceUnderTest> CreateAsync()
    {
        DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[32 * DeviceUnderTest.MiB]);
        await device.CreateAsync();
        return device;
    }
}
