using System;
using System.Globalization;
using System.Text.Json;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Control.Registry;

/// <summary>NAME.state as it is written; parsed first and verified afterwards.</summary>
internal sealed class HostWitnessDocument
{
    public int? Format { get; init; }

    public string? Name { get; init; }

    public string? Uuid { get; init; }

    /// <summary>16 hexadecimal digits: many a reader of JSON loses digits of such a number.</summary>
    public string? Epoch { get; init; }

    public long? Generation { get; init; }

    public long? JournalSequence { get; init; }
}

/// <summary>Text of NAME.state to witness and back. Pure; any bytes are legal input.</summary>
public static class HostWitnessCodec
{
    public const int Format = 1;

    public const int FileBytesMax = 4096;

    public static byte[] Encode(HostWitness witness)
    {
        Invariant.Check(DeviceName.IsValid(witness.Name));
        HostWitnessDocument document = new()
        {
            Format = Format,
            Name = witness.Name,
            Uuid = witness.SetUuid.ToString("D"),
            Epoch = witness.Point.Epoch.ToString("x16", CultureInfo.InvariantCulture),
            Generation = checked((long)witness.Point.Generation),
            JournalSequence = checked((long)witness.Point.JournalSequence),
        };
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(document, RegistryJson.Default.HostWitnessDocument);
        byte[] text = new byte[json.Length + 1];
        json.CopyTo(text, 0);
        text[^1] = (byte)'\n';
        RegistryParse parse = Decode(text, witness.Name, out _, out string problem);
        Invariant.Check(parse == RegistryParse.Ok, $"the state must be readable: {problem}");
        return text;
    }

    /// <summary>
    /// Parse, then verify. On Damaged, problem says what is wrong; on Newer, which format it is.
    /// </summary>
    public static RegistryParse Decode(
        ReadOnlySpan<byte> text, string expectedName, out HostWitness? witness, out string problem)
    {
        witness = null;
        if (text.Length > FileBytesMax)
        {
            problem = $"it is longer than {FileBytesMax} bytes";
            return RegistryParse.Damaged;
        }
        RegistryParse format = RegistryCodec.CheckFormat(text, Format, out problem);
        if (format != RegistryParse.Ok)
        {
            return format;
        }
        HostWitnessDocument? document;
        try
        {
            document = JsonSerializer.Deserialize(text, RegistryJson.Default.HostWitnessDocument);
        }
        catch (Exception error) when (RegistryCodec.IsBadText(error))
        {
            problem = RegistryCodec.Describe(error);
            return RegistryParse.Damaged;
        }
        Invariant.Check(document is not null);
        problem = Verify(document, expectedName, out witness) ?? string.Empty;
        return witness is null ? RegistryParse.Damaged : RegistryParse.Ok;
    }

    private static string? Verify(
        HostWitnessDocument document, string expectedName, out HostWitness? witness)
    {
        witness = null;
        if (document.Name != expectedName)
        {
            return $"it describes \"{document.Name}\", not \"{expectedName}\"";
        }
        if (!RegistryCodec.TryUuid(document.Uuid, out Guid set))
        {
            return "its field \"uuid\" is not a UUID";
        }
        bool isHex = ulong.TryParse(
            document.Epoch, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong epoch);
        if (!isHex || epoch == 0 || document.Epoch!.Length != 16)
        {
            return "its field \"epoch\" is not an epoch";
        }
        if (document.Generation is not long generation || generation < 0)
        {
            return "its field \"generation\" is not a generation";
        }
        if (document.JournalSequence is not long sequence || sequence < 0)
        {
            return "its field \"journalSequence\" is not a number of a journal record";
        }
        witness = new HostWitness(
            expectedName, set, new HistoryPoint(epoch, (ulong)generation, (ulong)sequence));
        return null;
    }
}
