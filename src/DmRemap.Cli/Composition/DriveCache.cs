using System;
using System.Text.RegularExpressions;
using System.Threading.Tasks;
using DmRemap.Cli.Losses;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Composition;

/// <summary>
/// `serve --write-cache=off`: the drive's own volatile cache, by the tool for its kind. Asked afterwards
/// whether it is off, and refused where that cannot be done or be seen: who chose it relies on it. It stays
/// off until the drive loses power.
/// </summary>
internal sealed partial class DriveCache(Func<string, string[], Task<ToolAnswer>> run)
{
    /// <summary>For all questions and the switching, of a drive that may be busy with a bad sector.</summary>
    private static readonly TimeSpan s_timeLimit = TimeSpan.FromSeconds(30);

    public static DriveCache OfThisMachine(TimeProvider time)
    {
        ToolRun tools = new(s_timeLimit, time);
        return new DriveCache((program, arguments) => tools.RunAsync(program, arguments));
    }

    /// <summary>Off the data thread. What it does is done to the whole drive.</summary>
    /// <exception cref="RefusalException">DMR-WRITE-CACHE-...</exception>
    public async Task SwitchOffAsync(string path, DriveBus bus, string drive)
    {
        if (bus == DriveBus.Other)
        {
            throw Refused(
                "DMR-WRITE-CACHE-NO-DRIVE", ExitCode.Usage, path,
                $"{path} is no ATA or SCSI disk, so there is no drive's write cache to switch off.",
                "Use --write-cache=fua, which makes each write durable by itself, or leave the option out.");
        }
        if (await IsOffAsync(path, bus, drive))
        {
            return;
        }
        await (bus == DriveBus.Ata
            ? AskAsync(path, "hdparm", "-W0", drive)
            : AskAsync(path, "sdparm", "--clear=WCE", drive));
        if (!await IsOffAsync(path, bus, drive))
        {
            throw Refused(
                "DMR-WRITE-CACHE-STAYS-ON", ExitCode.Failed, path,
                $"The write cache of {drive} is still on after it was switched off: the drive, or a bridge "
                    + "in front of it, does not do it.",
                "Use --write-cache=fua.");
        }
    }

    private async Task<bool> IsOffAsync(string path, DriveBus bus, string drive)
    {
        bool isAta = bus == DriveBus.Ata;
        string said = await (isAta
            ? AskAsync(path, "hdparm", "-W", drive)
            : AskAsync(path, "sdparm", "--get=WCE", drive));
        Match state = isAta ? AtaState().Match(said) : ScsiState().Match(said);
        if (!state.Success)
        {
            throw Refused(
                "DMR-WRITE-CACHE-FAILED", ExitCode.Failed, path,
                $"Whether the write cache of {drive} is on could not be found out: its answer says nothing "
                    + "of it.",
                "Use --write-cache=fua.");
        }
        return state.Groups[1].Value == "0";
    }

    private async Task<string> AskAsync(string path, string program, params string[] arguments)
    {
        ToolAnswer answer = await run(program, arguments);
        if (answer.ExitCode == 0)
        {
            return answer.Output;
        }
        bool isMissing = answer.ExitCode is null
            && answer.Why.EndsWith("is not installed", StringComparison.Ordinal);
        throw Refused(
            isMissing ? "DMR-WRITE-CACHE-NO-TOOL" : "DMR-WRITE-CACHE-FAILED",
            isMissing ? ExitCode.MissingHere : ExitCode.Failed,
            path,
            $"The write cache of the drive was not switched off: {answer.Why.TrimEnd('.')}.",
            isMissing
                ? $"Install {program}, or use --write-cache=fua."
                : "Look at the kernel's log for this disk, or use --write-cache=fua.");
    }

    private static RefusalException Refused(
        string id, ExitCode exitCode, string path, string message, string action) =>
        new(new Refusal(id, exitCode, path, message, action));

    /// <summary>" write-caching =  0 (off)"</summary>
    [GeneratedRegex(@"write-caching\s*=\s*(\d)")]
    private static partial Regex AtaState();

    /// <summary>"WCE           0  [cha: y, def:  1, sav:  1]"</summary>
    [GeneratedRegex(@"WCE\s+(\d)")]
    private static partial Regex ScsiState();
}
