using System;
using System.Globalization;

namespace DmRemap.Cli.Parsing;

/// <summary>Sizes in bytes: "4096", "64K", "16M", "1G", "2T", also "16MiB". Powers of 1024.</summary>
internal static class SizeText
{
    public const string Form = "a number of bytes, or one with K, M, G or T (powers of 1024), as in 64M";

    /// <summary>False for anything else, for zero, and for what does not fit 63 bits.</summary>
    public static bool TryParse(string text, out long bytes)
    {
        ReadOnlySpan<char> rest = text;
        if (rest.EndsWith("iB", StringComparison.Ordinal))
        {
            rest = rest[..^2];
            bool hasUnit = rest.Length > 0 && ShiftOf(rest[^1]) != 0;
            if (!hasUnit)
            {
                bytes = 0;
                return false;
            }
        }
        int shift = rest.Length == 0 ? 0 : ShiftOf(rest[^1]);
        ReadOnlySpan<char> digits = shift == 0 ? rest : rest[..^1];
        bool isNumber =
            long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out long number);
        bytes = 0;
        if (!isNumber || number == 0 || number > long.MaxValue >> shift)
        {
            return false;
        }
        bytes = number << shift;
        return true;
    }

    /// <summary>Of what TryParse does not take.</summary>
    public static string Problem(string text)
    {
        ReadOnlySpan<char> digits = text.AsSpan().TrimStart("0123456789");
        string unit = digits.ToString();
        bool isSize = unit.Length < text.Length
            && (unit.Length == 0 || (ShiftOf(unit[0]) != 0 && unit[1..] is "" or "iB"));
        return isSize && text.AsSpan().TrimStart('0').Length > unit.Length
            ? "that is too large: a size is less than 8 EiB"
            : $"expected {Form}";
    }

    private static int ShiftOf(char unit) => char.ToUpperInvariant(unit) switch
    {
        'K' => 10,
        'M' => 20,
        'G' => 30,
        'T' => 40,
        _ => 0,
    };
}
