using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Members;

public sealed class PrimaryFingerprintTests
{
    private static readonly PrimaryFingerprint s_disk = new(1 << 30, "ABC123", "naa.5000", 0);

    private static readonly PrimaryFingerprint s_file = new(1 << 20, string.Empty, string.Empty, 4711);

    public static IEnumerable<TheoryDataRow<PrimaryFingerprint, PrimaryFingerprint, FingerprintMatch>> Cases()
    {
        yield return new(s_disk, s_disk, FingerprintMatch.Same);
        yield return new(s_disk, s_disk with { Bytes = 1 << 29 }, FingerprintMatch.Different);
        yield return new(s_disk, s_disk with { Serial = "ABC124" }, FingerprintMatch.Different);
        yield return new(s_disk, s_disk with { WorldWideName = "naa.5001" }, FingerprintMatch.Different);
        yield return new(s_disk, s_disk with { WorldWideName = "" }, FingerprintMatch.Same);
        yield return new(s_disk, s_disk with { Serial = "", WorldWideName = "" }, FingerprintMatch.Unproven);
        yield return new(s_file, s_file, FingerprintMatch.Same);
        yield return new(s_file, s_file with { FileInode = 4712 }, FingerprintMatch.Unproven);
        yield return new(s_file, s_file with { Bytes = 1 << 21 }, FingerprintMatch.Different);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Comparison_says_same_unproven_or_different(
        PrimaryFingerprint recorded, PrimaryFingerprint found, FingerprintMatch match)
    {
        Assert.Equal(match, recorded.Compare(found, out string difference));
        Assert.Equal(match == FingerprintMatch.Same, difference.Length == 0);
    }

    [Fact]
    public void Export_is_known_by_its_name()
    {
        PrimaryFingerprint export = PrimaryFingerprint.OfExport(1 << 20, "disk one");
        Assert.Equal("export=disk one", export.ToText());
        Assert.Equal(export, PrimaryFingerprint.FromText(1 << 20, export.ToText()));
        Assert.Equal(FingerprintMatch.Same, export.Compare(export, out _));
        Assert.Equal(
            FingerprintMatch.Different,
            export.Compare(PrimaryFingerprint.OfExport(1 << 20, "disk two"), out string difference));
        Assert.Contains("disk two", difference, System.StringComparison.Ordinal);
        PrimaryFingerprint unnamed = PrimaryFingerprint.OfExport(1 << 20, "");
        Assert.Equal(FingerprintMatch.Unproven, unnamed.Compare(unnamed, out _));
    }

    [Fact]
    public void Text_keeps_what_identifies()
    {
        Assert.Equal(s_disk, PrimaryFingerprint.FromText(s_disk.Bytes, s_disk.ToText()));
        Assert.Equal(s_file, PrimaryFingerprint.FromText(s_file.Bytes, s_file.ToText()));
    }

    [Theory]
    [InlineData("")]
    [InlineData(";;;===")]
    [InlineData("inode=-1;serial")]
    [InlineData("inode=99999999999999999999999")]
    [InlineData("later=field;serial=")]
    public void Text_without_meaning_identifies_nothing(string text)
    {
        PrimaryFingerprint recorded = PrimaryFingerprint.FromText(s_disk.Bytes, text);
        Assert.Equal(FingerprintMatch.Unproven, recorded.Compare(s_disk, out _));
    }

    [Fact]
    public void Main_that_shrank_or_grew_is_refused()
    {
        foreach (long bytes in (long[])[512, s_file.Bytes - 512, s_file.Bytes + 512])
        {
            RefusalException refusal = Assert.Throws<RefusalException>(
                () => s_file.RequireMatch("/main", s_file with { Bytes = bytes }));
            Assert.Equal("DMR-MEMBER-SIZE-CHANGED", refusal.Id);
            Assert.Equal(ExitCode.RefusedForSafety, refusal.ExitCode);
        }
    }

    [Fact]
    public void Other_disk_of_the_same_size_is_refused()
    {
        RefusalException refusal = Assert.Throws<RefusalException>(
            () => s_disk.RequireMatch("/dev/sdb", s_disk with { Serial = "XYZ", WorldWideName = "" }));
        Assert.Equal("DMR-MEMBER-OTHER-DISK", refusal.Id);
        Assert.Contains("XYZ", refusal.Message, System.StringComparison.Ordinal);
    }

    [Fact]
    public void Fingerprint_of_an_open_file_matches_itself()
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeFile("main", 1 << 20);
        PrimaryFingerprint first;
        using (MemberFile member = MemberFile.TryClaim(path, new MemberOptions()).Member!)
        {
            first = PrimaryFingerprint.Of(member);
        }
        using MemberFile again = MemberFile.TryClaim(path, new MemberOptions()).Member!;
        Assert.Equal(FingerprintMatch.Same, first.Compare(PrimaryFingerprint.Of(again), out _));
        Assert.True(first.ToText().Length <= PrimaryFingerprint.TextLengthMax);
    }
}
