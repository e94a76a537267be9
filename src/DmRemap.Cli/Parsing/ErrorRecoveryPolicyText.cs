using System;
using System.Globalization;
using DmRemap.Core.Faults;

namespace DmRemap.Cli.Parsing;

/// <summary>What `--erc` takes.</summary>
internal static class ErrorRecoveryPolicyText
{
    public const string Form = "keep|SECONDS|SECONDS+max|max";

    private const string PatientEnd = "+max";

    public static bool TryParse(string text, out ErrorRecoveryPolicy policy)
    {
        policy = text == "max" ? ErrorRecoveryPolicy.Max : ErrorRecoveryPolicy.Keep;
        if (text is "keep" or "max")
        {
            return true;
        }
        bool isPatient = text.EndsWith(PatientEnd, StringComparison.Ordinal);
        ReadOnlySpan<char> number = isPatient ? text.AsSpan()[..^PatientEnd.Length] : text;
        bool isNumber = int.TryParse(
            number, NumberStyles.None, CultureInfo.InvariantCulture, out int seconds);
        if (!isNumber || seconds is < 1 or > ErrorRecoveryPolicy.SecondsMax)
        {
            return false;
        }
        policy = isPatient ? ErrorRecoveryPolicy.LimitThenMax(seconds) : ErrorRecoveryPolicy.Limit(seconds);
        return true;
    }
}
