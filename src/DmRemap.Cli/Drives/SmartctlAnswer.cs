using System;
using System.Text.Json;
using DmRemap.Cli.Losses;
using DmRemap.Core.Faults;

namespace DmRemap.Cli.Drives;

/// <summary>What is known of a drive's error recovery.</summary>
/// <param name="IsKnown">Whether it has any is known.</param>
/// <param name="Limits">Null: it has none, or that is not known.</param>
/// <param name="Why">In words, where there are no limits.</param>
internal sealed record ErrorRecoveryReading(bool IsKnown, ErrorRecoveryLimits? Limits, string Why)
{
    public static ErrorRecoveryReading Unknown(string why) => new(false, null, why);
}

/// <summary>
/// What `smartctl --json -l scterc` says, read without trust: it repeats what a drive, a bridge or another
/// program in its place has made up.
/// </summary>
internal static class SmartctlAnswer
{
    public const int CharsMax = 1 << 20;

    private const int WhyMax = 200;
    private const string NotUnderstood = "the answer of smartctl is not understood";

    public static ErrorRecoveryReading Parse(string json)
    {
        if (json.Length > CharsMax)
        {
            return ErrorRecoveryReading.Unknown(NotUnderstood);
        }
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? Read(document.RootElement)
                : ErrorRecoveryReading.Unknown(NotUnderstood);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // The second: text that is no valid UTF-16 when it is asked for.
            return ErrorRecoveryReading.Unknown(NotUnderstood);
        }
    }

    private static ErrorRecoveryReading Read(JsonElement root)
    {
        if (TryGet(root, "ata_sct_erc", JsonValueKind.Object, out JsonElement erc))
        {
            return TryLimit(erc, "read", out int read) && TryLimit(erc, "write", out int write)
                ? new ErrorRecoveryReading(true, new ErrorRecoveryLimits(read, write), "")
                : ErrorRecoveryReading.Unknown(NotUnderstood);
        }
        if (ErrorOf(root) is string error)
        {
            return ErrorRecoveryReading.Unknown(error);
        }
        if (!TryGet(root, "device", JsonValueKind.Object, out JsonElement device)
            || !TryGet(device, "protocol", JsonValueKind.String, out JsonElement protocol))
        {
            return ErrorRecoveryReading.Unknown(NotUnderstood);
        }
        string why = protocol.GetString() == "ATA"
            ? "the drive does not have it"
            : "only ATA drives have it";
        return new ErrorRecoveryReading(true, null, why);
    }

    /// <summary>0: no limit.</summary>
    private static bool TryLimit(JsonElement erc, string operation, out int deciseconds)
    {
        deciseconds = 0;
        if (!TryGet(erc, operation, JsonValueKind.Object, out JsonElement one)
            || !one.TryGetProperty("enabled", out JsonElement enabled))
        {
            return false;
        }
        if (enabled.ValueKind == JsonValueKind.False)
        {
            return true;
        }
        return enabled.ValueKind == JsonValueKind.True
            && TryGet(one, "deciseconds", JsonValueKind.Number, out JsonElement number)
            && number.TryGetInt32(out deciseconds)
            && deciseconds is > 0 and <= ErrorRecoveryLimits.DecisecondsMax;
    }

    private static string? ErrorOf(JsonElement root)
    {
        if (!TryGet(root, "smartctl", JsonValueKind.Object, out JsonElement program)
            || !TryGet(program, "messages", JsonValueKind.Array, out JsonElement messages))
        {
            return null;
        }
        foreach (JsonElement message in messages.EnumerateArray())
        {
            bool isError = message.ValueKind == JsonValueKind.Object
                && TryGet(message, "severity", JsonValueKind.String, out JsonElement severity)
                && severity.GetString() == "error";
            if (isError && TryGet(message, "string", JsonValueKind.String, out JsonElement text))
            {
                string plain = PlainText.Of(text.GetString()!);
                return plain.Length <= WhyMax ? plain : plain[..WhyMax] + "...";
            }
        }
        return null;
    }

    private static bool TryGet(JsonElement from, string name, JsonValueKind kind, out JsonElement found) =>
        from.TryGetProperty(name, out found) && found.ValueKind == kind;
}
