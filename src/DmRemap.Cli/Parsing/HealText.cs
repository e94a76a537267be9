using System;
using System.Globalization;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Healing;

namespace DmRemap.Cli.Parsing;

/// <summary>What `--heal` takes.</summary>
internal static class HealText
{
    public const string Form = "on[:SECONDS]|off";

    private const string OnEvery = "on:";

    /// <summary>A year and more: longer says the same as off, and must not overflow.</summary>
    private const int SecondsMax = 100_000_000;

    public static bool TryParse(string text, out HealPolicy policy)
    {
        policy = text == "on" ? HealPolicy.Default : HealPolicy.Off;
        if (text is "on" or "off")
        {
            return true;
        }
        if (!text.StartsWith(OnEvery, StringComparison.Ordinal))
        {
            return false;
        }
        bool isNumber = int.TryParse(
            text.AsSpan(OnEvery.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int seconds);
        policy = HealPolicy.Every(Duration.FromSeconds(seconds));
        return isNumber && seconds is >= 1 and <= SecondsMax;
    }
}
