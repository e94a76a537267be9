using System.Globalization;
using DmRemap.Core.Faults;

namespace DmRemap.Cli.Drives;

/// <summary>Error recovery in words.</summary>
internal static class ErrorRecoveryText
{
    public static string Of(ErrorRecoveryReading reading) =>
        reading.Limits is ErrorRecoveryLimits limits ? Of(limits) : reading.Why;

    public static string Of(ErrorRecoveryLimits limits) =>
        $"read {Time(limits.ReadDeciseconds)}, write {Time(limits.WriteDeciseconds)}";

    private static string Time(int deciseconds) => deciseconds == 0
        ? "as long as it likes"
        : string.Create(CultureInfo.InvariantCulture, $"{deciseconds / 10.0:0.0} s");
}
