using System;
using System.Collections.Generic;
using System.Globalization;
using System.Numerics;
using System.Text.Json;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Registry;

/// <summary>How reading a registry file ended. The default is not success.</summary>
public enum RegistryParse
{
    None = 0,
    Ok = 1,

    /// <summary>Truncated, damaged or not ours. Never treated as absent.</summary>
    Damaged = 2,

    /// <summary>Written by a newer version.</summary>
    Newer = 3,
}

/// <summary>Text of NAME.json to record and back. Pure; any bytes are legal input.</summary>
public static class RegistryCodec
{
    public const int Format = 1;

    /// <summary>
    /// A file is refused beyond this: nine of the longest paths, every letter escaped, need less.
    /// </summary>
    public const int FileBytesMax = 256 * 1024;

    internal const int DepthMax = 8;

    private const int PathLengthMax = 4096;

    private const string Adding = "adding";
    private const string Removing = "removing";

    public static byte[] Encode(DeviceRecord record)
    {
        Invariant.Check(DeviceName.IsValid(record.Name));
        SpareDocument[] spares = new SpareDocument[record.Spares.Count];
        for (int i = 0; i < spares.Length; i++)
        {
            SpareRecord spare = record.Spares[i];
            spares[i] = new SpareDocument
            {
                Path = spare.Path,
                Uuid = spare.Uuid.ToString("D"),
                Transit = spare.Transit switch
                {
                    SpareTransit.Adding => Adding,
                    SpareTransit.Removing => Removing,
                    _ => null,
                },
            };
        }
        RegistryDocument document = new()
        {
            Format = Format,
            Name = record.Name,
            Uuid = record.SetUuid.ToString("D"),
            Main = new MainDocument
            {
                Path = record.MainPath,
                SizeBytes = record.MainBytes,
                BlockSize = record.BlockBytes,
                PhysicalBlockSize = record.PhysicalBlockBytes,
                AlignmentOffset = record.AlignmentOffsetBytes,
            },
            UnitBytes = record.UnitBytes,
            Spares = spares,
            Lost = record.Lost == LostPolicy.Strict ? "strict" : "salvage",
            Created = record.Created.ToString("O", CultureInfo.InvariantCulture),
        };
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(document, RegistryJson.Default.RegistryDocument);
        byte[] text = new byte[json.Length + 1];
        json.CopyTo(text, 0);
        text[^1] = (byte)'\n';

        // Read back what is about to be made durable: a record that we would refuse tomorrow is a bug today.
        RegistryParse parse = Decode(text, record.Name, out _, out string problem);
        Invariant.Check(parse == RegistryParse.Ok, $"registry record must be readable: {problem}");
        return text;
    }

    /// <summary>
    /// Parse, then verify. On Damaged, problem says what is wrong; on Newer, which format it is.
    /// </summary>
    public static RegistryParse Decode(
        ReadOnlySpan<byte> text, string expectedName, out DeviceRecord? record, out string problem)
    {
        record = null;
        if (text.Length > FileBytesMax)
        {
            problem = $"it is longer than {FileBytesMax} bytes";
            return RegistryParse.Damaged;
        }
        RegistryParse format = CheckFormat(text, Format, out problem);
        if (format != RegistryParse.Ok)
        {
            return format;
        }
        RegistryDocument? document;
        try
        {
            document = JsonSerializer.Deserialize(text, RegistryJson.Default.RegistryDocument);
        }
        catch (Exception error) when (IsBadText(error))
        {
            problem = Describe(error);
            return RegistryParse.Damaged;
        }
        Invariant.Check(document is not null);
        string? wrong = Verify(document, expectedName, out record);
        problem = wrong ?? string.Empty;
        return wrong is null ? RegistryParse.Ok : RegistryParse.Damaged;
    }

    /// <summary>
    /// The format alone, first: a newer version may have changed the type of everything else.
    /// </summary>
    internal static RegistryParse CheckFormat(ReadOnlySpan<byte> text, int known, out string problem)
    {
        try
        {
            Utf8JsonReader reader = new(text, new JsonReaderOptions { MaxDepth = DepthMax });
            using JsonDocument document = JsonDocument.ParseValue(ref reader);
            if (document.RootElement.ValueKind != JsonValueKind.Object
                || !document.RootElement.TryGetProperty("format", out JsonElement format)
                || format.ValueKind != JsonValueKind.Number)
            {
                problem = "it has no field \"format\"";
                return RegistryParse.Damaged;
            }
            if (!format.TryGetInt32(out int number) || number < 1)
            {
                problem = "its field \"format\" is not a format number";
                return RegistryParse.Damaged;
            }
            problem = number > known ? $"format {number}" : string.Empty;
            return number > known ? RegistryParse.Newer : RegistryParse.Ok;
        }
        catch (Exception error) when (IsBadText(error))
        {
            problem = Describe(error);
            return RegistryParse.Damaged;
        }
    }

    /// <summary>The second is thrown for a name or text with half a surrogate pair.</summary>
    internal static bool IsBadText(Exception error) => error is JsonException or InvalidOperationException;

    internal static string Describe(Exception problem)
    {
        if (problem is not JsonException error)
        {
            return "it holds text that is not Unicode";
        }
        string place = error.LineNumber is long line ? $" (line {line + 1})" : string.Empty;
        string field =
            string.IsNullOrEmpty(error.Path) || error.Path == "$" ? string.Empty : $" at {error.Path}";
        return $"it is not complete, valid JSON of this format{field}{place}";
    }

    private static string? Verify(RegistryDocument document, string expectedName, out DeviceRecord? record)
    {
        record = null;
        if (document.Name != expectedName)
        {
            return $"it describes \"{document.Name}\", not \"{expectedName}\"";
        }
        if (!TryUuid(document.Uuid, out Guid set))
        {
            return "its field \"uuid\" is not a UUID";
        }
        if (VerifyMain(document.Main, document.UnitBytes) is string wrong)
        {
            return wrong;
        }
        if (VerifySpares(document.Spares, out List<SpareRecord> spares) is string wrongSpare)
        {
            return wrongSpare;
        }
        if (!TryLostPolicy(document.Lost, out LostPolicy lost))
        {
            return "its field \"lost\" is neither \"salvage\" nor \"strict\"";
        }
        if (!DateTimeOffset.TryParseExact(
            document.Created,
            "O",
            CultureInfo.InvariantCulture,
            DateTimeStyles.None,
            out DateTimeOffset created))
        {
            return "its field \"created\" is not a time";
        }
        MainDocument main = document.Main!;
        record = new DeviceRecord
        {
            Name = expectedName,
            SetUuid = set,
            MainPath = main.Path!,
            MainBytes = main.SizeBytes!.Value,
            BlockBytes = main.BlockSize!.Value,
            PhysicalBlockBytes = main.PhysicalBlockSize!.Value,
            AlignmentOffsetBytes = main.AlignmentOffset!.Value,
            UnitBytes = document.UnitBytes!.Value,
            Spares = spares,
            Created = created,
            Lost = lost,
        };
        return null;
    }

    private static string? VerifyMain(MainDocument? main, int? unitBytes)
    {
        if (main is null || !(IsPath(main.Path) || IsMemory(main.Path)))
        {
            return "its field \"main.path\" is not an absolute path, an NBD URI or a size of memory";
        }
        if (main.BlockSize is not int block || !BitOperations.IsPow2(block) || block is < 512 or > 4096)
        {
            return "its field \"main.blockSize\" is not 512, 1024, 2048 or 4096";
        }
        if (main.PhysicalBlockSize is not int physical || !BitOperations.IsPow2(physical) || physical < block)
        {
            return "its field \"main.physicalBlockSize\" is not a power of two of at least the block size";
        }
        if (main.SizeBytes is not long size || size < block)
        {
            return "its field \"main.sizeBytes\" is not the size of a device";
        }
        if (main.AlignmentOffset is not int offset || offset < 0 || offset >= physical || offset % block != 0)
        {
            return "its field \"main.alignmentOffset\" is not a number of blocks below the physical block"
                + " size";
        }
        if (unitBytes is not int unit || !BitOperations.IsPow2(unit) || unit < physical
            || unit < Limits.UnitBytesMin || unit / block > Limits.UnitBlocksMax)
        {
            return "its field \"unitBytes\" is not a unit size for this block size";
        }
        return null;
    }

    private static string? VerifySpares(SpareDocument?[]? documents, out List<SpareRecord> spares)
    {
        spares = [];
        if (documents is null || documents.Length is 0 or > Limits.SparesMax)
        {
            return $"its field \"spares\" does not list 1 to {Limits.SparesMax} spares";
        }
        HashSet<Guid> seen = [];
        foreach (SpareDocument? spare in documents)
        {
            if (spare is null || !IsPath(spare.Path))
            {
                return "it has a spare without an absolute path or an NBD URI";
            }
            if (!TryUuid(spare.Uuid, out Guid uuid) || !seen.Add(uuid))
            {
                return $"its spare {spare.Path} has no UUID of its own";
            }
            if (spare.Transit is not (null or Adding or Removing))
            {
                return $"its spare {spare.Path} is neither being added nor being removed";
            }
            spares.Add(new SpareRecord(spare.Path!, uuid)
            {
                Transit = spare.Transit switch
                {
                    Adding => SpareTransit.Adding,
                    Removing => SpareTransit.Removing,
                    _ => SpareTransit.None,
                },
            });
        }
        return null;
    }

    private static bool IsPath(string? path) =>
        path is not null && path.Length is > 1 and <= PathLengthMax && !path.Contains('\0')
            && (path[0] == '/' || IsExport(path));

    /// <summary>Whether the rest of it can be used is decided by whoever opens it.</summary>
    private static bool IsExport(string path) =>
        path.StartsWith("nbd://", StringComparison.Ordinal)
            || path.StartsWith("nbd+unix://", StringComparison.Ordinal);

    private static bool IsMemory(string? path) =>
        path is not null && path.Length <= PathLengthMax
            && path.StartsWith("memory:", StringComparison.Ordinal);

    internal static bool TryUuid(string? text, out Guid uuid) =>
        Guid.TryParseExact(text, "D", out uuid) && uuid != Guid.Empty;

    private static bool TryLostPolicy(string? text, out LostPolicy policy)
    {
        policy = text switch
        {
            "salvage" => LostPolicy.Salvage,
            "strict" => LostPolicy.Strict,
            _ => LostPolicy.None,
        };
        return policy != LostPolicy.None;
    }
}
