using System;
using System.IO;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>`check` says for each situation what `serve` would: the same words, id and exit code.</summary>
public sealed class CheckForecastTests
{
    private const long MiB = DeviceUnderTest.MiB;
    private const string Name = DeviceUnderTest.Name;

    [Fact]
    public async Task Check_of_a_set_that_was_rolled_back_says_what_serve_says()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        await device.StopAsync();
        string yesterday = Path.Combine(device.Images, "yesterday.img");
        File.Copy(device.SparePath, yesterday);
        await device.ServeAsync();
        (await device.RunAsync("remap", Name, "800-815")).Expect(0);
        await device.StopAsync();
        File.Copy(yesterday, device.SparePath, overwrite: true);

        await AssertForeseenAsync(device, 5, "DMR-META-ROLLED-BACK");
    }

    [Fact]
    public async Task Check_of_a_set_that_was_never_served_does_not_speak_of_a_stop()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        await device.StopAsync();
        CommandResult served = (await device.RunAsync("check", Name)).Expect(0);
        Assert.Contains(", stopped cleanly", served.Output, StringComparison.Ordinal);
        await using DeviceUnderTest fresh = DeviceUnderTest.Prepare(Content.Of(MiB));
        await fresh.CreateAsync();
        CommandResult found = (await fresh.RunAsync("check", Name)).Expect(0);
        Assert.Contains("not served yet", found.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("stopped", found.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Check_of_a_main_that_was_written_meanwhile_says_what_serve_says()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        (await device.RunAsync("remap", Name, "800-815")).Expect(0);
        await device.StopAsync();
        Content.Overwrite(device.MainPath, 1024 + 44, 8);
        await AssertForeseenAsync(device, 5, "DMR-MAIN-CHANGED");
    }

    [Fact]
    public async Task Check_without_the_main_or_with_another_size_says_what_serve_says()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        await device.StopAsync();
        string aside = device.MainPath + ".aside";
        File.Move(device.MainPath, aside);
        await AssertForeseenAsync(device, 3, "DMR-MEMBER-MISSING");
        await File.WriteAllBytesAsync(
            device.MainPath, Content.Of(2 * MiB), TestContext.Current.CancellationToken);
        await AssertForeseenAsync(device, 5, "DMR-MEMBER-SIZE-CHANGED");
        File.Delete(device.MainPath);
        File.Move(aside, device.MainPath);
        (await device.RunAsync("check", Name)).Expect(0);
    }

    [Fact]
    public async Task Check_without_a_spare_says_what_serve_says_and_still_shows_the_others()
    {
        await using DeviceUnderTest device = await TwoSparesAsync();
        File.Delete(device.SparePath);
        JsonElement found = await AssertForeseenAsync(device, 5, "DMR-META-MISSING-SPARE");
        Assert.Equal(JsonValueKind.Object, found.GetProperty("table").ValueKind);
        Assert.Equal(2, found.GetProperty("spares").GetArrayLength());
        // Without a registry it is the same: the set knows its members.
        CommandResult alone = (await device.RunAsync("check", "--spare", Second(device))).Expect(5);
        Assert.Contains("[DMR-META-MISSING-SPARE]", alone.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Check_of_one_spare_that_was_put_back_says_what_serve_says()
    {
        await using DeviceUnderTest device = await TwoSparesAsync();
        string second = Second(device);
        string yesterday = Path.Combine(device.Images, "yesterday.img");
        File.Copy(second, yesterday);
        await device.ServeAsync();
        (await device.RunAsync("remap", Name, "800-815")).Expect(0);
        await device.StopAsync();
        File.Copy(yesterday, second, overwrite: true);
        await AssertForeseenAsync(device, 5, "DMR-META-SPARE-ROLLED-BACK");
    }

    [Fact]
    public async Task A_destroyed_spare_of_two_is_refused_with_the_command_that_goes_on_without_it()
    {
        await using DeviceUnderTest device = await TwoSparesAsync();
        string second = Second(device);
        File.Delete(second);
        DeviceUnderTest.WriteZeros(second, DeviceUnderTest.SpareBytesDefault);
        await AssertForeseenAsync(device, 6, "DMR-META-NONE");

        CommandResult refused = (await device.RunAsync("serve", Name)).Expect(6);
        string words = string.Join(
            ' ', refused.Error.Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains(
            $"`dmremap serve {Name} --degraded --without {second}`", words, StringComparison.Ordinal);
        RunningProgram server = device.StartServe("--degraded", "--without", second);
        await DeviceUnderTest.WaitUntilReadyAsync(server);
        await device.StopAsync();

        // Where it is the only one, leaving it out would leave nothing.
        await using DeviceUnderTest single = await DeviceUnderTest.StartAsync(Content.Of(MiB));
        await single.StopAsync();
        File.Delete(single.SparePath);
        DeviceUnderTest.WriteZeros(single.SparePath, DeviceUnderTest.SpareBytesDefault);
        refused = (await single.RunAsync("serve", Name)).Expect(6);
        Assert.DoesNotContain("--degraded", refused.Error, StringComparison.Ordinal);
    }

    private static async Task<DeviceUnderTest> TwoSparesAsync()
    {
        DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(MiB));
        DeviceUnderTest.WriteZeros(Second(device), DeviceUnderTest.SpareBytesDefault);
        await device.CreateAsync("--spare", Second(device));
        await device.ServeAsync();
        await device.StopAsync();
        return device;
    }

    private static string Second(DeviceUnderTest device) => Path.Combine(device.Images, "spare-2.img");

    /// <summary>`check` writes nothing, so `serve` comes second and meets the same.</summary>
    private static async Task<JsonElement> AssertForeseenAsync(DeviceUnderTest device, int exit, string id)
    {
        CommandResult check = (await device.RunAsync("check", Name)).Expect(exit);
        CommandResult json = (await device.RunAsync("check", Name, "--json")).Expect(exit);
        CommandResult serve = (await device.RunAsync("serve", Name)).Expect(exit);
        Assert.Contains($"[{id}]", serve.Error, StringComparison.Ordinal);
        Assert.Equal(serve.Error, check.Error);
        Assert.Contains("refused, as `serve` would", check.Output, StringComparison.Ordinal);
        using JsonDocument document = JsonDocument.Parse(json.Output);
        JsonElement root = document.RootElement.Clone();
        Assert.Equal("refused", root.GetProperty("verdict").GetString());
        Assert.Equal(id, root.GetProperty("refusal").GetProperty("id").GetString());
        Assert.Equal(exit, root.GetProperty("refusal").GetProperty("exitCode").GetInt32());
        return root;
    }
}
