using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// Each thing that a person can get wrong: an exit code with a meaning, and words that help.
/// </summary>
public sealed class BadInputTests
{
    private const string Name = DeviceUnderTest.Name;
    private const long MiB = DeviceUnderTest.MiB;

    [Theory]
    [InlineData("../x")]
    [InlineData("a/b")]
    [InlineData("..")]
    [InlineData(".hidden")]
    [InlineData("")]
    [InlineData("white space")]
    [InlineData("a123456789012345678901234567890123456789012345678901234567890abcde")]
    public async Task A_name_that_is_no_name_is_refused(string name)
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[MiB]);
        CommandResult result = await device.RunAsync(
            "create", name, "--main", device.MainPath, "--spare", device.SparePath, "--yes");
        AssertRefused(result, [2], []);
        Assert.Empty(Directory.EnumerateFileSystemEntries(device.ConfigFolder));
    }

    [Fact]
    public async Task A_main_that_is_missing_a_directory_or_empty_is_refused()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[MiB]);
        string missing = Path.Combine(device.Images, "missing.img");
        string empty = Path.Combine(device.Images, "empty.img");
        await File.WriteAllBytesAsync(empty, [], TestContext.Current.CancellationToken);
        foreach (string path in new[] { missing, device.Images, empty })
        {
            CommandResult result = await device.RunAsync(
                "create", Name, "--main", path, "--spare", device.SparePath, "--yes");
            AssertRefused(result, [2, 3, 5], [path]);
        }

        Assert.Empty(Directory.EnumerateFileSystemEntries(device.ConfigFolder));
    }

    [Fact]
    public async Task A_name_that_is_taken_is_refused_and_what_it_names_is_untouched()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        await device.StopAsync();
        string registered =
            await File.ReadAllTextAsync(RegistryFile(device), TestContext.Current.CancellationToken);
        string otherMain = Path.Combine(device.Images, "other-main.img");
        string otherSpare = Path.Combine(device.Images, "other-spare.img");
        DeviceUnderTest.WriteZeros(otherMain, MiB);
        DeviceUnderTest.WriteZeros(otherSpare, DeviceUnderTest.SpareBytesDefault);
        CommandResult result = await device.RunAsync(
            "create", Name, "--main", otherMain, "--spare", otherSpare, "--yes");
        AssertRefused(result, [5], [Name]);
        Assert.Equal(registered,
            await File.ReadAllTextAsync(RegistryFile(device), TestContext.Current.CancellationToken));
        await device.ServeAsync();
    }

    [Fact]
    public async Task More_than_eight_spares_are_refused()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[MiB]);
        List<string> arguments = ["create", Name, "--main", device.MainPath, "--yes"];
        for (int i = 0; i < 9; i++)
        {
            string spare = Path.Combine(device.Images, $"spare{i}.img");
            DeviceUnderTest.WriteZeros(spare, MiB);
            arguments.AddRange(["--spare", spare]);
        }

        AssertRefused(await device.RunAsync([.. arguments]), [2, 5], ["8"]);
    }

    [Fact]
    public async Task A_spare_given_twice_or_by_a_hard_link_or_equal_to_the_main_is_refused()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[32 * MiB]);
        string link = Path.Combine(device.Images, "link.img");
        string mainLink = Path.Combine(device.Images, "main-link.img");
        (await Command.RunAsync("ln", device.SparePath, link)).Expect(0);
        (await Command.RunAsync("ln", device.MainPath, mainLink)).Expect(0);
        string[][] pairs =
        [
            ["--spare", device.SparePath, "--spare", device.SparePath],
            ["--spare", device.SparePath, "--spare", link],
            ["--spare", device.MainPath],
            ["--spare", mainLink],
        ];
        foreach (string[] spares in pairs)
        {
            CommandResult result = await device.RunAsync(
                ["create", Name, "--main", device.MainPath, "--yes", .. spares]);
            AssertRefused(result, [5], [spares[^1]]);
            // No override, either.
            AssertRefused(await device.RunAsync(
                ["create", Name, "--main", device.MainPath, "--yes", "--force", .. spares]), [5],
                    [spares[^1]]);
        }
    }

    [Fact]
    public async Task A_spare_that_is_too_small_is_refused_with_the_size_that_is_needed()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[MiB], 8 * MiB);
        CommandResult result = await device.RunAsync(
            "create", Name, "--main", device.MainPath, "--spare", device.SparePath, "--yes");
        AssertRefused(result, [2], [device.SparePath, "16"]);
    }

    [Theory]
    [InlineData(-512)]
    [InlineData(512)]
    [InlineData(-(long)4096 * 16)]
    public async Task A_main_that_has_another_size_than_at_create_is_refused(long change)
    {
        byte[] content = Content.Of(2 * MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(content);
        await device.CreateAsync();
        using (FileStream file = new(device.MainPath, FileMode.Open))
        {
            file.SetLength(file.Length + change);
        }

        CommandResult result = await device.RunAsync("serve", Name);
        AssertRefused(result, [5], [device.MainPath, content.Length.ToString(CultureInfo.InvariantCulture)]);
    }

    [Fact]
    public async Task A_registry_file_that_is_cut_short_or_newer_is_refused_and_never_taken_for_absent()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(MiB));
        await device.CreateAsync();
        string path = RegistryFile(device);
        string text = await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken);
        string newer = text.Replace("\"format\": 1", "\"format\": 9", StringComparison.Ordinal)
            .Replace("\"format\":1", "\"format\":9", StringComparison.Ordinal);
        Assert.NotEqual(text, newer);
        foreach (string damaged in new[] { text[..(text.Length / 2)], "", newer })
        {
            await File.WriteAllTextAsync(path, damaged, TestContext.Current.CancellationToken);
            AssertRefused(await device.RunAsync("serve", Name), [6], [path]);
            AssertRefused(await device.RunAsync(
                "create", Name, "--main", device.MainPath, "--spare", device.SparePath, "--yes"), [5, 6],
                    [Name]);
            Assert.Equal(damaged, await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken));
        }
    }

    [Fact]
    public async Task A_spare_whose_metadata_is_destroyed_is_refused_and_never_taken_for_new()
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(MiB), "800-807 write");
        await device.StopAsync();
        byte[] noise = new byte[DeviceUnderTest.SpareBytesDefault];
        new Random(5).NextBytes(noise);
        await File.WriteAllBytesAsync(device.SparePath, noise, TestContext.Current.CancellationToken);
        AssertRefused(await device.RunAsync("serve", Name), [6], [device.SparePath]);
        Content.AssertFile(noise, device.SparePath);
    }

    [Theory]
    [InlineData("status")]
    [InlineData("serve")]
    [InlineData("stop")]
    public async Task A_device_that_does_not_exist_ends_with_3(string command)
    {
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        AssertRefused(await device.RunAsync(command, "nobody"), [3], ["nobody"]);
    }

    [Theory]
    [InlineData("7")]
    [InlineData("7-3 write")]
    [InlineData("0-7 sometimes")]
    [InlineData("0-7 write after=x")]
    [InlineData("0-7 write errno=EWHATEVER")]
    [InlineData("2048 write", "2048 sectors")]
    [InlineData("2040-2048 write", "2048 sectors")]
    public async Task A_fault_rule_that_is_none_is_refused_and_the_device_goes_on(
        string rule, string says = "")
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        AssertRefused(
            await device.RunAsync("faults", Name, "add", rule), [2], [says, "[DMR-FAULTS-INVALID]"]);
        using NbdTestClient client = await device.ConnectAsync();
        Assert.Equal(0u, await client.ReadAsync(0, new byte[4096]));
        await device.StopAsync();
    }

    [Fact]
    public async Task A_fault_rule_beyond_the_end_of_the_disk_is_refused_by_serve_too_with_its_line()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(MiB));
        await device.CreateAsync();
        string rules = Path.Combine(device.Folder, "rules");
        await File.WriteAllLinesAsync(
            rules, ["0-2047 read", "2047-2048 read"], TestContext.Current.CancellationToken);
        AssertRefused(
            await device.RunAsync("serve", Name, "--faults", rules), [2], ["line 2: ", "2048 sectors"]);
        await device.ServeAsync("2047 write");
        await device.StopAsync();
    }

    [Fact]
    public async Task Without_a_terminal_and_without_yes_a_command_that_asks_ends_with_2()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(MiB));
        // A spare that carries something: what asks, asks about this.
        await File.WriteAllBytesAsync(
            device.SparePath, Content.Of(DeviceUnderTest.SpareBytesDefault),
            TestContext.Current.CancellationToken);
        CommandResult result = await device.RunAsync(
            "create", Name, "--main", device.MainPath, "--spare", device.SparePath);
        AssertRefused(result, [2], ["--yes"]);
        Assert.Empty(Directory.EnumerateFileSystemEntries(device.ConfigFolder));
    }

    [Fact]
    public async Task With_json_an_error_is_also_a_document_on_stdout()
    {
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        CommandResult result = (await device.RunAsync("status", "nobody", "--json")).Expect(3);
        using JsonDocument document = JsonDocument.Parse(result.Output);
        JsonElement error = document.RootElement.GetProperty("error");
        foreach (string part in new[] { "id", "device", "message", "action" })
        {
            Assert.False(string.IsNullOrWhiteSpace(error.GetProperty(part).GetString()), part);
        }
    }

    [Fact]
    public async Task A_daemon_of_another_version_is_named_and_not_talked_to()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(MiB));
        await device.CreateAsync();
        string path = Path.Combine(device.RunFolder, Name + ".sock");
        using Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        Task<CommandResult> command = device.RunAsync("status", Name);
        using Socket client = await listener.AcceptAsync(TestContext.Current.CancellationToken);
        await client.SendAsync(
            Encoding.UTF8.GetBytes(
                $"{{\"dmremap\":{{\"protocol\":99,\"version\":\"9.9.9\",\"name\":\"{Name}\"}}}}\n"),
            TestContext.Current.CancellationToken);
        AssertRefused(await command, [1], ["9.9.9"]);
    }

    private static string RegistryFile(DeviceUnderTest device) =>
        Path.Combine(device.ConfigFolder, Name + ".json");

    /// <summary>One of these exit codes, all of these words on stderr, and no stack trace.</summary>
    private static void AssertRefused(CommandResult result, int[] exitCodes, string[] words)
    {
        result.Expect(exitCodes);
        Assert.False(string.IsNullOrWhiteSpace(result.Error), "refused without a word: " + result);
        Assert.DoesNotContain("   at ", result.Error, StringComparison.Ordinal);
        string flat = string.Concat(result.Error.Where(letter => !char.IsWhiteSpace(letter)));
        foreach (string word in words)
        {
            // Wrapped lines and digit grouping do not matter.
            string wanted = string.Concat(word.Where(letter => !char.IsWhiteSpace(letter)));
            Assert.True(
                flat.Replace(",", "", StringComparison.Ordinal).Contains(
                    wanted.Replace(",", "", StringComparison.Ordinal), StringComparison.Ordinal),
                $"'{word}' is not in: {result}");
        }
    }
}
