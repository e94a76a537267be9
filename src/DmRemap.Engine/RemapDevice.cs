using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Flushing;
using DmRemap.Core.Healing;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;
using DmRemap.Engine.Background;
using DmRemap.Engine.Copies;
using DmRemap.Engine.Flushing;
using DmRemap.Engine.Metadata;
using DmRemap.Engine.Presence;
using DmRemap.Engine.Repair;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine;

/// <summary>
/// The remapped device: a block device made of a failing primary and its spares. A request is split where the
/// table says so, its fragments go to their members, and what fails is repaired inside the request:
/// <code>
///   Submit ─▶ Continue ─▶ fragments ─▶ members ─▶ OnCompleted ─▶ Answer
///                ▲                                    │ failed
///                └── holds released ◀── RepairJob ◀───┘   (ReadRescue, WriteRedirect)
/// </code>
/// One thread (the loop's) calls everything here. The order that keeps data: spare data durable → record
/// durable → table published → answered.
/// </summary>
public sealed partial class RemapDevice : IBlockDevice, IIoOwner, IMembershipOwner
{
    private readonly IEventLoop _loop;
    private readonly IEventSink? _events;
    private readonly FragmentPool _fragments = new(Limits.FragmentsInFlightMax);
    private long _fragmentsSent;
    private readonly RequestQueue _resumed = new();
    private readonly RequestQueue _waitingForFragments = new();
    private readonly FlushCoordinator _flush;
    private readonly BufferSlice _zeroes;
    private readonly OnGone _onGone;
    private readonly bool _copiesWeak;
    private RemapRequest? _freeRequests;
    private IoRequest? _firstWaitingParent;
    private IoRequest? _lastWaitingParent;
    private int _waitingParents;
    private bool _isPumping;

    public RemapDevice(RemapDeviceParts parts)
    {
        _loop = parts.Loop;
        _events = parts.Events;
        Primary = parts.Primary;
        Members = [parts.Primary, .. parts.Spares];
        Units = parts.Table.Geometry;
        Invariant.Check(Units.UnitBytes <= Limits.SliceBytes);
        Table = parts.Table;
        Allocator = parts.Allocator;
        Log = parts.Log;
        ReadRetries = parts.ReadRetries;
        _copiesWeak = parts.CopiesWeak;
        _onGone = parts.OnGone;
        DeviceGeometry disk = parts.Primary.Device.Geometry;
        Geometry = disk with
        {
            Blocks = Units.Blocks,
            TransferBytesMax = Limits.SliceBytes,
            CanDiscard = true,
            CanWriteZeroes = true,
            IsReadOnly = parts.IsReadOnly,
        };
        Holds = new UnitHolds(Units, _fragments);
        _zeroes = AlignedMemory.Allocate(Limits.SliceBytes);
        for (int i = 0; i < Limits.RequestsInFlightMax + parts.ReadsAbandonedMax; i++)
        {
            _freeRequests = new RemapRequest { Next = _freeRequests };
        }
        foreach (Member member in Members)
        {
            member.Gate = new MemberGate(this, _loop, member, _onGone);
        }
        Tally = TableTally.Of(Table);
        WriteCache = new WriteCacheRule(parts.WriteCache, parts.IsPrimaryCacheOff);
        SetForced();
        if (HasUnitMovedForError())
        {
            NoteBadUnit();
        }
        Forecast = new ExhaustionForecast(_loop.Now);
        _fill = Fill;
        _flush = new FlushCoordinator(this);
        Losses = new UnrecordedLosses(this, _loop);
        WritesOut = new WriteProgress(this, _loop);
        _rescues = new RepairLine<ReadRescue>(
            RescuesMax, RescuesKeptMax, WritesOut, () => new ReadRescue(this));
        _rescues.Prepare();
        _redirects = new RedirectLines(this);
        _zeroRules = new RepairLine<ZeroRule>(ZeroRulesMax, 0, WritesOut, () => new ZeroRule(this));
        _move = new UnitMove(this);
        _return = new UnitReturn(this);
        _declaration = new LossDeclaration(this);
        GivenBack = new GivenBackUnits(this);
        Patience = new PatientPass(parts.IsRetryPatient);
        Retries = new UnreadableRetry(this, _loop, parts.RetriesUnreadable);
        Healer = new Healer(this, _loop, parts.IsReadOnly ? HealPolicy.Off : parts.Heal);
        SecondCopies = new SecondCopies(parts.KeepsCopies, parts.AreCopiesInStep, parts.SecondsBelievedFor);
        Copier = new Copier(this, _loop);
        _evacuation = new SpareEvacuation(this);
        Probe = parts.ProbesNeighbourhood ? new NeighbourhoodProbe(this, _loop) : null;
    }

    public DeviceGeometry Geometry { get; }

    public UnitGeometry Units { get; }

    public RemapCounters Counters { get; } = new();

    /// <summary>
    /// The primary, then the spares by their index in the set. Replaced as a whole when a spare is added.
    /// </summary>
    public Member[] Members { get; private set; }

    public Member Primary { get; }

    /// <summary>Loop thread only.</summary>
    public RemapTable Table { get; }

    /// <summary>Loop thread only.</summary>
    public SpareAllocator Allocator { get; }

    /// <summary>Remapped units, lost and zero blocks. Any thread may read it.</summary>
    public TableTally Tally { get; }

    /// <summary>Requests that have been submitted and not answered.</summary>
    public int InFlight { get; private set; }

    /// <summary>Null where it is switched off. Loop thread only, but for its counts.</summary>
    public NeighbourhoodProbe? Probe { get; }

    /// <summary>Loop thread only.</summary>
    public UnreadableRetry Retries { get; }

    /// <summary>What the retries ask of the primary's drive.</summary>
    public PatientPass Patience { get; }

    /// <summary>Loop thread only, but for its counts.</summary>
    public Healer Healer { get; }

    /// <summary>Loop thread only.</summary>
    public Copier Copier { get; }

    /// <summary>Copies on a second spare.</summary>
    internal SecondCopies SecondCopies { get; }

    /// <summary>Copies on the primary of units in probation.</summary>
    internal ProbationLedger Copies { get; } = new();

    internal IMetadataLog Log { get; }

    internal int ReadRetries { get; }

    internal UnrecordedLosses Losses { get; }

    internal GivenBackUnits GivenBack { get; }

    internal UnitHolds Holds { get; }

    /// <summary>A repair script is running: others are moved on when it waits.</summary>
    internal bool IsInScript { get; set; }

    public Member Spare(int index) => Members[index + 1];

    public void Submit(IoRequest request)
    {
        request.MarkSubmitted();
        if (Refusal(request) is IoStatus refused and not IoStatus.Ok)
        {
            request.SetResult(refused, 0, Duration.Zero);
            _loop.DeliverLater(request);
            return;
        }
        InFlight++;
        request.SubmittedAt = _loop.Now;
        if (request.Operation is IoOperation.Flush or IoOperation.WriteZeroes or IoOperation.Discard)
        {
            StampForFlush(request);
        }
        if ((request.Flags & IoFlags.Background) == 0)
        {
            Count(request.Operation);
        }
        if (_freeRequests is null || IsHolding)
        {
            WaitForSlot(request);
            return;
        }
        Start(request);
    }

    /// <summary>A fragment came back from its member.</summary>
    public void OnCompleted(IoRequest request)
    {
        FragmentIo fragment = (FragmentIo)request.Context!;
        Member member = fragment.Member!;
        member.Record(request);
        if (request.Status == IoStatus.Ok)
        {
            TakeSuccess(fragment);
        }
        else
        {
            TakeFailure(fragment);
        }
        if (!member.Gate.IsOpen)
        {
            member.Gate.Continue();
        }
        Pump();
    }

    /// <summary>The one way into the table, so that the tally is always right.</summary>
    internal void SetEntry(in RemapEntry entry)
    {
        if (Table.TryGet(entry.Unit, out RemapEntry before))
        {
            Tally.Add(before, Units, -1);
        }
        Table.Set(entry);
        Tally.Add(entry, Units, 1);
        ForgetCopy(entry.Unit, entry.State);
        if (SecondCopies.AreKept)
        {
            NoteSecond(before, entry);
        }
    }

    internal void RemoveEntry(UnitNumber unit)
    {
        if (Table.TryGet(unit, out RemapEntry before))
        {
            Tally.Add(before, Units, -1);
            Table.Remove(unit);
            LetGoOfSecond(before);
        }
        ForgetCopy(unit, UnitState.Healthy);
    }

    /// <summary>However its rule came to change: a copy counts in probation only.</summary>
    private void ForgetCopy(UnitNumber unit, UnitState state)
    {
        if (Copies.Count > 0 && state != UnitState.Probation)
        {
            Copies.Forget(unit);
        }
    }

    /// <summary>The first block of a place in a spare unit, in the spare's own blocks.</summary>
    internal BlockNumber SpareBlock(SpareLocation location, int index) =>
        Spare(location.Spare).DataStart + new BlockCount((location.Unit.Value * Units.BlocksPerUnit) + index);

    internal void Publish(EngineEventKind kind, Member member, Extent blocks, SpareLocation location,
        int errno) =>
        _events?.Publish(new EngineEvent(kind, member.Index, blocks, location, errno));

    /// <summary>
    /// Move on whatever can move: grants, resumed requests, repairs. Called at the end of every event.
    /// </summary>
    internal void Pump()
    {
        if (_isPumping || IsInScript)
        {
            return;
        }
        if (!HasColdWork)
        {
            ContinueEnds();
            return;
        }
        _isPumping = true;
        bool moved = true;
        while (moved)
        {
            moved = StartWaitingRepairs();
            while (Holds.Count > 0 && Holds.GrantReady(out IHoldOwner owner, out UnitNumber unit))
            {
                owner.OnHeld(unit);
                moved = true;
            }
            while (_resumed.TryDequeue(out RemapRequest request))
            {
                Continue(request);
                moved = true;
            }
            while (_fragments.FreeCount > 0 && _waitingForFragments.TryDequeue(out RemapRequest request))
            {
                Continue(request);
                moved = true;
            }
        }
        _isPumping = false;
        ContinueEnds();
    }

    internal void ReleaseHold(UnitNumber unit)
    {
        Holds.Release(unit, _resumed);
    }

    /// <summary>
    /// Split the request further, as far as holds and slots allow; answer it when it is whole again.
    /// </summary>
    internal void Continue(RemapRequest request)
    {
        // The guard keeps a fragment that is refused at once from answering while we still split.
        request.Outstanding++;
        switch (request.Parent!.Operation)
        {
            case IoOperation.Read:
                SplitRead(request);
                break;
            case IoOperation.Write:
                SplitWrite(request);
                break;
            case IoOperation.WriteZeroes:
                SplitZeroes(request);
                break;
            case IoOperation.Discard:
                SplitDiscard(request);
                break;
            case IoOperation.Flush:
            case IoOperation.None:
            default:
                Invariant.Unreachable("a flush or an empty request is never split");
                break;
        }
        request.Outstanding--;
        Settle(request);
    }

    /// <summary>
    /// If nothing is left to do for it, make it durable where it asks for that, then answer.
    /// </summary>
    internal void Settle(RemapRequest request)
    {
        if (request.Outstanding > 0 || !request.IsSplit || request.IsQueued)
        {
            return;
        }
        if (request.Status == IoStatus.Ok && NeedsFlush(request))
        {
            _flush.Enqueue(request);
            return;
        }
        Answer(request);
    }

    /// <summary>
    /// The end of a request: its parent goes back to its owner, its slot to whoever waits for one.
    /// </summary>
    internal void Answer(RemapRequest request)
    {
        IoStatus status = request.Status;
        int errno = request.Errno;
        bool isAmidLoss = request.Losses != _losses;
        IoRequest parent = request.Detach();
        if (isAmidLoss)
        {
            NoteAnsweredAmidLoss(parent, status);
        }
        parent.SetResult(status, errno, _loop.Now - parent.SubmittedAt);
        if ((parent.Flags & IoFlags.Background) == 0)
        {
            Counters.FailedRequests += status == IoStatus.Ok ? 0 : 1;
            Counters.Latencies.Record(parent);
        }
        _loop.DeliverLater(parent);
        InFlight--;
        request.Next = _freeRequests;
        _freeRequests = request;
        if (_firstWaitingParent is not null && !IsHolding)
        {
            Start(TakeWaitingParent());
        }
    }

    private bool HasColdWork =>
        Holds.Count > 0 || !_resumed.IsEmpty || !_waitingForFragments.IsEmpty || HasWaitingRepairs
            || WritesOut.IsWatching;

    private IoStatus Refusal(IoRequest request)
    {
        if (IsStopping || _isRefusing)
        {
            return IoStatus.ShuttingDown;
        }
        if (request.Operation == IoOperation.Flush)
        {
            return request.Extent.IsEmpty ? IoStatus.Ok : IoStatus.Invalid;
        }
        if (request.Extent.IsEmpty || request.Extent.End > Geometry.Whole.End)
        {
            return IoStatus.Invalid;
        }
        bool hasData = request.Operation is IoOperation.Read or IoOperation.Write;
        if (hasData && request.Buffer.Length != request.Extent.Count.ToBytes(Units.BlockSize).Value)
        {
            return IoStatus.Invalid;
        }
        if (hasData && request.Buffer.Length > Geometry.TransferBytesMax)
        {
            return IoStatus.Invalid;
        }
        return Geometry.IsReadOnly && request.Operation != IoOperation.Read ? IoStatus.ReadOnly : IoStatus.Ok;
    }

    private void Start(IoRequest parent)
    {
        RemapRequest request = _freeRequests!;
        _freeRequests = request.Next;
        request.Start(parent);
        request.Losses = _losses;
        if (parent.Operation == IoOperation.Flush)
        {
            _flush.Enqueue(request);
            return;
        }
        Continue(request);
        Pump();
    }

    private void WaitForSlot(IoRequest parent)
    {
        parent.Next = null;
        if (_lastWaitingParent is null)
        {
            _firstWaitingParent = parent;
        }
        else
        {
            _lastWaitingParent.Next = parent;
        }
        _lastWaitingParent = parent;
        _waitingParents++;
    }

    private IoRequest TakeWaitingParent()
    {
        IoRequest next = _firstWaitingParent!;
        _firstWaitingParent = next.Next;
        _lastWaitingParent = _firstWaitingParent is null ? null : _lastWaitingParent;
        next.Next = null;
        _waitingParents--;
        return next;
    }

    /// <summary>
    /// Zeroing and discarding commands have no FUA of their own. What was discarded reads as zeros, and must
    /// not read as before after a power cut (P1).
    /// </summary>
    private static bool NeedsFlush(RemapRequest request) =>
        request.Parent!.IsForceUnitAccess
            && request.Parent.Operation is IoOperation.WriteZeroes or IoOperation.Discard;

    private void Count(IoOperation operation)
    {
        switch (operation)
        {
            case IoOperation.Read:
                Counters.Reads++;
                break;
            case IoOperation.Write:
                Counters.Writes++;
                break;
            case IoOperation.Flush:
                Counters.Flushes++;
                break;
            case IoOperation.Discard:
                Counters.Discards++;
                break;
            case IoOperation.WriteZeroes:
                Counters.Zeroes++;
                break;
            case IoOperation.None:
            default:
                break;
        }
    }
}
