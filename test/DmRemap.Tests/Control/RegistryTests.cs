using System;
using System.IO;
using System.Linq;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Control;

public sealed class RegistryTests
{
    [Fact]
    public void Record_is_found_again_after_it_was_added()
    {
        using TemporaryDirectory directory = new();
        DeviceRegistry registry = new(directory.Path, new StateFiles());
        DeviceRecord record = RegistrySamples.Record("disk1");
        registry.Add(record);
        RegistrySamples.AssertEqual(record, registry.Load("disk1"));
        Assert.Equal(directory["disk1.json"], registry.PathOf("disk1"));
    }

    [Fact]
    public void Name_that_is_taken_keeps_its_record()
    {
        using TemporaryDirectory directory = new();
        DeviceRegistry registry = new(directory.Path, new StateFiles());
        DeviceRecord first = RegistrySamples.Record("disk1");
        registry.RequireFree("disk1");
        registry.Add(first);
        AssertRefused(
            "DMR-REGISTRY-NAME-TAKEN", ExitCode.RefusedForSafety, () => registry.RequireFree("disk1"));
        AssertRefused(
            "DMR-REGISTRY-NAME-TAKEN",
            ExitCode.RefusedForSafety,
            () => registry.Add(first with { SetUuid = Guid.Parse("99999999-0000-4000-8000-000000000000") }));
        RegistrySamples.AssertEqual(first, registry.Load("disk1"));
    }

    [Fact]
    public void Damaged_record_keeps_its_name_taken()
    {
        using TemporaryDirectory directory = new();
        DeviceRegistry registry = new(directory.Path, new StateFiles());
        File.WriteAllText(directory["disk1.json"], "{");
        AssertRefused(
            "DMR-REGISTRY-NAME-TAKEN",
            ExitCode.RefusedForSafety,
            () => registry.Add(RegistrySamples.Record("disk1")));
        Assert.Equal("{", File.ReadAllText(directory["disk1.json"]));
    }

    [Fact]
    public void Replaced_record_is_the_new_one_and_removed_record_is_gone()
    {
        using TemporaryDirectory directory = new();
        DeviceRegistry registry = new(directory.Path, new StateFiles());
        DeviceRecord record = RegistrySamples.Record("disk1");
        registry.Add(record);
        DeviceRecord changed = record with { Lost = LostPolicy.Strict, MainPath = "/dev/sdz" };
        registry.Replace(changed);
        RegistrySamples.AssertEqual(changed, registry.Load("disk1"));
        Assert.True(registry.Remove("disk1"));
        Assert.False(registry.Remove("disk1"));
        AssertRefused("DMR-REGISTRY-NO-SUCH-DEVICE", ExitCode.NoSuchDevice, () => registry.Load("disk1"));
    }

    [Fact]
    public void Missing_registry_is_empty_and_unreadable_one_is_an_error()
    {
        using TemporaryDirectory directory = new();
        Assert.Empty(new DeviceRegistry(directory["none"], new StateFiles()).List());
        AssertRefused(
            "DMR-REGISTRY-NO-SUCH-DEVICE",
            ExitCode.NoSuchDevice,
            () => new DeviceRegistry(directory["none"], new StateFiles()).Load("disk1"));
        string file = directory.MakeFile("file", 10);
        AssertRefused(
            "DMR-REGISTRY-UNREADABLE",
            ExitCode.NotPermitted,
            () => new DeviceRegistry(file, new StateFiles()).List());
        Directory.CreateDirectory(directory["disk1.json"]);
        AssertRefused(
            "DMR-REGISTRY-UNREADABLE",
            ExitCode.NotPermitted,
            () => new DeviceRegistry(directory.Path, new StateFiles()).Load("disk1"));
    }

    [Fact]
    public void List_is_sorted_and_shows_what_cannot_be_read()
    {
        using TemporaryDirectory directory = new();
        DeviceRegistry registry = new(directory.Path, new StateFiles());
        foreach (string name in (string[])["zeta", "alpha", "Beta"])
        {
            registry.Add(RegistrySamples.Record(name));
        }
        File.WriteAllText(directory["broken.json"], "{\"format\": 1");
        File.WriteAllText(directory["later.json"], "{\"format\": 2}");
        File.WriteAllText(directory["-no-name.json"], "{}");
        File.WriteAllText(directory["alpha.json.draft"], "{}");
        RegistryEntry[] entries = [.. registry.List()];
        Assert.Equal(["Beta", "alpha", "broken", "later", "zeta"], entries.Select(entry => entry.Name));
        Assert.Equal(
            [null, null, "DMR-REGISTRY-DAMAGED", "DMR-REGISTRY-NEWER", null],
            entries.Select(entry => entry.Problem?.Id));
        Assert.All(entries, entry => Assert.NotEqual(entry.Record is null, entry.Problem is null));
    }

    [Fact]
    public void Record_truncated_at_any_byte_is_damaged_and_never_absent()
    {
        using TemporaryDirectory directory = new();
        DeviceRegistry registry = new(directory.Path, new StateFiles());
        byte[] text = RegistryCodec.Encode(RegistrySamples.Record("disk1"));
        for (int length = 0; length < text.Length - 1; length += 3)
        {
            File.WriteAllBytes(directory["disk1.json"], text[..length]);
            AssertRefused("DMR-REGISTRY-DAMAGED", ExitCode.MetadataUnreadable, () => registry.Load("disk1"));
        }
    }

    [Fact]
    public void Newer_record_says_which_version_it_needs()
    {
        using TemporaryDirectory directory = new();
        DeviceRegistry registry = new(directory.Path, new StateFiles());
        File.WriteAllText(directory["disk1.json"], "{\"format\": 2, \"name\": [\"changed\"]}");
        RefusalException refusal = Assert.Throws<RefusalException>(() => registry.Load("disk1"));
        Assert.Equal("DMR-REGISTRY-NEWER", refusal.Id);
        Assert.Contains("written by a newer version", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("format 2", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Record_under_another_name_is_damaged()
    {
        using TemporaryDirectory directory = new();
        DeviceRegistry registry = new(directory.Path, new StateFiles());
        registry.Add(RegistrySamples.Record("disk1"));
        File.Copy(directory["disk1.json"], directory["disk2.json"]);
        AssertRefused("DMR-REGISTRY-DAMAGED", ExitCode.MetadataUnreadable, () => registry.Load("disk2"));
    }

    [Theory]
    [InlineData("a", true)]
    [InlineData("A9_.-x", true)]
    [InlineData("a..b", true)]
    [InlineData("", false)]
    [InlineData(".hidden", false)]
    [InlineData("-option", false)]
    [InlineData("_x", false)]
    [InlineData("a/b", false)]
    [InlineData("../etc", false)]
    [InlineData("..", false)]
    [InlineData("a b", false)]
    [InlineData("a\n", false)]
    [InlineData("a\0b", false)]
    [InlineData("ä", false)]
    [InlineData("٣", false)]
    public void Name_is_letters_digits_and_three_signs(string name, bool isValid)
    {
        Assert.Equal(isValid, DeviceName.IsValid(name));
        DeviceRegistry registry = new("/nonexistent", new StateFiles());
        if (!isValid)
        {
            AssertRefused("DMR-NAME-INVALID", ExitCode.Usage, () => registry.Load(name));
            AssertRefused("DMR-NAME-INVALID", ExitCode.Usage, () => registry.RequireFree(name));
            AssertRefused("DMR-NAME-INVALID", ExitCode.Usage, () => registry.Remove(name));
        }
    }

    [Fact]
    public void Name_has_at_most_64_letters_and_a_refused_one_is_printed_harmlessly()
    {
        Assert.True(DeviceName.IsValid(new string('a', 64)));
        Assert.False(DeviceName.IsValid(new string('a', 65)));
        RefusalException refusal = Assert.Throws<RefusalException>(
            () => DeviceName.Require("\u001b[2J" + new string('x', 1000)));
        Assert.DoesNotContain('\u001b', refusal.Message);
        Assert.True(refusal.Message.Length < 200);
    }

    private static void AssertRefused(string id, ExitCode exitCode, Action action)
    {
        RefusalException refusal = Assert.Throws<RefusalException>(action);
        Assert.Equal(id, refusal.Id);
        Assert.Equal(exitCode, refusal.ExitCode);
        Assert.NotEmpty(refusal.Action);
    }
}
