using System;
using System.IO;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;

namespace DmRemap.Cli.Composition;

/// <summary>What `--faults FILE` names.</summary>
internal static class FaultsFile
{
    /// <exception cref="RefusalException">DMR-FAULTS-UNREADABLE, DMR-FAULTS-INVALID (exit 2).</exception>
    public static FaultRulesParsed Read(string path, DeviceGeometry geometry) =>
        Read(path, geometry.Bytes.Value);

    /// <inheritdoc cref="Read(string, DeviceGeometry)"/>
    public static FaultRulesParsed Read(string path, long diskBytes)
    {
        string text;
        try
        {
            text = File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new RefusalException(
                new Refusal(
                    "DMR-FAULTS-UNREADABLE", ExitCode.Usage, path,
                    $"The fault rules in {path} cannot be read: {e.Message}", "Check the path."),
                e);
        }
        FaultRulesParsed parsed = FaultRules.Parse(text, diskBytes / FaultRule.SectorBytes);
        if (parsed.IsOk)
        {
            return parsed;
        }
        throw new RefusalException(new Refusal(
            MessageIds.FaultsInvalid,
            ExitCode.Usage,
            path,
            $"{path}: {parsed.Errors[0]}.",
            "Write one rule a line: FIRST-LAST read|write|both [after=OPS] [tries=K] [errno=NAME] "
                + "[delay=MS]."));
    }
}
