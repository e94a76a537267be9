using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

internal interface ISuperblockWriterOwner
{
    /// <summary>Both waves have ended: ask LackingCopies, HasAny, HasHung.</summary>
    void OnSuperblocksWritten();

    void OnSuperblockPlaceFree();
}

/// <summary>
/// Writes the superblocks of one generation to all copies of all members that take part, in two waves: copies
/// 0 2 4, and 1 3 5. The second wave of a member begins only when a copy of its first is durable, and the
/// first is a half that leaves a good copy in the other: otherwise a power cut, or writes that fail and tear,
/// could take all copies at once, and nothing would say which table is valid. Copies that failed before are
/// tried again each time. It decides nothing else.
/// </summary>
internal sealed class SuperblockWriter : IRoundOwner
{
    private const byte EvenCopies = 0b010101;
    private const byte OddCopies = 0b101010;

    private readonly MetadataMember?[] _members;
    private readonly ISuperblockWriterOwner _owner;
    private readonly IoRound _round;
    private readonly BufferSlice[] _buffers;
    private readonly byte[] _lacking;
    private readonly byte[] _half;
    private readonly bool[] _hasAny;
    private readonly bool[] _hung;
    private readonly bool[] _takesPart;
    private SetDescription? _set;
    private SuperblockState _state;
    private Duration _deadline;
    private bool _isSecondWave;

    public SuperblockWriter(IEventLoop loop, MetadataMember?[] members, ISuperblockWriterOwner owner)
    {
        _members = members;
        _owner = owner;
        int copies = members.Length * SpareLayout.SuperblockCopies;
        _round = new IoRound(loop, this, copies, 0);
        _buffers = new BufferSlice[copies];
        _lacking = new byte[members.Length];
        _half = new byte[members.Length];
        _hasAny = new bool[members.Length];
        _hung = new bool[members.Length];
        _takesPart = new bool[members.Length];
        for (int i = 0; i < copies; i++)
        {
            MetadataMember? member = members[i / SpareLayout.SuperblockCopies];
            _buffers[i] = member is null
                ? default
                : AlignedMemory.Allocate(member.Layout.SuperblockSlotBytes);
        }
    }

    public bool IsWriting { get; private set; }

    public int Busy => _round.Busy;

    /// <summary>The first write that failed, of either wave. Target is the member.</summary>
    public MetadataFailure FirstFailure { get; private set; }

    public bool HasFailed { get; private set; }

    public bool TookPart(int member) => _takesPart[member];

    /// <summary>Copies that do not have this generation. Bit: copy.</summary>
    public byte LackingCopies(int member) => _lacking[member];

    /// <summary>Some copy of the member has this generation.</summary>
    public bool HasAny(int member) => _hasAny[member];

    /// <summary>Some copy of the member did not come back by the deadline.</summary>
    public bool HasHung(int member) => _hung[member];

    /// <summary>
    /// Completes with OnSuperblocksWritten, never from inside this while any copy is not busy.
    /// </summary>
    /// <param name="set">What they say; a member that it calls active takes part.</param>
    /// <param name="state">What they say.</param>
    /// <param name="deadline">Of each wave.</param>
    public void Write(SetDescription set, in SuperblockState state, Duration deadline)
    {
        Invariant.Check(!IsWriting);
        IsWriting = true;
        HasFailed = false;
        _set = set;
        _state = state;
        _deadline = deadline;
        _isSecondWave = false;
        Array.Clear(_lacking);
        Array.Clear(_hasAny);
        Array.Clear(_hung);
        for (int member = 0; member < _members.Length; member++)
        {
            _takesPart[member] =
                _members[member] is not null && set.Members[member].State == MemberState.Active;
            // What is good in the half that waits is safe whatever happens to the half that goes first.
            byte bad = _members[member]?.BadCopies ?? 0;
            _half[member] = (bad & OddCopies) == OddCopies ? OddCopies : EvenCopies;
        }
        SubmitWave();
    }

    public void Abandon()
    {
        _round.Abandon();
        IsWriting = false;
    }

    void IRoundOwner.OnLateReturn(IoRequest request) => _owner.OnSuperblockPlaceFree();

    void IRoundOwner.OnRoundEnded(IoRound round)
    {
        for (int target = 0; target < round.Targets; target++)
        {
            TakeOutcome(target / SpareLayout.SuperblockCopies, target, round.OutcomeOf(target));
        }
        if (round.HasFailed && !HasFailed)
        {
            HasFailed = true;
            FirstFailure = round.FirstFailure with
            {
                Target = round.FirstFailure.Target / SpareLayout.SuperblockCopies,
            };
        }
        if (_isSecondWave)
        {
            IsWriting = false;
            _owner.OnSuperblocksWritten();
            return;
        }
        _isSecondWave = true;
        for (int member = 0; member < _members.Length; member++)
        {
            _half[member] ^= EvenCopies | OddCopies;
            if (_takesPart[member] && !_hasAny[member])
            {
                // It keeps its other half as it is, and lacks this generation altogether.
                _lacking[member] = EvenCopies | OddCopies;
                _half[member] = 0;
            }
        }
        SubmitWave();
    }

    private static int TargetOf(int member, int copy) => (member * SpareLayout.SuperblockCopies) + copy;

    private void TakeOutcome(int member, int target, TargetOutcome outcome)
    {
        int copy = target % SpareLayout.SuperblockCopies;
        bool hasFailed = outcome is TargetOutcome.Failed or TargetOutcome.TimedOut;
        _lacking[member] |= (byte)(hasFailed ? 1 << copy : 0);
        _hung[member] |= outcome == TargetOutcome.TimedOut;
        _hasAny[member] |= outcome == TargetOutcome.Ok;
    }

    private void SubmitWave()
    {
        _round.Clear();
        for (int target = 0; target < _round.Targets; target++)
        {
            int member = target / SpareLayout.SuperblockCopies;
            int copy = target % SpareLayout.SuperblockCopies;
            if (!_takesPart[member] || (_half[member] & (1 << copy)) == 0)
            {
                continue;
            }
            if (_round.IsBusy(target))
            {
                // An older generation is still on its way to it: whatever lands, it is not this one.
                _lacking[member] |= (byte)(1 << copy);
                _hung[member] = true;
                continue;
            }
            Add(member, copy);
        }
        if (_round.Count > 0)
        {
            _round.Submit(_deadline);
        }
        else
        {
            ((IRoundOwner)this).OnRoundEnded(_round);
        }
    }

    private void Add(int member, int copy)
    {
        MetadataMember target = _members[member]!;
        BufferSlice buffer = _buffers[TargetOf(member, copy)];
        SuperblockEncoder.Encode(_set!, target.Layout, _state, member, copy, buffer.Span);
        _round.Add(
            TargetOf(member, copy),
            target.Device,
            IoOperation.Write,
            target.ExtentOf(target.Layout.Superblock(copy).Start, buffer.Length),
            buffer,
            IoFlags.ForceUnitAccess);
    }
}
