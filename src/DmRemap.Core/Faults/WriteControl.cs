using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults;

public enum WriteVerdict : byte
{
    /// <summary>The primary no longer takes writes anywhere: not the medium, no remap.</summary>
    WritesRejected = 0,

    /// <summary>The unit is bad: move it.</summary>
    UnitIsBad = 1,
}

/// <summary>
/// The control for ambiguous write errors (F-17): bad sectors let other writes pass, a disk that rejects
/// writes lets none. Counts the distinct units that failed since the primary last took a write.
/// </summary>
public sealed class WriteControl
{
    /// <summary>
    /// With so many distinct units failed and no write taken between them, writes are rejected.
    /// </summary>
    public const int DistinctUnitsMax = 8;

    private readonly UnitNumber[] _failed = new UnitNumber[DistinctUnitsMax];
    private int _count;

    /// <summary>True until the primary takes a write again.</summary>
    public bool WritesRejected => _count == DistinctUnitsMax;

    /// <summary>The primary took a write, anywhere.</summary>
    public void OnWriteSucceeded() => _count = 0;

    public WriteVerdict OnAmbiguousFailure(UnitNumber unit)
    {
        bool isKnown = _failed.AsSpan(0, _count).Contains(unit);
        if (!isKnown && _count < DistinctUnitsMax)
        {
            _failed[_count] = unit;
            _count++;
        }
        return WritesRejected ? WriteVerdict.WritesRejected : WriteVerdict.UnitIsBad;
    }
}
