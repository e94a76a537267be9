using System;
using System.IO;
using System.Text;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Linux.Members;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Control;

public sealed class HostWitnessTests : IDisposable
{
    private const string Golden = """
        {
          "format": 1,
          "name": "disk1",
          "uuid": "0f8fad5b-d9cb-469f-a165-70867728950e",
          "epoch": "0123456789abcdef",
          "generation": 12,
          "journalSequence": 345
        }

        """;

    private static readonly HostWitness s_witness = new(
        "disk1", Guid.Parse("0f8fad5b-d9cb-469f-a165-70867728950e"),
        new HistoryPoint(0x0123456789ABCDEF, 12, 345));

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Format_1_of_the_state_is_read_and_written_as_documented()
    {
        Assert.Equal(RegistryParse.Ok, Decode(Golden, out HostWitness? witness));
        Assert.Equal(s_witness, witness);
        Assert.Equal(Golden, Encoding.UTF8.GetString(HostWitnessCodec.Encode(s_witness)));
        HostWitness far = s_witness with { Point = new(ulong.MaxValue, long.MaxValue, long.MaxValue) };
        Assert.Equal(
            RegistryParse.Ok,
            Decode(Encoding.UTF8.GetString(HostWitnessCodec.Encode(far)), out witness));
        Assert.Equal(far, witness);
    }

    [Theory]
    [InlineData("\"format\": 1", "\"format\": 0")]
    [InlineData("\"format\": 1,", "")]
    [InlineData("disk1", "disk2")]
    [InlineData("0f8fad5b-d9cb-469f-a165-70867728950e", "")]
    [InlineData("0f8fad5b-d9cb-469f-a165-70867728950e", "00000000-0000-0000-0000-000000000000")]
    [InlineData("0123456789abcdef", "0000000000000000")]
    [InlineData("0123456789abcdef", "0123456789abcde")]
    [InlineData("0123456789abcdef", "0123456789abcdeff")]
    [InlineData("0123456789abcdef", " 123456789abcdef")]
    [InlineData("\"0123456789abcdef\"", "81985529216486895")]
    [InlineData("\"0123456789abcdef\"", "null")]
    [InlineData("12,", "-1,")]
    [InlineData("12,", "1.5,")]
    [InlineData("12,", "9223372036854775808,")]
    [InlineData("12,", "\"12\",")]
    [InlineData("Sequence\": 345", "Sequence\": -345")]
    [InlineData("Sequence\": 345", "Sequence\": null")]
    [InlineData("Sequence\": 345", "Sequence\": 3 4")]
    [InlineData("\"generation\": 12", "\"generation\": 12, \"generation\": 13")]
    public void A_field_that_is_wrong_or_missing_is_damage(string part, string instead)
    {
        string text = Golden.Replace(part, instead, StringComparison.Ordinal);
        Assert.NotEqual(Golden, text);
        Assert.Equal(RegistryParse.Damaged, Decode(text, out HostWitness? witness));
        Assert.Null(witness);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{\"format\":1}")]
    [InlineData("{\"format\":1,\"name\":\"\\ud800\"}")]
    [InlineData("{\"format\":1,\"\\ud800\\ud800\":1}")]
    public void Text_that_is_no_state_is_damage(string text) =>
        Assert.Equal(RegistryParse.Damaged, Decode(text, out _));

    [Fact]
    public void A_later_format_is_newer_and_a_long_or_doubled_text_is_damage()
    {
        Assert.Equal(RegistryParse.Newer, Decode("{\"format\":2,\"epoch\":[]}", out _));
        Assert.Equal(RegistryParse.Damaged, Decode(Golden + Golden, out _));
        Assert.Equal(RegistryParse.Damaged, Decode(Golden + new string(' ', 4096), out _));
    }

    [Fact]
    public void Any_bytes_of_a_state_are_answered_without_an_exception()
    {
        for (int seed = 0; seed < 3000; seed++)
        {
            Random random = new(seed);
            byte[] text = Encoding.UTF8.GetBytes(Golden);
            for (int flips = 1 + random.Next(4); flips > 0; flips--)
            {
                text[random.Next(text.Length)] = (byte)random.Next(256);
            }
            RegistryParse parse =
                HostWitnessCodec.Decode(text, "disk1", out HostWitness? witness, out string problem);
            Assert.True(parse != RegistryParse.None, $"seed={seed}");
            Assert.True((parse == RegistryParse.Ok) == (witness is not null), $"seed={seed}");
            Assert.True((parse == RegistryParse.Ok) == (problem.Length == 0), $"seed={seed}");
        }
    }

    [Fact]
    public void A_state_is_stored_beside_the_record_replaced_and_removed()
    {
        HostWitnessFile file = new(_directory.Path, new StateFiles(), "disk1");
        Assert.Null(file.Load());
        file.Store(s_witness);
        Assert.Equal(_directory["disk1.state"], file.Path);
        Assert.Equal(
            UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file.Path));
        Assert.Equal(s_witness, file.Load());
        HostWitness later = s_witness with { Point = new HistoryPoint(5, 6, 7) };
        file.Store(later);
        Assert.Equal(later, file.Load());
        Assert.Empty(new DeviceRegistry(_directory.Path, new StateFiles()).List());
        Assert.True(file.Remove());
        Assert.False(file.Remove());
        Assert.Null(file.Load());
    }

    [Fact]
    public void A_state_that_cannot_be_used_is_an_error_that_names_it()
    {
        HostWitnessFile file = new(_directory.Path, new StateFiles(), "disk1");
        File.WriteAllText(file.Path, Golden[..40]);
        RefusalException refused = Assert.Throws<RefusalException>(file.Load);
        Assert.Equal("DMR-WITNESS-DAMAGED", refused.Id);
        Assert.Equal(ExitCode.MetadataUnreadable, refused.ExitCode);
        Assert.Contains(file.Path, refused.Message, StringComparison.Ordinal);
        Assert.Contains("--accept-rollback", refused.Action, StringComparison.Ordinal);
        File.WriteAllText(file.Path, "{\"format\":2}");
        Assert.Contains(
            "newer", Assert.Throws<RefusalException>(file.Load).Message, StringComparison.Ordinal);
        File.Delete(file.Path);
        Directory.CreateDirectory(file.Path);
        Assert.Equal("DMR-REGISTRY-UNREADABLE", Assert.Throws<RefusalException>(file.Load).Id);
    }

    private static RegistryParse Decode(string text, out HostWitness? witness) =>
        HostWitnessCodec.Decode(Encoding.UTF8.GetBytes(text), "disk1", out witness, out _);
}
