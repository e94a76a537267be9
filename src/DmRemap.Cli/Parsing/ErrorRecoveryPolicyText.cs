using System.Globalization;
using DmRemap.Core.Faults;

namespace DmRemap.Cli.Parsing;

/// <summary>What `--erc` takes.</summary>
internal static class ErrorRecoveryPolicyText
{
    public const string Form = "keep|SECONDS|max";

    public static bool TryParse(string text, out ErrorRecoveryPolicy policy)
    {
        policy = text == "max" ? ErrorRecoveryPolicy.Max : ErrorRecoveryPolicy.Keep;
        if (text is "keep" or "max")
        {
            return true;
        }
        bool isNumber = int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int seconds);
        if (!isNumber || seconds is < 1 or > ErrorRecoveryPolicy.SecondsMax)
        {
            return false;
        }
        policy = ErrorRecoveryPolicy.Limit(seconds);
        return true;
    }
}
