using System;
using System.Collections.Generic;
using System.Globalization;
using System.Threading.Tasks;
using DmRemap.Cli.Losses;
using DmRemap.Core.Faults;

namespace DmRemap.Cli.Drives;

/// <summary>
/// One drive's error recovery (F-35): read, and set where a person asked for that; put back at the end. What
/// cannot be had is said, and changes nothing else. Not on the data thread; one call at a time.
/// </summary>
internal sealed class DriveErrorRecovery(
    string path, ErrorRecoveryPolicy policy, IDriveTools tools, Action<string> say)
{
    private volatile ErrorRecoveryReading? _reading;
    private ErrorRecoveryLimits? _before;
    private int? _timeoutBefore;
    private string _said = string.Empty;

    public string Path { get; } = path;

    /// <summary>Null: not asked yet.</summary>
    public ErrorRecoveryReading? Reading => _reading;

    /// <summary>The kernel's, in seconds; null: not known.</summary>
    public int? CommandTimeoutSeconds { get; private set; }

    /// <summary>At the start, and again when the disk was away: a drive forgets it with its power.</summary>
    public async Task ApplyAsync()
    {
        ErrorRecoveryReading now = await AskAsync([]);
        CommandTimeoutSeconds = tools.CommandTimeoutOf(Path);
        if (policy.Choice == ErrorRecoveryChoice.Keep)
        {
            _reading = now;
            SayIfEarly(now);
            return;
        }
        if (now.Limits is not ErrorRecoveryLimits limits)
        {
            _reading = now;
            // A drive without it may take its time, too.
            bool isWaitedFor = policy.Choice == ErrorRecoveryChoice.Max && TryRaiseTimeout();
            string waits = isWaitedFor ? $" The kernel waits {TimeoutText()} for a command." : "";
            Say($"DMR-EVENT-ERC-FAILED {Path}: its error recovery cannot be set: {now.Why}. It is served as "
                + $"it is; leave --erc out, or install smartmontools where smartctl is missing.{waits}");
            return;
        }
        // The time-out first: a kernel that resets a drive in its tries loses more than the sector.
        if (!TryRaiseTimeout())
        {
            _reading = now;
            Say($"DMR-EVENT-ERC-FAILED {Path}: the kernel gives a command {TimeoutText()}, too short for "
                + "that, and cannot be told otherwise; the drive's error recovery stays as it is.");
            return;
        }
        if (policy.Wanted(limits) is ErrorRecoveryLimits wanted)
        {
            _before ??= limits;
            await SetAsync(wanted);
            return;
        }
        _reading = now;
    }

    /// <summary>As it was before the first change.</summary>
    public async Task RestoreAsync()
    {
        if (_before is ErrorRecoveryLimits before)
        {
            _before = null;
            _ = await AskAsync([SetText(before)]);
        }
        if (_timeoutBefore is int seconds)
        {
            _timeoutBefore = null;
            _ = tools.TrySetCommandTimeout(Path, seconds);
        }
    }

    private async Task SetAsync(ErrorRecoveryLimits wanted)
    {
        _ = await AskAsync([SetText(wanted)]);
        // What it says afterwards counts, not that it took the command.
        ErrorRecoveryReading after = await AskAsync([]);
        _reading = after;
        string text = ErrorRecoveryText.Of(wanted);
        Say(after.Limits == wanted
            ? $"DMR-EVENT-ERC-SET {Path}: error recovery is set: {text}; it is put back when the device is "
                + "stopped."
            : $"DMR-EVENT-ERC-FAILED {Path}: its error recovery could not be set ({text} was wanted); now: "
                + $"{ErrorRecoveryText.Of(after)}.");
    }

    /// <summary>False: it is too short, and stays so.</summary>
    private bool TryRaiseTimeout()
    {
        int least = policy.CommandTimeoutSecondsLeast;
        if (CommandTimeoutSeconds is not int now)
        {
            return false;
        }
        if (now >= least)
        {
            return true;
        }
        if (!tools.TrySetCommandTimeout(Path, least))
        {
            return false;
        }
        _timeoutBefore ??= now;
        CommandTimeoutSeconds = least;
        return true;
    }

    private async Task<ErrorRecoveryReading> AskAsync(IReadOnlyList<string> set)
    {
        string log = set.Count == 0 ? "scterc" : set[0];
        ToolAnswer answer = await tools.SmartctlAsync(["--json", "-l", log, "--", Path]);
        return answer.ExitCode is null
            ? ErrorRecoveryReading.Unknown(answer.Why)
            : SmartctlAnswer.Parse(answer.Output);
    }

    private void SayIfEarly(ErrorRecoveryReading now)
    {
        if (now.Limits is { GivesUpReadsEarly: true } limits)
        {
            Say($"DMR-EVENT-ERC-SHORT {Path}: the disk gives up early ({ErrorRecoveryText.Of(limits)}): weak "
                + "sectors may be lost that more tries would have read. serve --erc=max lets it try.");
        }
    }

    private string TimeoutText() => CommandTimeoutSeconds is int seconds ? $"{seconds} s" : "an unknown time";

    private static string SetText(ErrorRecoveryLimits limits) => string.Create(
        CultureInfo.InvariantCulture, $"scterc,{limits.ReadDeciseconds},{limits.WriteDeciseconds}");

    /// <summary>Once, until it changes.</summary>
    private void Say(string line)
    {
        if (line != _said)
        {
            _said = line;
            say(line);
        }
    }
}
