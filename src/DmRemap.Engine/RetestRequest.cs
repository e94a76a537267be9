using DmRemap.Core.Abstractions;

namespace DmRemap.Engine;

/// <summary>
/// A person's wish to try again what does not read in units [First, Last], and how far it has come. Read it
/// after OnFinished.
/// </summary>
public abstract class RetestRequest
{
    public required UnitNumber First { get; init; }

    /// <summary>Included.</summary>
    public required UnitNumber Last { get; init; }

    /// <summary>Suspect units that were read, and how many of those read well.</summary>
    public long SuspectsTried { get; private set; }

    public long SuspectsGood { get; private set; }

    /// <summary>Units with blocks given up as unreadable that were tried.</summary>
    public long LostUnitsTried { get; private set; }

    /// <summary>Blocks that had been given up, read, and are on a spare now.</summary>
    public long BlocksBack { get; private set; }

    /// <summary>Of the range: behind these nothing is left to try. Any thread may look.</summary>
    public long UnitsPassed => Next.Value - First.Value;

    /// <summary>Ended before its last unit.</summary>
    public bool IsAbandoned { get; private set; }

    internal int SuspectsLeft { get; set; }

    internal int SuspectsTaken { get; set; }

    internal UnitNumber Next { get; set; }

    /// <summary>End after the unit at hand. On the loop's thread.</summary>
    public void Abandon() => IsAbandoned = true;

    /// <summary>On the loop's thread, once.</summary>
    public abstract void OnFinished();

    internal void OnSuspectTried(bool isGood)
    {
        SuspectsTried++;
        SuspectsGood += isGood ? 1 : 0;
    }

    internal void OnLossTried(int blocksBack)
    {
        LostUnitsTried++;
        BlocksBack += blocksBack;
    }
}
