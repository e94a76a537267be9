using System;
using System.Globalization;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Output;

/// <summary>Numbers as people read them, without a culture.</summary>
internal static class Amounts
{
    private static readonly string[] s_decimalUnits = ["", "K", "M", "G", "T", "P", "E"];

    /// <summary>"512 B", "1.5 MiB", "2 TiB": rounded down, so that no disk looks larger than it is.</summary>
    public static string Bytes(long bytes) => AmountText.Bytes(bytes);

    /// <summary>At most six characters: "0", "99999", "123.4K".</summary>
    public static string Count(long count)
    {
        if (count < 100_000)
        {
            return count.ToString(CultureInfo.InvariantCulture);
        }
        int unit = 0;
        long scale = 1;
        while (count / scale >= 1000)
        {
            scale *= 1000;
            unit++;
        }
        return AmountText.Scaled(count, scale) + s_decimalUnits[unit];
    }

    /// <summary>"1 block", "2 blocks".</summary>
    public static string Plural(long count, string singular) =>
        count == 1 ? $"1 {singular}" : $"{count.ToString(CultureInfo.InvariantCulture)} {singular}s";

    public static string Plural(long count, string singular, string plural) =>
        count == 1 ? $"1 {singular}" : $"{count.ToString(CultureInfo.InvariantCulture)} {plural}";

    /// <summary>"block 5000", "blocks 800-815": both included.</summary>
    public static string Blocks(long first, long last) =>
        (first == last ? "block " : "blocks ") + Range(first, last);

    /// <summary>"5000", "800-815".</summary>
    public static string Range(long first, long last) =>
        first == last
            ? first.ToString(CultureInfo.InvariantCulture)
            : string.Create(CultureInfo.InvariantCulture, $"{first}-{last}");

    /// <summary>"1 read", "123.4K reads": for what is counted without end.</summary>
    public static string CountOf(long count, string singular, string plural) =>
        $"{Count(count)} {(count == 1 ? singular : plural)}";

    /// <summary>"12 %", "&lt;1 %"; "0 %" only for nothing and "100 %" only for all.</summary>
    public static string Percent(long part, long whole)
    {
        if (part <= 0 || whole <= 0)
        {
            return "0 %";
        }
        long percent = part >= whole ? 100 : Math.Min((long)((double)part / whole * 100), 99);
        return percent == 0 ? "<1 %" : $"{percent} %";
    }

    /// <summary>"42 s", "3 min 12 s", "5 h 7 min", "12 d 3 h".</summary>
    public static string Time(long seconds) => seconds switch
    {
        < 60 => $"{seconds} s",
        < 3600 => $"{seconds / 60} min {seconds % 60} s",
        < 86_400 => $"{seconds / 3600} h {seconds / 60 % 60} min",
        _ => $"{seconds / 86_400} d {seconds / 3600 % 24} h",
    };

    /// <summary>"0.4 µs", "85 µs", "1.2 ms", "31 s": two digits, where they mean something.</summary>
    public static string ShortTime(double microseconds)
    {
        (double value, string unit) = microseconds switch
        {
            < 999.5 => (microseconds, "µs"),
            < 999_500 => (microseconds / 1000, "ms"),
            _ => (microseconds / 1_000_000, "s"),
        };
        return value.ToString(value < 9.95 ? "0.#" : "0", CultureInfo.InvariantCulture) + " " + unit;
    }
}
