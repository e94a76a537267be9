using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;
using DmRemap.Engine.Metadata;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine;

/// <summary>
/// What successes and errors mean: controls, suspects, doubtful units. All cold but the notes of success.
/// </summary>
public sealed partial class RemapDevice
{
    private readonly Dictionary<long, Doubt> _inDoubt = new(64);
    private readonly HashSet<long> _unread = new(64);
    private ReadControl? _readControl;
    private SpareFill _fill;

    private const int UnreadMax = 4096;

    /// <summary>A bit for each spare that lends no units only because it is gone.</summary>
    private uint _awaySpares;

    /// <summary>Days since 1970-01-01 (UTC), set by the composition root; goes into entries.</summary>
    public ushort Today { get; set; }

    /// <summary>Loop thread only.</summary>
    public SuspectList Suspects { get; } = new();

    /// <summary>The last commit did not become durable; writes that need a new rule fail meanwhile.</summary>
    public bool IsMetadataUnavailable { get; private set; }

    /// <summary>The primary refuses every write (F-17).</summary>
    public bool AreWritesRejected => WriteControl.WritesRejected;

    /// <summary>Loop thread only, but for a look whether it is tripped.</summary>
    public StormBreaker Breaker { get; } = new();

    /// <summary>Loop thread only.</summary>
    public ExhaustionForecast Forecast { get; }

    /// <summary>Loop thread only.</summary>
    public SpareFill Fill => SpareFills.Of(Allocator.TotalUnitsUsed, Allocator.TotalUnitsAllocatable);

    internal WriteControl WriteControl { get; } = new();

    /// <summary>May a failed write give a healthy unit a spare unit?</summary>
    internal bool MayWritesMoveUnits => !AreWritesRejected && (!Breaker.IsTripped || WriteControl.Passes);

    internal Instant Now => _loop.Now;

    /// <summary>Rules of which a crash may show either form; any commit that is Done ends it.</summary>
    internal bool HasDoubts => _inDoubt.Count > 0;

    private bool HasSuspicion => Suspects.Count > 0 || _inDoubt.Count > 0;

    internal static ErrorClass Classify(Member member, IoOperation operation, IoStatus status, int errno,
        Duration elapsed) =>
        status == IoStatus.DeviceGone ? ErrorClass.Gone
            : status != IoStatus.DeviceError ? ErrorClass.Other
            : ErrorClassifier.Classify(new DeviceFailure
            {
                Member = member.Kind,
                Operation = operation,
                Errno = errno,
                Elapsed = elapsed,
                CommandTimeout = member.CommandTimeout,
            });

    internal ReadControl? ReadControlOf(Member member) =>
        member.IsPrimary ? _readControl ??= new ReadControl(Units.Units) : null;

    internal bool IsInDoubt(UnitNumber unit) => _inDoubt.Count > 0 && _inDoubt.ContainsKey(unit.Value);

    internal bool IsSuspicious(UnitNumber unit) => Suspects.Contains(unit) || IsInDoubt(unit);

    internal void NoteReadSuccess(Member member, Extent exported)
    {
        if (member.IsPrimary)
        {
            ReadControlOf(member)!.OnReadSucceeded(Units.UnitOf(exported.Start), _loop.Now);
        }
    }

    internal void NoteWriteSuccess(Member member, IoOperation operation, Extent exported,
        bool isForceUnitAccess)
    {
        member.Writes++;
        if (!isForceUnitAccess)
        {
            member.NoteUnflushed(exported);
        }
        if (member.IsPrimary && operation == IoOperation.Write)
        {
            WriteControl.OnWriteSucceeded(exported);
        }
        else if (!member.IsPrimary && Suspects.Count > 0)
        {
            ClearSuspects(exported);
        }
    }

    /// <summary>May this failed write be a bad place, so that trying unit by unit makes sense?</summary>
    internal bool MayBeMedium(FragmentIo fragment)
    {
        IoRequest io = fragment.Io;
        ErrorClass kind = Classify(fragment.Member!, IoOperation.Write, io.Status, io.Errno, io.Elapsed);
        bool mayBe = kind is ErrorClass.Medium or ErrorClass.Ambiguous || !fragment.Member!.IsPrimary;
        if (!mayBe)
        {
            Publish(EngineEventKind.MemberError, fragment.Member!, fragment.Exported, SpareLocation.None,
                io.Errno);
        }
        return mayBe;
    }

    /// <summary>
    /// May the unit move after this write error? From the primary only for a medium error. From a spare also
    /// when the spare is full or away, provided that the write leaves nothing behind that only the spare
    /// holds.
    /// </summary>
    /// <param name="member">Where the unit lives.</param>
    /// <param name="unit">Whose write failed.</param>
    /// <param name="status">Of the failed write; so are errno and elapsed.</param>
    /// <param name="errno">Of the kernel.</param>
    /// <param name="elapsed">How long it took.</param>
    /// <param name="leavesNothingBehind">All that only the old place holds is written with it.</param>
    /// <param name="isPlaceBad">
    /// The old place is bad, and is not used again. Of a spare that lends nothing any more that is not
    /// believed: one that refuses everything would be used up by what was written to it.
    /// </param>
    internal bool MayMove(
        Member member, UnitNumber unit, IoStatus status, int errno, Duration elapsed,
        bool leavesNothingBehind, out bool isPlaceBad)
    {
        ErrorClass kind = Classify(member, IoOperation.Write, status, errno, elapsed);
        bool isMedium = kind is ErrorClass.Medium or ErrorClass.Ambiguous;
        isPlaceBad = isMedium && (member.IsPrimary || Allocator.IsUsable(member.Index));
        if (member.IsPrimary && isMedium)
        {
            bool wasRejected = WriteControl.WritesRejected;
            WriteControl.OnFailure(unit, Units.ExtentOf(unit));
            NoteRejection(wasRejected, errno);
        }
        if (!isMedium)
        {
            Publish(EngineEventKind.MemberError, member, Units.ExtentOf(unit), SpareLocation.None, errno);
            if (!member.IsPrimary)
            {
                GiveUpSpare(member, kind);
            }
        }
        return isMedium || (!member.IsPrimary && (leavesNothingBehind || kind == ErrorClass.NoSpace));
    }

    /// <summary>Say it once, when it begins.</summary>
    internal void NoteRejection(bool wasRejected, int errno)
    {
        if (AreWritesRejected && !wasRejected)
        {
            Publish(EngineEventKind.WritesRejected, Primary, default, SpareLocation.None, errno);
        }
    }

    /// <summary>
    /// A write to a spare unit failed that is fresh, or holds a second copy. True when the unit is retired;
    /// else its spare gets no more. One that lends nothing any more is not believed, as for MayMove.
    /// </summary>
    internal bool NoteSpareFailure(Member spare, SpareLocation location, IoStatus status, int errno,
        Duration elapsed)
    {
        ErrorClass kind = Classify(spare, IoOperation.Write, status, errno, elapsed);
        bool isMedium = kind is ErrorClass.Medium or ErrorClass.Ambiguous;
        if (isMedium && Allocator.IsUsable(spare.Index))
        {
            Allocator.MarkRetired(location);
            Counters.SpareUnitsRetired++;
            Publish(EngineEventKind.SpareUnitRetired, spare, default, location, errno);
            return true;
        }
        // The write may still land: the unit stays taken until the next start.
        if (!isMedium)
        {
            GiveUpSpare(spare, kind);
        }
        Publish(EngineEventKind.MemberError, spare, default, location, errno);
        return false;
    }

    /// <summary>
    /// A spare that was away is there again, and may lend units if being away was all that was wrong with it.
    /// What is no spare's index, or was not away, is ignored.
    /// </summary>
    public void NoteSpareBack(int spare)
    {
        if (spare >= 0 && (_awaySpares & (1u << spare)) != 0)
        {
            _awaySpares &= ~(1u << spare);
            Allocator.SetUsable(spare, true);
            Copier.Wake();
        }
    }

    /// <summary>
    /// It lends no more units, also when it is back: a unit would hang with it, and its record is not kept
    /// there.
    /// </summary>
    void IMembershipOwner.OnMemberInactive(int member)
    {
        _awaySpares &= ~(1u << member);
        Allocator.SetUsable(member, false);
        Publish(EngineEventKind.MemberInactive, Spare(member), default, SpareLocation.None, 0);
    }

    /// <summary>A read failed, and so did every control: cable, controller or the whole disk.</summary>
    internal void NoteReadsNowhere(int errno)
    {
        if (Breaker.OnReadsNowhere())
        {
            Publish(EngineEventKind.StormOfReads, Primary, default, SpareLocation.None, errno);
        }
    }

    /// <summary>A write moves this unit, which was healthy. Called before its rule is published.</summary>
    internal void NoteWriteMoved(UnitNumber unit, int errno)
    {
        long near = StormBreaker.NearBytes / Units.UnitBytes;
        UnitNumber from = new(System.Math.Max(0, unit.Value - near));
        UnitNumber end = new(System.Math.Min(Units.Units, unit.Value + near));
        bool isNear = Table.TryGetNext(from, end, out _);
        Probe?.OnBadUnit(unit);
        NoteBadUnit();
        if (Breaker.OnWriteMoved(isNear, Allocator.TotalUnitsAllocatable, _loop.Now))
        {
            Publish(EngineEventKind.StormOfMoves, Primary, Units.ExtentOf(unit), SpareLocation.None, errno);
        }
    }

    /// <summary>A spare unit was lent: say it, once, when that leaves little.</summary>
    internal void NoteLent(bool isAsked)
    {
        if (!isAsked)
        {
            Forecast.OnMoved(_loop.Now);
        }
        SpareFill before = _fill;
        _fill = Fill;
        if (_fill > before && _fill is SpareFill.Low or SpareFill.NearlyExhausted)
        {
            Publish(
                _fill == SpareFill.Low ? EngineEventKind.SparesLow : EngineEventKind.SparesNearlyExhausted,
                Primary, default, SpareLocation.None, 0);
        }
    }

    internal void NoteExhausted(Extent blocks) =>
        Publish(EngineEventKind.Exhausted, Primary, blocks, SpareLocation.None, 0);

    /// <summary>
    /// Reading these places failed, and it is the medium. The third time they are given up.
    /// </summary>
    internal void NoteUnreadable(in RemapEntry entry, ulong bad, int errno, Member source)
    {
        Suspects.TryGet(entry.Unit, out Suspect before);
        SuspectVerdict verdict = Suspects.OnFailure(entry.Unit, bad, _loop.Now);
        if (source.IsPrimary && before.Failures == 0)
        {
            NoteFailedReading(entry.Unit);
            Probe?.OnBadUnit(entry.Unit);
        }
        ulong readable = entry.Blocks.MaskOf(BlockState.OnPrimary) | entry.Blocks.MaskOf(BlockState.OnSpare);
        ulong lost = verdict == SuspectVerdict.DeclareLost ? bad & before.BadBlocks & readable : 0;
        if (lost == 0)
        {
            Publish(EngineEventKind.Unreadable, source, BlocksOf(entry.Unit, bad), entry.Location, errno);
            Retries.OnSuspect();
            return;
        }
        SetEntry(entry with
        {
            Blocks = entry.Blocks.With(lost, BlockState.Lost),
            LastErrno = (ushort)System.Math.Clamp(errno, 0, ushort.MaxValue),
            LastErrorDay = Today,
        });
        Counters.BlocksLost += System.Numerics.BitOperations.PopCount(lost);
        Losses.Add(entry.Unit);
        Suspects.Clear(entry.Unit, lost);
        Publish(EngineEventKind.Lost, source, BlocksOf(entry.Unit, lost), entry.Location, errno);
        Retries.OnLost();
    }

    /// <summary>A unit moved from a failing spare unit, and these places could not come along.</summary>
    internal void NoteLostOnSpare(in RemapEntry old, ulong lost, int errno)
    {
        Counters.BlocksLost += System.Numerics.BitOperations.PopCount(lost);
        Extent blocks = BlocksOf(old.Unit, lost);
        Publish(EngineEventKind.Lost, Spare(old.Location.Spare), blocks, old.Location, errno);
    }

    /// <summary>
    /// Reading this unit on the primary has failed since the start. Of as many as are remembered.
    /// </summary>
    public bool HasFailedReading(UnitNumber unit) => _unread.Contains(unit.Value);

    internal void NoteFailedReading(UnitNumber unit)
    {
        if (_unread.Count < UnreadMax)
        {
            _unread.Add(unit.Value);
        }
    }

    /// <summary>
    /// What failed of this request is suspect, has lost blocks, or is on a spare that this start does
    /// without: not a disk that is away for now. The ends of each extent are looked at: of many, the last one
    /// is wider than what failed.
    /// </summary>
    internal bool IsKnownBad(IoRequest request)
    {
        for (int i = 0; i < request.Failed.Count; i++)
        {
            Extent failed = request.Failed[i];
            if (!IsKnownBad(failed.Start) || !IsKnownBad(new BlockNumber(failed.End.Value - 1)))
            {
                return false;
            }
        }
        return request.Failed.Count > 0;
    }

    private bool IsKnownBad(BlockNumber block)
    {
        UnitNumber unit = Units.UnitOf(block);
        if (Suspects.Contains(unit) || Suspects.IsFull)
        {
            return true;
        }
        return Table.TryGet(unit, out RemapEntry entry)
            && (entry.Blocks.MaskOf(BlockState.Lost) != 0
                || (!entry.Location.IsNone && Spare(entry.Location.Spare).IsAbsent
                    && !HasSecondInStep(entry)));
    }

    /// <summary>May a read move this unit to a spare? It reads now: nothing is lost if not.</summary>
    internal bool MayCopyWeak(UnitNumber unit) =>
        _copiesWeak && !Geometry.IsReadOnly && !IsStopping && !IsMetadataUnavailable && !IsInDoubt(unit)
        && !Breaker.IsTripped && Allocator.TotalUnitsAllocatable > 0;

    /// <summary>These places read: they are suspect no longer.</summary>
    internal void NoteReadable(UnitNumber unit, ulong places) => Suspects.Clear(unit, places);

    /// <summary>The rule is durable: it takes effect.</summary>
    internal void PublishRule(in RemapEntry entry)
    {
        SetEntry(entry);
        Losses.Settle(entry.Unit);
        Suspects.Clear(entry.Unit,
            entry.Blocks.MaskOf(BlockState.OnSpare) | entry.Blocks.MaskOf(BlockState.Zero));
    }

    internal void NoteCommit(CommitOutcome outcome)
    {
        bool wasUnavailable = IsMetadataUnavailable;
        IsMetadataUnavailable = outcome != CommitOutcome.Done;
        if (outcome != CommitOutcome.Done)
        {
            Counters.CommitFailures++;
            if (!wasUnavailable)
            {
                Publish(EngineEventKind.CommitFailed, Primary, default, SpareLocation.None, 0);
            }
            // The next commit that is Done ends it, and there may be none that somebody waits for.
            Losses.Arm();
            return;
        }
        // What was in doubt has been superseded on every member: its spare units are named by no table any
        // more.
        foreach (Doubt doubt in _inDoubt.Values)
        {
            if (!doubt.Fresh.IsNone)
            {
                Allocator.Free(doubt.Fresh);
            }
        }
        _inDoubt.Clear();
    }

    /// <summary>
    /// A rule that was not committed. Failed: it never will be. Unknown: a crash may make it win, so the
    /// unit's primary must not be written again until a later commit has superseded it (F-2).
    /// </summary>
    /// <param name="unit">The rule's unit.</param>
    /// <param name="fresh">The spare unit that it was to get, or none when it has none or keeps its
    /// own.</param>
    /// <param name="outcome">Failed or Unknown.</param>
    /// <param name="isSameContent">
    /// The unit was only copied: whichever rule wins, reads show the same until it is written.
    /// </param>
    internal void NoteUncommitted(
        UnitNumber unit, SpareLocation fresh, CommitOutcome outcome, bool isSameContent = false)
    {
        if (outcome == CommitOutcome.Failed)
        {
            if (!fresh.IsNone)
            {
                Allocator.Free(fresh);
            }
            return;
        }
        // Of two doubtful rules for one unit, the earlier one's spare unit stays taken until the next start.
        _inDoubt[unit.Value] = new Doubt(fresh, isSameContent);
        Losses.Arm();
    }

    /// <param name="Fresh">The spare unit of the doubtful rule, or none.</param>
    /// <param name="IsSameContent">It holds what the primary holds.</param>
    private readonly record struct Doubt(SpareLocation Fresh, bool IsSameContent);

    internal void GiveUpSpare(Member spare, ErrorClass kind)
    {
        if (kind != ErrorClass.Gone)
        {
            _awaySpares &= ~(1u << spare.Index);
        }
        else if (Allocator.IsUsable(spare.Index))
        {
            _awaySpares |= 1u << spare.Index;
        }
        Allocator.SetUsable(spare.Index, false);
    }

    /// <summary>New content in a good place: these blocks are suspect no longer.</summary>
    private void ClearSuspects(Extent written)
    {
        UnitNumber last = Units.UnitOf(new BlockNumber(written.End.Value - 1));
        for (UnitNumber unit = Units.UnitOf(written.Start); unit <= last; unit = new(unit.Value + 1))
        {
            Suspects.Clear(unit, Units.MaskIn(unit, written));
        }
    }

    /// <summary>The smallest extent of exported blocks that holds these places of the unit.</summary>
    internal Extent BlocksOf(UnitNumber unit, ulong places)
    {
        Extent whole = Units.ExtentOf(unit);
        if (places == 0)
        {
            return new Extent(whole.Start, new BlockCount(0));
        }
        int first = System.Numerics.BitOperations.TrailingZeroCount(places);
        int end = 64 - System.Numerics.BitOperations.LeadingZeroCount(places);
        BlockNumber start = whole.Start + new BlockCount(first - Units.IndexInUnit(whole.Start));
        return new Extent(start, new BlockCount(end - first));
    }
}
