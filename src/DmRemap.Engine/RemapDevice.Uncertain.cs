using System;
using System.Runtime.CompilerServices;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Flushing;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Flushing;

namespace DmRemap.Engine;

/// <summary>
/// Acknowledged writes that may be lost (F-8, F-9). They are listed until a person, or a rewrite that was
/// flushed, ends the doubt; each client is told once, by a flush that fails.
/// </summary>
public sealed partial class RemapDevice : IFlushErrorSource
{
    private long _losses;

    /// <summary>Loop thread only.</summary>
    public UncertainWrites Uncertain { get; } = new();

    /// <summary>Loop thread only.</summary>
    public FlushErrors FlushErrors { get; } = new();

    /// <summary>What is done about the primary's cache. Loop thread only.</summary>
    public WriteCacheRule WriteCache { get; }

    /// <summary>What every write to the primary carries, whoever asks.</summary>
    internal IoFlags ForcedOnPrimary { get; private set; }

    public void Introduce(FlushClient client) => FlushErrors.Introduce(client);

    /// <summary>
    /// Acknowledged writes may be lost for this cause. A write that was out while a flush failed, and came
    /// back after that doubt had been ended, is of no member any more: a flush has failed. Loop thread only.
    /// </summary>
    public bool IsUncertainFor(UncertainCause cause) => cause == UncertainCause.CacheLost
        ? Array.Exists(Members, member => member.HasLostCache)
        : IsDoubtOfNobody || Array.Exists(Members, member => member.HasFailedFlush);

    /// <summary>
    /// A person has looked, and ends the doubt of this kind. False: there was none. Where the other kind is
    /// left, the list stays as it is: it says which blocks, and not why.
    /// </summary>
    public bool ClearUncertain(UncertainCause cause)
    {
        TakeWhatIsNotNoted();
        bool was = IsDoubtOfNobody && cause == UncertainCause.FlushFailed;
        bool isLeft = false;
        foreach (Member member in Members)
        {
            was |= member.EndDoubt(cause);
            isLeft |= member.HasLostFlush;
        }
        if (was && !isLeft)
        {
            EndUncertain();
        }
        return was;
    }

    /// <summary>What this member has acknowledged and not flushed may be lost.</summary>
    internal void NoteUncertain(Member member, UncertainCause cause, int errno)
    {
        if (member.IsFormerUnflushed)
        {
            AddAllOf(member);
            DoubtAllCopiesOf(member);
        }
        bool hasMore = member.TakeLoss(cause, Uncertain);
        _losses++;
        if (!member.IsPrimary)
        {
            // What the spare reads may be older than what the primary's copies hold.
            Copies.ForgetAll();
            DoubtCopiesOfUncertain(member.Index);
        }
        FlushErrors.OnFailure(hasMore);
        if (member.IsPrimary && cause == UncertainCause.FlushFailed)
        {
            NoteBadUnit();
        }
        Publish(
            cause == UncertainCause.FlushFailed ? EngineEventKind.FlushFailed : EngineEventKind.CacheLost,
            member, HullOfUncertain(), SpareLocation.None, errno);
    }

    /// <summary>
    /// A flush has failed, and there was nothing for it to cover: writes that are out now may be lost with
    /// it, and are in doubt when they come back.
    /// </summary>
    internal void NoteLossOfWritesOut() => _losses++;

    /// <summary>
    /// A flush, or what ends with one, is asked for: what fails after this moment may concern it.
    /// </summary>
    internal void StampForFlush(IoRequest request)
    {
        TakeWhatIsNotNoted();
        request.DeviceWord = (int)FlushErrors.Failures;
        // It counts itself.
        request.DeviceWord2 = InFlight == 1 ? 1 : 0;
    }

    /// <summary>A unit of the primary has turned out bad, or its cache has.</summary>
    internal void NoteBadUnit()
    {
        WriteCache.OnBadUnit();
        SetForced();
    }

    /// <summary>
    /// A drive that is away may be without power, and then the cache that we have switched off is on again:
    /// what it is given from now on, kept writes too, is forced (F-9).
    /// </summary>
    internal void NoteAway(Member member)
    {
        if (member.IsPrimary)
        {
            WriteCache.OnDriveAway();
            SetForced();
        }
    }

    internal void NoteBack(Member member)
    {
        if (member.IsPrimary && WriteCache.Policy == WriteCachePolicy.Off)
        {
            member.HasVolatileCache = true;
        }
    }

    private void SetForced() =>
        ForcedOnPrimary = WriteCache.ForcesWrites ? IoFlags.ForceUnitAccess : IoFlags.None;

    /// <summary>A flush of all members has ended.</summary>
    internal void NoteCycle(bool isOk)
    {
        if (Uncertain.IsEmpty)
        {
            return;
        }
        if (!isOk)
        {
            Uncertain.OnFlushFailed();
            return;
        }
        Uncertain.OnFlushSucceeded();
        EndUncertainIfRewritten();
    }

    /// <summary>How often acknowledged writes have become uncertain: a write is stamped with it.</summary>
    internal long LossesNow => _losses;

    /// <summary>A write or zeroing has succeeded, whoever carried it out.</summary>
    /// <param name="blocks">Of the exported device.</param>
    /// <param name="isForced">They are durable.</param>
    /// <param name="losses">When it was sent.</param>
    internal void NoteWritten(Extent blocks, bool isForced, long losses)
    {
        if (losses == _losses)
        {
            if (!Uncertain.IsEmpty)
            {
                Uncertain.OnRewritten(blocks, isForced);
                EndUncertainIfRewritten();
            }
        }
        else if (!isForced)
        {
            // It was out while a flush failed: the disk may have had it in its cache then, and lost it.
            Uncertain.Add(blocks);
            FlushErrors.OnFailure(hasMore: true);
        }
    }

    /// <summary>
    /// Part of it may have reached a cache before that was lost, and a client that was told of the loss in
    /// the meantime was not told of this write, which it learns of only now: its next flush fails, too.
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void NoteAnsweredAmidLoss(IoRequest parent, IoStatus status)
    {
        bool isChange = parent.Operation is IoOperation.Write or IoOperation.WriteZeroes;
        if (isChange && status == IoStatus.Ok && !parent.IsForceUnitAccess && !Uncertain.IsEmpty)
        {
            FlushErrors.OnFailure(hasMore: false);
        }
    }

    private bool IsDoubtOfNobody =>
        FlushErrors.IsUncertain && !Array.Exists(Members, member => member.HasLostFlush);

    private void EndUncertainIfRewritten()
    {
        if (Uncertain.IsEmpty)
        {
            foreach (Member member in Members)
            {
                member.EndDoubt(UncertainCause.FlushFailed);
                member.EndDoubt(UncertainCause.CacheLost);
            }
            EndUncertain();
        }
    }

    private void EndUncertain()
    {
        Uncertain.Clear();
        FlushErrors.Clear();
        Publish(EngineEventKind.UncertainEnded, Primary, default, SpareLocation.None, 0);
    }

    /// <summary>Losses that no flush has come upon yet: from here on the list has them.</summary>
    public void TakeWhatIsNotNoted()
    {
        foreach (Member member in Members)
        {
            if (member.IsRemoved)
            {
                continue;
            }
            member.Gate.JudgeCache();
            if (member.HasFailedOpening)
            {
                member.FlushErrors++;
                NoteUncertain(member, UncertainCause.FlushFailed, 5);
            }
        }
    }

    /// <summary>What a former instance left in its cache is not known: everything that lies there.</summary>
    private void AddAllOf(Member member)
    {
        if (member.IsPrimary)
        {
            Uncertain.Add(Geometry.Whole);
            return;
        }
        UnitNumber from = new(0);
        while (Table.TryGetNext(from, out RemapEntry entry))
        {
            if (!entry.Location.IsNone && entry.Location.Spare == member.Index)
            {
                Uncertain.Add(Units.ExtentOf(entry.Unit));
            }
            from = new UnitNumber(entry.Unit.Value + 1);
        }
    }

    /// <summary>From the first uncertain block to the last.</summary>
    private Extent HullOfUncertain() => Uncertain.IsEmpty
        ? default
        : Extent.FromBounds(Uncertain[0].Start, Uncertain[Uncertain.Count - 1].End);

    /// <summary>The table names a unit that some error has moved.</summary>
    private bool HasUnitMovedForError()
    {
        UnitNumber from = new(0);
        while (Table.TryGetNext(from, out RemapEntry entry))
        {
            if (!entry.Location.IsNone && entry.LastErrno != 0)
            {
                return true;
            }
            from = new UnitNumber(entry.Unit.Value + 1);
        }
        return false;
    }
}
