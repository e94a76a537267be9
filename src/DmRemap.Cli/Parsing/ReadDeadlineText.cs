using System.Globalization;

namespace DmRemap.Cli.Parsing;

/// <summary>What `--read-deadline` takes.</summary>
internal static class ReadDeadlineText
{
    public const string Form = "SECONDS|none";

    public const double SecondsMin = 0.1;

    public const double SecondsMax = 86_400;

    /// <summary>None, and 0, are 0.</summary>
    public static bool TryParse(string text, out double seconds)
    {
        seconds = 0;
        if (text == "none")
        {
            return true;
        }
        bool isNumber = double.TryParse(
            text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out seconds);
        return isNumber && (seconds == 0 || seconds is >= SecondsMin and <= SecondsMax);
    }
}
