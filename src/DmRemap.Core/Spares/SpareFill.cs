namespace DmRemap.Core.Spares;

/// <summary>How much of what the spares can lend is lent. More is worse.</summary>
public enum SpareFill : byte
{
    Ample = 0,

    /// <summary>From <see cref="SpareFills.LowPercent"/> on.</summary>
    Low = 1,

    /// <summary>From <see cref="SpareFills.NearlyExhaustedPercent"/> on.</summary>
    NearlyExhausted = 2,

    /// <summary>Nothing is left.</summary>
    Exhausted = 3,
}

/// <summary>The thresholds.</summary>
public static class SpareFills
{
    public const int LowPercent = 80;

    public const int NearlyExhaustedPercent = 95;

    /// <param name="used">Units in use.</param>
    /// <param name="allocatable">Free units of spares that lend.</param>
    public static SpareFill Of(long used, long allocatable)
    {
        if (allocatable == 0)
        {
            return SpareFill.Exhausted;
        }
        // Both are below 2^28 for each of 8 spares: a hundred times their sum does not overflow.
        long percent = used * 100 / (used + allocatable);
        return percent >= NearlyExhaustedPercent ? SpareFill.NearlyExhausted
            : percent >= LowPercent ? SpareFill.Low
            : SpareFill.Ample;
    }
}
