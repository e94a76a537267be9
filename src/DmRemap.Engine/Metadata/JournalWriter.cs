using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

internal interface IJournalWriterOwner
{
    /// <summary>Each target has come back or timed out: ask OutcomeAt.</summary>
    void OnRecordWritten();

    /// <summary>A place that was busy is free again.</summary>
    void OnJournalPlaceFree();
}

/// <summary>
/// Writes one journal record to every usable place of every active member, in parallel, with FUA: what has
/// come back is durable. It decides nothing.
/// </summary>
internal sealed class JournalWriter : IRoundOwner
{
    private readonly MetadataMember?[] _members;
    private readonly JournalRing _ring;
    private readonly IJournalWriterOwner _owner;
    private readonly IoRound _round;

    public JournalWriter(
        IEventLoop loop, MetadataMember?[] members, JournalRing ring, IJournalWriterOwner owner)
    {
        _members = members;
        _ring = ring;
        _owner = owner;
        int bytesMax = ring.SlotsPerRecordMax * ring.SlotBytes;
        foreach (MetadataMember? member in members)
        {
            // A record is one write: torn it may be, but never in two requests that land apart.
            Invariant.Check(member is null || member.Device.Geometry.TransferBytesMax >= bytesMax);
        }
        _round = new IoRound(loop, this, members.Length * SpareLayout.Places, bytesMax);
    }

    public bool IsWriting => _round.IsRunning;

    public int Busy => _round.Busy;

    public bool HasFailed => _round.HasFailed;

    public bool HasTimedOut => _round.HasTimedOut;

    public int OkCount => _round.OkCount;

    public MetadataFailure FirstFailure => _round.FirstFailure;

    public TargetOutcome OutcomeAt(int member, int place) => _round.OutcomeOf(TargetOf(member, place));

    /// <summary>
    /// A place can be written: on an active member, not given up, and the kernel has none of it.
    /// </summary>
    public bool IsUsable(int member, int place) =>
        _members[member] is { IsActive: true } target
        && (target.BadJournals & (1 << place)) == 0
        && !_round.IsBusy(TargetOf(member, place));

    public bool IsAnyUsable()
    {
        for (int target = 0; target < _round.Targets; target++)
        {
            if (IsUsable(target / SpareLayout.Places, target % SpareLayout.Places))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>Where to put the record; the buffer goes to Write.</summary>
    public int TakeBuffer(out BufferSlice buffer) => _round.TakeBuffer(out buffer);

    public void Write(int buffer, BufferSlice bytes, ulong sequence, Duration deadline)
    {
        _round.Clear();
        for (int target = 0; target < _round.Targets; target++)
        {
            int member = target / SpareLayout.Places;
            int place = target % SpareLayout.Places;
            if (!IsUsable(member, place))
            {
                continue;
            }
            MetadataMember to = _members[member]!;
            _round.Add(
                target,
                to.Device,
                IoOperation.Write,
                to.ExtentOf(to.Journal(place).Start + _ring.OffsetOf(sequence), bytes.Length),
                bytes,
                IoFlags.ForceUnitAccess,
                buffer);
        }
        _round.Submit(deadline);
    }

    public void Abandon() => _round.Abandon();

    void IRoundOwner.OnRoundEnded(IoRound round) => _owner.OnRecordWritten();

    void IRoundOwner.OnLateReturn(IoRequest request) => _owner.OnJournalPlaceFree();

    private static int TargetOf(int member, int place) => (member * SpareLayout.Places) + place;
}
