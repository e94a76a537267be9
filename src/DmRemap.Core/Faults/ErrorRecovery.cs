using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults;

/// <summary>
/// How long a drive tries over one command before it gives an error (ATA: SCT error recovery control), in
/// tenths of a second as the drive counts; 0: as long as it likes.
/// </summary>
public readonly record struct ErrorRecoveryLimits(int ReadDeciseconds, int WriteDeciseconds)
{
    /// <summary>Sixteen bits in the drive.</summary>
    public const int DecisecondsMax = 65_535;

    /// <summary>
    /// Below this a sector that would have read after more tries is given up. Right where another disk has
    /// the content; nobody else has it here (F-35).
    /// </summary>
    private const int EarlyDeciseconds = 300;

    public bool GivesUpReadsEarly => ReadDeciseconds is > 0 and < EarlyDeciseconds;
}

public enum ErrorRecoveryChoice : byte
{
    /// <summary>As it is: a drive's settings are its owner's.</summary>
    Keep = 0,

    /// <summary>Reads and writes are given up after so many seconds.</summary>
    Limit = 1,

    /// <summary>Reads are tried as long as the drive likes. Writes as they are: spares take those.</summary>
    Max = 2,
}

/// <summary>
/// What is to become of a drive's error recovery, and what the kernel's time-out must be then.
/// </summary>
public readonly record struct ErrorRecoveryPolicy
{
    public const int SecondsMax = 300;

    /// <summary>
    /// A drive that tries as long as it likes may take two minutes and more; a kernel that gives up before it
    /// resets the drive, and what it had nearly read is lost (F-35).
    /// </summary>
    public const int CommandTimeoutSecondsForMax = 180;

    private const int CommandTimeoutMarginSeconds = 5;

    private ErrorRecoveryPolicy(ErrorRecoveryChoice choice, int seconds)
    {
        Choice = choice;
        Seconds = seconds;
    }

    /// <summary>
    /// The two passes of F-35: short for everybody who waits, and as long as it likes over what was given up,
    /// when that is read again.
    /// </summary>
    public bool IsPatientWithLost { get; private init; }

    /// <summary>While what was given up is read again.</summary>
    public ErrorRecoveryPolicy ForLost => IsPatientWithLost ? Max : this;

    public static ErrorRecoveryPolicy Keep => default;

    public static ErrorRecoveryPolicy Max => new(ErrorRecoveryChoice.Max, 0);

    public ErrorRecoveryChoice Choice { get; }

    public int Seconds { get; }

    /// <summary>
    /// An error that took four fifths of the command's time-out counts as a time-out, and never moves a
    /// sector (F-17): the drive must have given up well before.
    /// </summary>
    public int CommandTimeoutSecondsLeast => Choice switch
    {
        ErrorRecoveryChoice.Keep => 0,
        ErrorRecoveryChoice.Limit => (((Seconds * 5) + 3) / 4) + CommandTimeoutMarginSeconds,
        ErrorRecoveryChoice.Max => CommandTimeoutSecondsForMax,
        _ => throw new InvariantException("an unknown choice of error recovery"),
    };

    public static ErrorRecoveryPolicy Limit(int seconds)
    {
        Invariant.Check(seconds > 0);
        Invariant.Check(seconds <= SecondsMax);
        return new ErrorRecoveryPolicy(ErrorRecoveryChoice.Limit, seconds);
    }

    public static ErrorRecoveryPolicy LimitThenMax(int seconds) =>
        Limit(seconds) with { IsPatientWithLost = true };

    /// <summary>What the drive is to be told; null: it is so already, or is to be left alone.</summary>
    public ErrorRecoveryLimits? Wanted(ErrorRecoveryLimits now)
    {
        ErrorRecoveryLimits wanted = Choice switch
        {
            ErrorRecoveryChoice.Keep => now,
            ErrorRecoveryChoice.Limit => new(Seconds * 10, Seconds * 10),
            ErrorRecoveryChoice.Max => now with { ReadDeciseconds = 0 },
            _ => throw new InvariantException("an unknown choice of error recovery"),
        };
        return wanted == now ? null : wanted;
    }
}
