using System;
using System.Globalization;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;

namespace DmRemap.Cli.Parsing;

/// <summary>What `--on-gone` takes.</summary>
internal static class OnGoneText
{
    public const string Form = "hold[:SECONDS]|fail";

    private const string HoldFor = "hold:";

    /// <summary>A year and more: longer says the same as for ever, and must not overflow.</summary>
    private const int SecondsMax = 100_000_000;

    public static bool TryParse(string text, out OnGone policy)
    {
        policy = text == "hold" ? OnGone.Hold : OnGone.Fail;
        if (text is "hold" or "fail")
        {
            return true;
        }
        if (!text.StartsWith(HoldFor, StringComparison.Ordinal))
        {
            return false;
        }
        bool isNumber = int.TryParse(
            text.AsSpan(HoldFor.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int seconds);
        if (!isNumber || seconds is < 1 or > SecondsMax)
        {
            return false;
        }
        policy = OnGone.HoldFor(Duration.FromSeconds(seconds));
        return true;
    }
}
