using System.Collections.Generic;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Healing;

/// <summary>
/// Of units in probation, whose copy on the primary this process has itself written or compared, and how much
/// the disk had transferred when it was last written. What an earlier process left in probation is not in
/// here until it has been compared: a write that it lost may be missing on one side.
/// </summary>
public sealed class ProbationLedger
{
    private readonly Dictionary<long, long> _writtenAt = new(64);

    public int Count => _writtenAt.Count;

    /// <summary>The copy was written, durably.</summary>
    /// <param name="unit">In probation: no more of them than HealRule.ProbationMax.</param>
    /// <param name="transferred">Bytes that the primary had transferred by then since the start.</param>
    public void NoteWritten(UnitNumber unit, long transferred) => _writtenAt[unit.Value] = transferred;

    /// <summary>The copy was read, and is equal.</summary>
    public void NoteCompared(UnitNumber unit) => _writtenAt.TryAdd(unit.Value, 0);

    /// <summary>The copy counts no more, or nothing is known of it.</summary>
    public void Forget(UnitNumber unit) => _writtenAt.Remove(unit.Value);

    /// <summary>The primary holds what the spare holds.</summary>
    public bool IsInStep(UnitNumber unit) => _writtenAt.ContainsKey(unit.Value);

    /// <summary>
    /// Does reading it prove anything? Not while the drive may answer from its cache (F-4).
    /// </summary>
    /// <param name="unit">In probation.</param>
    /// <param name="transferred">Bytes that the primary has transferred since the start.</param>
    /// <param name="needed">Between writing and reading.</param>
    public bool MayVerify(UnitNumber unit, long transferred, ByteCount needed)
    {
        _writtenAt.TryGetValue(unit.Value, out long since);
        return transferred - since >= needed.Value;
    }
}
