using System;
using System.IO;
using System.Text.Json;
using DmRemap.Control.Protocol;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Output;

/// <summary>How a failed command is said: what, which device, what to do.</summary>
internal static class ErrorText
{
    private const int Width = 100;

    /// <summary>Shape: "dmremap: disk1: message", "  action", "  [ID]".</summary>
    public static void Write(TextWriter writer, Refusal refusal)
    {
        bool isNamed = refusal.Device.Length > 0 && refusal.Device != "-";
        // A message that begins with the device need not be told whose it is.
        bool saysWhose = refusal.Message.StartsWith(refusal.Device, StringComparison.Ordinal);
        string subject = isNamed && !saysWhose ? $"dmremap: {Printable(refusal.Device)}: " : "dmremap: ";
        writer.WriteLine(subject + Printable(refusal.Message));
        string force = refusal.CanBeForced ? " (--force does it nevertheless)" : "";
        TextWrap.Paragraph(writer, "  ", Printable(refusal.Action) + force, Width);
        writer.WriteLine($"  [{refusal.Id}]");
        writer.Flush();
    }

    public static void WriteJson(TextWriter writer, Refusal refusal)
    {
        ErrorDocument document = new(ControlError.Of(refusal));
        writer.WriteLine(JsonSerializer.Serialize(document, PlainJson.Types.ErrorDocument));
        writer.Flush();
    }

    /// <summary>A name or path from outside must not move the cursor of whoever reads it.</summary>
    private static string Printable(string text)
    {
        char[] letters = text.ToCharArray();
        for (int i = 0; i < letters.Length; i++)
        {
            if (char.IsControl(letters[i]) && letters[i] != '\n')
            {
                letters[i] = '?';
            }
        }
        return new string(letters);
    }
}
