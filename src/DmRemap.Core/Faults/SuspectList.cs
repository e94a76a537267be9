using System;
using System.Numerics;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults;

/// <summary>A unit that failed to read and is not given up yet.</summary>
/// <param name="Unit">Which.</param>
/// <param name="BadBlocks">The places in the unit that failed, as a mask.</param>
/// <param name="Failures">Attempts that failed, at least 1.</param>
/// <param name="NextRetry">Not before; until then reads of those blocks fail at once.</param>
/// <param name="IsBeingRetried">One retry is on its way; others fail at once.</param>
public readonly record struct Suspect(
    UnitNumber Unit, ulong BadBlocks, int Failures, Instant NextRetry, bool IsBeingRetried);

public enum SuspectAdmission : byte
{
    /// <summary>None of these blocks is known to be bad: go on as if healthy.</summary>
    NotSuspect = 0,

    /// <summary>Fail the read now; the primary is not asked.</summary>
    FailFast = 1,

    /// <summary>The caller makes the retry, and says how it ended.</summary>
    Retry = 2,
}

public enum SuspectVerdict : byte
{
    /// <summary>Remembered: reads fail fast until the retry time.</summary>
    RetryLater = 0,

    /// <summary>
    /// Failed often enough: declare the blocks lost(unreadable), and Remove when that is durable.
    /// </summary>
    DeclareLost = 1,

    /// <summary>No room: nothing is remembered, so the next read asks the primary again.</summary>
    ListIsFull = 2,
}

/// <summary>
/// The suspect units, in memory only: bounded, no allocation after the constructor. After failures 1, 2, 3 …
/// reads of the bad blocks fail at once for 1 s, 2 s, 4 s … (at most a minute); the third failure asks for
/// lost(unreadable). Open addressing with linear probing over twice the capacity; removal closes the gap.
/// </summary>
public sealed class SuspectList
{
    public const int CapacityDefault = 4096;

    /// <summary>The failure at which a unit is given up.</summary>
    public const int FailuresMax = 3;

    private const int BackOffLog2Max = 6;

    private readonly Suspect[] _slots;
    private readonly int _mask;
    private readonly int _capacity;

    public SuspectList(int capacity = CapacityDefault)
    {
        Invariant.Check(capacity > 0);
        _capacity = capacity;
        _slots = new Suspect[BitOperations.RoundUpToPowerOf2((uint)capacity * 2)];
        _mask = _slots.Length - 1;
    }

    public static Duration BackOffMax => Duration.FromSeconds(60);

    public int Count { get; private set; }

    public bool IsFull => Count == _capacity;

    public bool Contains(UnitNumber unit) => Count > 0 && TryFind(unit, out _);

    public bool TryGet(UnitNumber unit, out Suspect suspect)
    {
        bool found = TryFind(unit, out int slot);
        suspect = found ? _slots[slot] : default;
        return found;
    }

    /// <summary>
    /// May a read of these blocks go to the primary now? On Retry call exactly one of the On… methods or
    /// Remove.
    /// </summary>
    public SuspectAdmission Admit(UnitNumber unit, ulong blocks, Instant now)
    {
        if (Count == 0 || !TryFind(unit, out int slot) || (_slots[slot].BadBlocks & blocks) == 0)
        {
            return SuspectAdmission.NotSuspect;
        }
        ref Suspect suspect = ref _slots[slot];
        if (suspect.IsBeingRetried || now < suspect.NextRetry)
        {
            return SuspectAdmission.FailFast;
        }
        suspect = suspect with { IsBeingRetried = true };
        return SuspectAdmission.Retry;
    }

    /// <summary>
    /// These blocks could not be read: the medium's fault, established. Reads that were under way together
    /// count once.
    /// </summary>
    public SuspectVerdict OnFailure(UnitNumber unit, ulong badBlocks, Instant now)
    {
        Invariant.Check(badBlocks != 0);
        if (!TryFind(unit, out int slot))
        {
            if (Count == _capacity)
            {
                return SuspectVerdict.ListIsFull;
            }
            Count++;
            _slots[slot] = new Suspect(unit, badBlocks, 1, now + BackOff(1), false);
            return SuspectVerdict.RetryLater;
        }
        ref Suspect suspect = ref _slots[slot];
        suspect = suspect with { BadBlocks = suspect.BadBlocks | badBlocks };
        if (suspect.IsBeingRetried || suspect.NextRetry <= now)
        {
            int failures = Math.Min(suspect.Failures + 1, byte.MaxValue);
            suspect = suspect with
            {
                Failures = failures,
                NextRetry = now + BackOff(failures),
                IsBeingRetried = false,
            };
        }
        return suspect.Failures >= FailuresMax ? SuspectVerdict.DeclareLost : SuspectVerdict.RetryLater;
    }

    /// <summary>
    /// The retry ended without an answer about the medium (a stalled or vanished disk): it does not count.
    /// </summary>
    public void OnUndecided(UnitNumber unit, Instant now)
    {
        if (TryFind(unit, out int slot))
        {
            ref Suspect suspect = ref _slots[slot];
            suspect = suspect with { NextRetry = now + BackOff(suspect.Failures), IsBeingRetried = false };
        }
    }

    /// <summary>
    /// The unit was read, written or declared lost: no longer suspect. False when it was not.
    /// </summary>
    public bool Remove(UnitNumber unit)
    {
        if (!TryFind(unit, out int gap))
        {
            return false;
        }
        Count--;
        for (int slot = (gap + 1) & _mask; _slots[slot].Failures > 0; slot = (slot + 1) & _mask)
        {
            // An entry may move back only as far as its own home.
            int home = HomeOf(_slots[slot].Unit);
            if (((slot - home) & _mask) >= ((slot - gap) & _mask))
            {
                _slots[gap] = _slots[slot];
                gap = slot;
            }
        }
        _slots[gap] = default;
        return true;
    }

    /// <summary>
    /// These blocks have read, or have new content in a good place: they are suspect no longer. A retry that
    /// was under way is over.
    /// </summary>
    public void Clear(UnitNumber unit, ulong blocks)
    {
        if (Count == 0 || !TryFind(unit, out int slot))
        {
            return;
        }
        ref Suspect suspect = ref _slots[slot];
        ulong left = suspect.BadBlocks & ~blocks;
        if (left == 0)
        {
            Remove(unit);
            return;
        }
        suspect = suspect with { BadBlocks = left, IsBeingRetried = false };
    }

    /// <summary>A person asks: its retry is due now, unless one is on its way.</summary>
    public void Hasten(UnitNumber unit, Instant now)
    {
        if (TryFind(unit, out int slot) && now < _slots[slot].NextRetry)
        {
            _slots[slot] = _slots[slot] with { NextRetry = now };
        }
    }

    /// <summary>
    /// Any unit whose retry time has come and that nobody retries: for retries in the background.
    /// </summary>
    public bool TryGetDue(Instant now, out Suspect due)
    {
        for (int slot = 0; Count > 0 && slot < _slots.Length; slot++)
        {
            Suspect suspect = _slots[slot];
            if (suspect.Failures > 0 && !suspect.IsBeingRetried && suspect.NextRetry <= now)
            {
                due = suspect;
                return true;
            }
        }
        due = default;
        return false;
    }

    /// <summary>The suspects from one unit to another, in order; as many as there is room for.</summary>
    public int CopyUnits(UnitNumber first, UnitNumber last, Span<long> into)
    {
        int count = 0;
        for (int slot = 0; Count > 0 && slot < _slots.Length && count < into.Length; slot++)
        {
            long unit = _slots[slot].Unit.Value;
            if (_slots[slot].Failures > 0 && first.Value <= unit && unit <= last.Value)
            {
                into[count] = unit;
                count++;
            }
        }
        into[..count].Sort();
        return count;
    }

    private static Duration BackOff(int failures)
    {
        long seconds = 1L << Math.Min(failures - 1, BackOffLog2Max);
        Duration wait = Duration.FromSeconds(seconds);
        return wait < BackOffMax ? wait : BackOffMax;
    }

    private int HomeOf(UnitNumber unit) =>
        (int)(unchecked((ulong)unit.Value * 0x9E3779B97F4A7C15) >> 33) & _mask;

    /// <summary>The unit's slot, or the free one where it would go.</summary>
    private bool TryFind(UnitNumber unit, out int slot)
    {
        slot = HomeOf(unit);
        while (_slots[slot].Failures > 0)
        {
            if (_slots[slot].Unit == unit)
            {
                return true;
            }
            slot = (slot + 1) & _mask;
        }
        return false;
    }
}
