using System.Runtime.CompilerServices;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Accounting;
using DmRemap.Core.Faults;
using DmRemap.Core.Flushing;
using DmRemap.Engine.Flushing;
using DmRemap.Engine.Presence;

namespace DmRemap.Engine;

/// <summary>
/// A primary or a spare as the remapped device sees it: the device, where its data starts, and what is known
/// of its volatile cache. Written by the loop's thread only; the counters may be read from any thread.
/// </summary>
public sealed class Member
{
    /// <summary>The index of the primary among a device's members; spare s is member s.</summary>
    public const int Primary = -1;

    private readonly ICacheLossSource? _cacheLosses;
    private ExtentLog _unflushed = new();
    private ExtentLog _covered = new();
    private long _cacheLossesTaken;
    private bool _isOpeningTaken;
    private int _controls;
    private bool _hasFailedFlush;
    private bool _hasLostCache;

    public Member(int index, string name, IBlockDevice device, BlockNumber dataStart)
    {
        Index = index;
        Name = name;
        Device = device;
        DataStart = dataStart;
        _cacheLosses = device as ICacheLossSource;
    }

    /// <summary><see cref="Primary"/>, or the spare's index in the set.</summary>
    public int Index { get; }

    /// <summary>For people: "main" or the spare's path.</summary>
    public string Name { get; }

    public IBlockDevice Device { get; }

    /// <summary>The block at which unit 0 of the data area starts; 0 on the primary.</summary>
    public BlockNumber DataStart { get; }

    public MemberKind Kind { get; init; } = MemberKind.File;

    /// <summary>
    /// The kernel's time-out for one command of this device; zero when unknown. Set on the loop's thread.
    /// </summary>
    public Duration CommandTimeout { get; set; }

    /// <summary>A spare that has not been here since the start: nothing was ever sent to it.</summary>
    public bool IsAbsent { get; init; }

    /// <summary>
    /// What it acknowledged without FUA may be gone with its power until it is flushed. False where the
    /// device says so itself, as an NBD client does.
    /// </summary>
    public bool HasVolatileCache { get; set; } = true;

    /// <summary>
    /// What a former instance wrote may still be in its cache. False where that was stopped cleanly.
    /// </summary>
    public bool HasFormerWrites { get; init; } = true;

    /// <summary>How it is known again when it was gone; null: by being there, no more.</summary>
    public IMemberIdentity? Identity { get; init; }

    /// <summary>
    /// It has left the set for ever, with nothing on it: nothing goes there, and no flush asks it.
    /// </summary>
    public bool IsRemoved { get; set; }

    public bool IsPrimary => Index == Primary;

    /// <summary>Its disk is gone (F-17).</summary>
    public bool IsGone => Gate.IsGone;

    /// <summary>While it is gone: since when.</summary>
    public Instant GoneSince => Gate.GoneSince;

    /// <summary>Requests that wait for its return.</summary>
    public int RequestsKept => Gate.Kept;

    /// <summary>It is gone, and what needs it waits. On the loop's thread.</summary>
    public bool KeepsRequests => Gate.Keeps;

    /// <summary>How much longer that waits; null: it fails at once, or waits for the return.</summary>
    public Duration? KeepsRequestsFor => Gate.KeepsFor;

    /// <summary>Given by the device that it becomes a member of.</summary>
    internal MemberGate Gate { get; set; } = null!;

    public long Reads { get; set; }

    public long Writes { get; set; }

    public long ReadErrors { get; set; }

    public long WriteErrors { get; set; }

    public long Flushes { get; set; }

    public long FlushErrors { get; set; }

    /// <summary>
    /// How long it took for what it was given on behalf of requests: fragments, rescues, repairs, flushes.
    /// What the table writes is not among them.
    /// </summary>
    public OperationLatencies Latencies { get; } = new();

    /// <summary>
    /// What it has read and written on behalf of requests and repairs since the start.
    /// </summary>
    public long BytesTransferred { get; private set; }

    /// <summary>
    /// Writes without FUA that have completed since the start, counted from 1: see <see
    /// cref="FlushedWrites"/>.
    /// </summary>
    /// <remarks>
    /// Starts at 1 with FlushedWrites at 0: after a start every member counts as dirty, because a former
    /// instance may have acknowledged writes that still sit in the member's cache (F-7).
    /// </remarks>
    public long CompletedWrites { get; set; } = 1;

    /// <summary>The value of <see cref="CompletedWrites"/> that the last successful flush covered.</summary>
    public long FlushedWrites { get; set; }

    /// <summary>An operation that it was given for requests or repairs has come back.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Record(IoRequest completed)
    {
        Latencies.Record(completed);
        BytesTransferred += completed.Status == IoStatus.Ok ? completed.Buffer.Length : 0;
    }

    public bool IsDirty => CompletedWrites != FlushedWrites && !IsRemoved;

    /// <summary>Reads with it that nobody waits for any more. Any thread may read it.</summary>
    public int ReadsAbandoned { get; internal set; }

    internal bool HasManyAbandoned => ReadsAbandoned >= Limits.ReadsAbandonedOfMemberMax;

    /// <summary>Of a spare: what its start knows of its cache; null for the primary.</summary>
    public OpeningFlush? OpeningFlush { get; init; }

    /// <summary>
    /// A flush failed, or its cache was lost, and nobody has ended the doubt about what that concerned.
    /// </summary>
    public bool HasLostFlush => HasFailedFlush || HasLostCache;

    /// <summary>A flush failed, the one of the start included.</summary>
    public bool HasFailedFlush =>
        _hasFailedFlush || HasFailedOpening || (HasCacheLossToTake && IsLossOfFlush);

    /// <summary>It was away with something in its cache that was acknowledged.</summary>
    public bool HasLostCache => _hasLostCache || (HasCacheLossToTake && !IsLossOfFlush);

    /// <summary>How often what was acknowledged there has become uncertain.</summary>
    internal long Losses { get; private set; }

    /// <summary>The flush of its start has failed, and nobody has been told yet.</summary>
    internal bool HasFailedOpening => OpeningFlush is { HasFailed: true } && !_isOpeningTaken;

    /// <summary>Its device has lost acknowledged writes, and they are not taken note of yet.</summary>
    internal bool HasCacheLossToTake =>
        _cacheLosses is not null && _cacheLosses.CacheLosses != _cacheLossesTaken;

    /// <summary>The loss to be taken is a flush's that failed behind a forced write (F-9).</summary>
    internal bool IsLossOfFlush => _cacheLosses is { IsLossOfFlush: true };

    /// <summary>Something was acknowledged that no flush has covered, of a former instance too.</summary>
    internal bool MayHaveUnflushed => !_unflushed.IsEmpty || !_covered.IsEmpty || IsFormerUnflushed;

    /// <summary>
    /// No flush has succeeded and none has failed: what a former instance left is not known.
    /// </summary>
    internal bool IsFormerUnflushed => HasFormerWrites && FlushedWrites == 0 && Losses == 0;

    /// <summary>Written without FUA; blocks of the exported device.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void NoteUnflushed(Extent exported)
    {
        CompletedWrites++;
        _unflushed.Add(exported);
    }

    internal void OnFlushBegun()
    {
        Invariant.Check(_covered.IsEmpty);
        (_covered, _unflushed) = (_unflushed, _covered);
    }

    internal void OnFlushed(long coveredWrites)
    {
        Flushes++;
        FlushedWrites = coveredWrites;
        _covered.Clear();
    }

    /// <summary>
    /// All that is not durable there is uncertain from here on. True where some of it was written after the
    /// flush that is out was sent.
    /// </summary>
    internal bool TakeLoss(UncertainCause cause, UncertainWrites into)
    {
        bool hasMore = !_unflushed.IsEmpty;
        MoveTo(into, _covered);
        MoveTo(into, _unflushed);
        _isOpeningTaken |= HasFailedOpening;
        _cacheLossesTaken = _cacheLosses?.CacheLosses ?? 0;
        _hasFailedFlush |= cause == UncertainCause.FlushFailed;
        _hasLostCache |= cause == UncertainCause.CacheLost;
        Losses++;
        return hasMore;
    }

    /// <summary>
    /// Where a control reads: a superblock, each copy in turn, since one may be bad. A member without has its
    /// first block read.
    /// </summary>
    internal Extent NextControl()
    {
        if (Identity is not IMemberIdentity identity)
        {
            return new Extent(default, new BlockCount(1));
        }
        _controls = (_controls + 1) % identity.Places;
        return identity.PlaceAt(_controls);
    }

    /// <summary>True when there was such a doubt.</summary>
    internal bool EndDoubt(UncertainCause cause)
    {
        bool was = cause == UncertainCause.FlushFailed ? _hasFailedFlush : _hasLostCache;
        _hasFailedFlush &= cause != UncertainCause.FlushFailed;
        _hasLostCache &= cause != UncertainCause.CacheLost;
        return was;
    }

    private static void MoveTo(UncertainWrites into, ExtentLog log)
    {
        for (int i = 0; i < log.Count; i++)
        {
            into.Add(log[i]);
        }
        log.Clear();
    }
}
