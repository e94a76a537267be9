using System;
using System.Diagnostics.CodeAnalysis;

namespace DmRemap.Core.Abstractions;

/// <summary>What the program's exit says. The numbers are documented and do not change.</summary>
public enum ExitCode
{
    Done = 0,
    Failed = 1,
    Usage = 2,
    NoSuchDevice = 3,
    InUse = 4,
    RefusedForSafety = 5,
    MetadataUnreadable = 6,

    /// <summary>Done, but degraded or cut short by a deadline.</summary>
    DoneDegraded = 7,

    NotPermitted = 8,

    /// <summary>Something that this needs is missing on this machine.</summary>
    MissingHere = 9,
}

/// <summary>Why a command was not carried out, in the words that its user reads.</summary>
/// <param name="Id">Stable and documented: "DMR-MEMBER-MOUNTED".</param>
/// <param name="ExitCode">What the program exits with when nobody handles it.</param>
/// <param name="Device">The path or name it is about.</param>
/// <param name="Message">What happened, to which device, and what it means.</param>
/// <param name="Action">What to do about it.</param>
public sealed record Refusal(string Id, ExitCode ExitCode, string Device, string Message, string Action)
{
    /// <summary>True when `--force` would carry it out nevertheless.</summary>
    public bool CanBeForced { get; init; }
}

/// <summary>Start-up and control plane only: nothing on the path of a request throws.</summary>
[SuppressMessage("Design", "CA1032", Justification = "A refusal without its parts says nothing.")]
public sealed class RefusalException : Exception
{
    public RefusalException(Refusal refusal)
        : base(refusal.Message) => Refusal = refusal;

    public RefusalException(Refusal refusal, Exception cause)
        : base(refusal.Message, cause) => Refusal = refusal;

    public Refusal Refusal { get; }

    public string Id => Refusal.Id;

    public ExitCode ExitCode => Refusal.ExitCode;

    public string Device => Refusal.Device;

    public string Action => Refusal.Action;
}
