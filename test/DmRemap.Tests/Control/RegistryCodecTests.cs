using System;
using System.Linq;
using System.Text;
using System.Text.Json.Nodes;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using Xunit;

namespace DmRemap.Tests.Control;

public sealed class RegistryCodecTests
{
    private const string Golden = """
        {
          "format": 1,
          "name": "disk1",
          "uuid": "0f8fad5b-d9cb-469f-a165-70867728950e",
          "main": {
            "path": "/dev/sda1",
            "sizeBytes": 1048576,
            "blockSize": 512,
            "physicalBlockSize": 4096,
            "alignmentOffset": 0
          },
          "unitBytes": 4096,
          "spares": [
            {
              "path": "/dev/sdb1",
              "uuid": "7c9e6679-7425-40de-944b-e07fc1f90ae7"
            }
          ],
          "lost": "salvage",
          "created": "2025-02-03T04:05:06.7890000\u002B01:00"
        }

        """;

    [Fact]
    public void Record_comes_back_as_it_was_written()
    {
        DeviceRecord record = RegistrySamples.Record("disk1");
        foreach (LostPolicy policy in (LostPolicy[])[LostPolicy.Salvage, LostPolicy.Strict])
        {
            byte[] text = RegistryCodec.Encode(record with { Lost = policy });
            Assert.Equal(
                RegistryParse.Ok, RegistryCodec.Decode(text, "disk1", out DeviceRecord? found, out _));
            RegistrySamples.AssertEqual(record with { Lost = policy }, found);
        }
    }

    [Fact]
    public void Exports_are_kept_by_their_uri()
    {
        DeviceRecord record = RegistrySamples.Record("disk1") with
        {
            MainPath = "nbd://storage:10809/disk",
            Spares =
            [
                new SpareRecord(
                    "nbd+unix:///?socket=/run/a b", Guid.Parse("7c9e6679-7425-40de-944b-e07fc1f90ae7")),
            ],
        };
        Assert.Equal(
            RegistryParse.Ok,
            RegistryCodec.Decode(
                RegistryCodec.Encode(record), "disk1", out DeviceRecord? found, out string problem));
        Assert.Empty(problem);
        RegistrySamples.AssertEqual(record, found);
    }

    [Fact]
    public void Eight_spares_with_the_longest_paths_fit()
    {
        string path = "/" + new string('ä', 4094);
        DeviceRecord record = RegistrySamples.Record("disk1") with
        {
            MainPath = path,
            Spares = [.. Enumerable.Range(1, Limits.SparesMax).Select(
                i => new SpareRecord(path, new Guid(i, 0, 0, [0, 0, 0, 0, 0, 0, 0, 1])))],
        };
        byte[] text = RegistryCodec.Encode(record);
        Assert.True(text.Length <= RegistryCodec.FileBytesMax);
    }

    [Fact]
    public void Format_1_is_read_and_written_as_documented()
    {
        RegistryParse parse = RegistryCodec.Decode(
            Encoding.UTF8.GetBytes(Golden), "disk1", out DeviceRecord? record, out string problem);
        Assert.True(parse == RegistryParse.Ok, problem);
        Assert.Equal(Golden, Encoding.UTF8.GetString(RegistryCodec.Encode(record!)));
    }

    [Theory]
    [InlineData("{\"\\ud800\\ud800\":1}")]
    [InlineData("{\"format\":1,\"\\ud800\\ud800\":1}")]
    [InlineData("{\"format\":1,\"name\":\"\\ud800\"}")]
    public void Half_a_surrogate_pair_is_damage(string text)
    {
        RegistryParse parse = RegistryCodec.Decode(
            Encoding.UTF8.GetBytes(text), "disk1", out DeviceRecord? record, out string problem);
        Assert.Equal(RegistryParse.Damaged, parse);
        Assert.Null(record);
        Assert.NotEmpty(problem);
    }

    [Fact]
    public void Field_of_a_later_version_with_the_same_format_is_passed_over()
    {
        JsonObject document = Parse();
        document["comment"] = "added later";
        Assert.Equal(RegistryParse.Ok, Decode(document.ToJsonString(), out _));
    }

    [Theory]
    [InlineData("format", "0")]
    [InlineData("format", "-1")]
    [InlineData("format", "1.5")]
    [InlineData("format", "99999999999999999999")]
    [InlineData("format", "\"1\"")]
    [InlineData("format", null)]
    [InlineData("name", "\"disk2\"")]
    [InlineData("name", "null")]
    [InlineData("name", null)]
    [InlineData("uuid", "\"\"")]
    [InlineData("uuid", "\"00000000-0000-0000-0000-000000000000\"")]
    [InlineData("uuid", "{}")]
    [InlineData("uuid", null)]
    [InlineData("main", "[]")]
    [InlineData("main", "null")]
    [InlineData("main", null)]
    [InlineData("unitBytes", "0")]
    [InlineData("unitBytes", "-4096")]
    [InlineData("unitBytes", "2048")]
    [InlineData("unitBytes", "12288")]
    [InlineData("unitBytes", "65536")]
    [InlineData("unitBytes", null)]
    [InlineData("spares", "[]")]
    [InlineData("spares", "[null]")]
    [InlineData("spares", "[[]]")]
    [InlineData("spares", "{}")]
    [InlineData("spares", null)]
    [InlineData("lost", "\"SALVAGE\"")]
    [InlineData("lost", "1")]
    [InlineData("lost", null)]
    [InlineData("created", "\"yesterday\"")]
    [InlineData("created", null)]
    public void Field_that_is_wrong_or_missing_is_damage(string field, string? value)
    {
        JsonObject document = Parse();
        document.Remove(field);
        if (value is not null)
        {
            document[field] = JsonNode.Parse(value);
        }
        Assert.Equal(RegistryParse.Damaged, Decode(document.ToJsonString(), out string problem));
        Assert.StartsWith("it", problem, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("path", "\"relative\"")]
    [InlineData("path", "\"/\"")]
    [InlineData("path", "\"/dev/sd\\u0000a\"")]
    [InlineData("path", "null")]
    [InlineData("sizeBytes", "0")]
    [InlineData("sizeBytes", "-1")]
    [InlineData("sizeBytes", "1e300")]
    [InlineData("sizeBytes", "9223372036854775808")]
    [InlineData("blockSize", "0")]
    [InlineData("blockSize", "513")]
    [InlineData("blockSize", "8192")]
    [InlineData("blockSize", "-512")]
    [InlineData("physicalBlockSize", "256")]
    [InlineData("physicalBlockSize", "4095")]
    [InlineData("physicalBlockSize", "8192")]
    [InlineData("alignmentOffset", "-512")]
    [InlineData("alignmentOffset", "100")]
    [InlineData("alignmentOffset", "4096")]
    public void Main_device_that_cannot_be_is_damage(string field, string value)
    {
        JsonObject document = Parse();
        document["main"]![field] = JsonNode.Parse(value);
        Assert.Equal(RegistryParse.Damaged, Decode(document.ToJsonString(), out _));
    }

    [Fact]
    public void Nine_spares_or_one_twice_is_damage()
    {
        JsonObject document = Parse();
        JsonArray spares = document["spares"]!.AsArray();
        spares.Add(spares[0]!.DeepClone());
        Assert.Equal(RegistryParse.Damaged, Decode(document.ToJsonString(), out string problem));
        Assert.Contains("/dev/sdb1", problem, StringComparison.Ordinal);
        for (int i = 1; i < 9; i++)
        {
            JsonNode spare = spares[0]!.DeepClone();
            spare["uuid"] = $"7c9e6679-7425-40de-944b-e07fc1f90a{i:d2}";
            spares.Add(spare);
        }
        spares.RemoveAt(1);
        Assert.Equal(RegistryParse.Damaged, Decode(document.ToJsonString(), out problem));
        Assert.Contains("1 to 8", problem, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("1")]
    [InlineData("\"format\"")]
    [InlineData("{}")]
    [InlineData("{\"format\":1}")]
    [InlineData("{\"format\":1} trailing")]
    [InlineData("{\"format\":1,\"format\":1}")]
    [InlineData("{'format':1}")]
    [InlineData("\u0000\u0000\u0000\u0000")]
    public void Text_that_is_no_record_is_damage(string text) =>
        Assert.Equal(RegistryParse.Damaged, Decode(text, out _));

    [Fact]
    public void Duplicate_field_is_damage()
    {
        string text = Golden.Replace("\"lost\"", "\"name\": \"disk1\", \"lost\"", StringComparison.Ordinal);
        Assert.Equal(RegistryParse.Damaged, Decode(text, out _));
    }

    [Fact]
    public void Deep_and_huge_texts_are_damage()
    {
        string deep = "{\"format\":1,\"x\":" + new string('[', 100_000) + new string(']', 100_000) + "}";
        Assert.Equal(RegistryParse.Damaged, Decode(deep, out _));
        string huge = Golden + new string(' ', RegistryCodec.FileBytesMax);
        Assert.Equal(RegistryParse.Damaged, Decode(huge, out string problem));
        Assert.Contains("longer", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Text_that_goes_on_after_the_record_is_damage() =>
        Assert.Equal(RegistryParse.Damaged, Decode(Golden + Golden, out _));

    [Fact]
    public void Newer_format_is_recognised_whatever_else_it_holds()
    {
        Assert.Equal(
            RegistryParse.Newer, Decode("{\"format\":2,\"name\":7,\"main\":[[[]]]}", out string problem));
        Assert.Contains('2', problem);
    }

    [Fact]
    public void Any_bytes_are_answered_without_an_exception()
    {
        byte[] good = Encoding.UTF8.GetBytes(Golden);
        for (int seed = 0; seed < 3000; seed++)
        {
            Random random = new(seed);
            byte[] text = (byte[])good.Clone();
            for (int flips = 1 + random.Next(4); flips > 0; flips--)
            {
                text[random.Next(text.Length)] = (byte)random.Next(256);
            }
            RegistryParse parse =
                RegistryCodec.Decode(text, "disk1", out DeviceRecord? record, out string problem);
            Assert.True(parse != RegistryParse.None, $"seed={seed}");
            Assert.True((parse == RegistryParse.Ok) == (record is not null), $"seed={seed}");
            Assert.True((parse == RegistryParse.Ok) == (problem.Length == 0), $"seed={seed}");
        }
    }

    private static JsonObject Parse() => JsonNode.Parse(Golden)!.AsObject();

    private static RegistryParse Decode(string text, out string problem) =>
        RegistryCodec.Decode(Encoding.UTF8.GetBytes(text), "disk1", out _, out problem);
}
