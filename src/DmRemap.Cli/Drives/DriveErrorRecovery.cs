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
    private volatile bool _isPutBack;
    private string _said = string.Empty;

    public string Path { get; } = path;

    /// <summary>Null: not asked yet.</summary>
    public ErrorRecoveryReading? Reading => _reading;

    /// <summary>The kernel's, in seconds; null: not known.</summary>
    public int? CommandTimeoutSeconds { get; private set; }

    /// <summary>At the start, and again when the disk was away: a drive forgets it with its power.</summary>
    /// <param name="isForLost">What was given up is being read again.</param>
    public async Task ApplyAsync(bool isForLost = false)
    {
        ErrorRecoveryPolicy now = isForLost ? policy.ForLost : policy;
        ErrorRecoveryReading reading = await AskAsync([]);
        CommandTimeoutSeconds = tools.CommandTimeoutOf(Path);
        if (_isPutBack)
        {
            return;
        }
        if (now.Choice == ErrorRecoveryChoice.Keep)
        {
            _reading = reading;
            SayIfEarly(reading);
            return;
        }
        if (reading.Limits is not ErrorRecoveryLimits limits)
        {
            _reading = reading;
            // A drive without it may take its time, too.
            bool isWaitedFor = now.Choice == ErrorRecoveryChoice.Max && TryRaiseTimeout(now);
            LowerTimeout(now);
            string waits = isWaitedFor ? $" The kernel waits {TimeoutText()} for a command." : "";
            Say($"DMR-EVENT-ERC-FAILED {Path}: its error recovery cannot be set: {reading.Why}. It is "
                + "served as it is; leave --erc out, or install smartmontools where smartctl is missing."
                + waits);
            return;
        }
        // The time-out first where the drive's time gets longer, and last where it gets shorter: a kernel
        // that resets a drive in its tries loses more than the sector.
        if (!TryRaiseTimeout(now))
        {
            _reading = reading;
            Say($"DMR-EVENT-ERC-FAILED {Path}: the kernel gives a command {TimeoutText()}, too short for "
                + "that, and cannot be told otherwise; the drive's error recovery stays as it is.");
            return;
        }
        if (now.Wanted(limits) is ErrorRecoveryLimits wanted)
        {
            _before ??= limits;
            await SetAsync(wanted, isForLost);
            if (_reading!.Limits != wanted)
            {
                return;
            }
        }
        else
        {
            _reading = reading;
        }
        LowerTimeout(now);
    }

    /// <summary>As it was before the first change. Nothing is set any more, by a late look neither.</summary>
    public async Task RestoreAsync()
    {
        _isPutBack = true;
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

    private async Task SetAsync(ErrorRecoveryLimits wanted, bool isForLost)
    {
        _ = await AskAsync([SetText(wanted)]);
        // What it says afterwards counts, not that it took the command.
        ErrorRecoveryReading after = await AskAsync([]);
        _reading = after;
        string text = ErrorRecoveryText.Of(wanted);
        string until = isForLost ? "what was lost has been tried again" : "the device is stopped";
        Say(after.Limits == wanted
            ? $"DMR-EVENT-ERC-SET {Path}: error recovery is set: {text}; it is put back when {until}."
            : $"DMR-EVENT-ERC-FAILED {Path}: its error recovery could not be set ({text} was wanted); now: "
                + $"{ErrorRecoveryText.Of(after)}.");
    }

    /// <summary>False: it is too short, and stays so.</summary>
    private bool TryRaiseTimeout(in ErrorRecoveryPolicy now)
    {
        int least = now.CommandTimeoutSecondsLeast;
        if (CommandTimeoutSeconds is not int seconds)
        {
            return false;
        }
        if (seconds >= least)
        {
            return true;
        }
        if (!tools.TrySetCommandTimeout(Path, least))
        {
            return false;
        }
        _timeoutBefore ??= seconds;
        CommandTimeoutSeconds = least;
        return true;
    }

    /// <summary>
    /// No longer than before we came, or than this needs: a drive that hangs is reset so much earlier.
    /// </summary>
    private void LowerTimeout(in ErrorRecoveryPolicy now)
    {
        if (_timeoutBefore is int before && CommandTimeoutSeconds is int seconds)
        {
            int needed = Math.Max(before, now.CommandTimeoutSecondsLeast);
            if (seconds > needed && tools.TrySetCommandTimeout(Path, needed))
            {
                CommandTimeoutSeconds = needed;
            }
        }
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
