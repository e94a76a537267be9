using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Composition;

/// <summary>A registered member that is not there: whoever opens it knows a path only.</summary>
internal static class MissingMember
{
    /// <summary>The same refusal, with the device and what the member is to it.</summary>
    public static RefusalException Of(DeviceRecord record, string path, RefusalException missing)
    {
        bool isMain = path == record.MainPath;
        string role = isMain ? "the main device" : "a spare";
        string option = isMain ? "--main PATH" : $"--spare {path} PATH";
        Refusal plain = missing.Refusal;
        return new RefusalException(
            plain with
            {
                Message = $"{path}, {role} of {record.Name}, is missing: {plain.Message}",
                Action = $"{plain.Action} If it has another path now: "
                    + $"`dmremap rebind {record.Name} {option}`.",
            },
            missing);
    }
}
