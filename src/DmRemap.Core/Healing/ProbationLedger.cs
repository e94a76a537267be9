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
    private readonly Dictionary<long, Copy> _copies = new(HealRule.ProbationMax);

    public int Count => _copies.Count;

    /// <summary>The copy was written, durably.</summary>
    /// <param name="unit">In probation: no more of them than HealRule.ProbationMax.</param>
    /// <param name="transferred">Bytes that the primary had transferred by then since the start.</param>
    public void NoteWritten(UnitNumber unit, long transferred) =>
        _copies[unit.Value] = new Copy(transferred, true);

    /// <summary>The copy was read, and is equal: what the drive caches of it is from now.</summary>
    public void NoteCompared(UnitNumber unit, long transferred) =>
        _copies[unit.Value] = new Copy(transferred, false);

    /// <summary>The copy counts no more, or nothing is known of it.</summary>
    public void Forget(UnitNumber unit) => _copies.Remove(unit.Value);

    /// <summary>A spare may have lost what it had acknowledged.</summary>
    public void ForgetAll() => _copies.Clear();

    /// <summary>The primary holds what the spare holds.</summary>
    public bool IsInStep(UnitNumber unit) => _copies.ContainsKey(unit.Value);

    /// <summary>
    /// It was written since it was last compared: what was verified before was other content.
    /// </summary>
    public bool IsNew(UnitNumber unit) => _copies.TryGetValue(unit.Value, out Copy copy) && copy.IsNew;

    /// <summary>
    /// Does reading it prove anything? Not while the drive may answer from its cache (F-4).
    /// </summary>
    /// <param name="unit">In probation.</param>
    /// <param name="transferred">Bytes that the primary has transferred since the start.</param>
    /// <param name="needed">Between writing and reading.</param>
    public bool MayVerify(UnitNumber unit, long transferred, ByteCount needed)
    {
        _copies.TryGetValue(unit.Value, out Copy copy);
        return transferred - copy.Since >= needed.Value;
    }

    /// <param name="Since">Bytes transferred when it was last written or read.</param>
    /// <param name="IsNew">Not compared since it was written.</param>
    private readonly record struct Copy(long Since, bool IsNew);
}
