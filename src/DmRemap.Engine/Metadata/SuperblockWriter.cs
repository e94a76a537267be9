using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

internal interface ISuperblockWriterOwner
{
    /// <summary>Both waves have ended: ask LacksCopy, HasHung.</summary>
    void OnSuperblocksWritten();

    void OnSuperblockPlaceFree();
}

/// <summary>
/// Writes the superblocks of one generation to the copies of all members that take part, in two waves: copies
/// 0 2 4, and 1 3 5. The second wave of a member begins only when a copy of its first is durable: otherwise a
/// power cut could tear all copies at once, and nothing would say which table is valid. It decides nothing
/// else.
/// </summary>
internal sealed class SuperblockWriter : IRoundOwner
{
    /// <summary>Superblock copies are written in two waves, by the parity of their index.</summary>
    public const int Parities = 2;

    private readonly MetadataMember?[] _members;
    private readonly ISuperblockWriterOwner _owner;
    private readonly IoRound _round;
    private readonly BufferSlice[] _buffers;
    private readonly bool[] _lacks;
    private readonly bool[] _hung;
    private readonly bool[] _takesPart;
    private SetDescription? _set;
    private SuperblockState _state;
    private Duration _deadline;
    private int _parity;
    private bool _isSecondWave;

    public SuperblockWriter(IEventLoop loop, MetadataMember?[] members, ISuperblockWriterOwner owner)
    {
        _members = members;
        _owner = owner;
        int copies = members.Length * SpareLayout.SuperblockCopies;
        _round = new IoRound(loop, this, copies, 0);
        _buffers = new BufferSlice[copies];
        _lacks = new bool[copies];
        _hung = new bool[members.Length];
        _takesPart = new bool[members.Length];
        for (int i = 0; i < copies; i++)
        {
            MetadataMember? member = members[i / SpareLayout.SuperblockCopies];
            _buffers[i] = member is null ? default : AlignedMemory.Allocate(member.Layout.SuperblockSlotBytes);
        }
    }

    public bool IsWriting { get; private set; }

    public int Busy => _round.Busy;

    /// <summary>The first write that failed, of either wave.</summary>
    public MetadataFailure FirstFailure { get; private set; }

    public bool HasFailed { get; private set; }

    /// <summary>The wave in which something failed: it goes first the next time, the other one is whole.</summary>
    public int FailedParity { get; private set; }

    public bool TookPart(int member) => _takesPart[member];

    /// <summary>The copy does not have this generation, and was not known to be bad.</summary>
    public bool LacksCopy(int member, int copy) => _lacks[TargetOf(member, copy)];

    /// <summary>Some copy of the member did not come back by the deadline.</summary>
    public bool HasHung(int member) => _hung[member];

    /// <summary>Completes with OnSuperblocksWritten, never from inside this, unless nobody takes part.</summary>
    /// <param name="set">What they say; a member that it calls active takes part.</param>
    /// <param name="state">What they say.</param>
    /// <param name="firstParity">0: copies 0, 2, 4 go first; 1: copies 1, 3, 5.</param>
    /// <param name="deadline">Of each wave.</param>
    public void Write(SetDescription set, in SuperblockState state, int firstParity, Duration deadline)
    {
        Invariant.Check(!IsWriting);
        IsWriting = true;
        HasFailed = false;
        _set = set;
        _state = state;
        _deadline = deadline;
        _parity = firstParity;
        _isSecondWave = false;
        for (int i = 0; i < _lacks.Length; i++)
        {
            _lacks[i] = false;
        }
        for (int member = 0; member < _members.Length; member++)
        {
            _hung[member] = false;
            _takesPart[member] =
                _members[member] is not null && set.Members[member].State == MemberState.Active;
        }
        SubmitWave();
    }

    public void Abandon()
    {
        _round.Abandon();
        IsWriting = false;
    }

    void IRoundOwner.OnLateReturn(IoRound round) => _owner.OnSuperblockPlaceFree();

    void IRoundOwner.OnRoundEnded(IoRound round)
    {
        for (int target = 0; target < round.Targets; target++)
        {
            TargetOutcome outcome = round.OutcomeOf(target);
            _lacks[target] |= outcome is TargetOutcome.Failed or TargetOutcome.TimedOut;
            _hung[target / SpareLayout.SuperblockCopies] |= outcome == TargetOutcome.TimedOut;
        }
        if (round.HasFailed && !HasFailed)
        {
            HasFailed = true;
            FailedParity = _parity;
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
        SetOutTheHung(round);
        _parity = 1 - _parity;
        SubmitWave();
    }

    private static int TargetOf(int member, int copy) => (member * SpareLayout.SuperblockCopies) + copy;

    /// <summary>
    /// A member of which no copy of the first wave is durable keeps its other copies as they are, and lacks
    /// this generation altogether.
    /// </summary>
    private void SetOutTheHung(IoRound round)
    {
        for (int member = 0; member < _members.Length; member++)
        {
            bool isAnyOk = false;
            bool isAnyTried = false;
            for (int copy = _parity; copy < SpareLayout.SuperblockCopies; copy += Parities)
            {
                TargetOutcome outcome = round.OutcomeOf(TargetOf(member, copy));
                isAnyOk |= outcome == TargetOutcome.Ok;
                isAnyTried |= outcome != TargetOutcome.None;
            }
            for (int copy = 0; isAnyTried && !isAnyOk && copy < SpareLayout.SuperblockCopies; copy++)
            {
                _lacks[TargetOf(member, copy)] = true;
            }
        }
    }

    private void SubmitWave()
    {
        _round.Clear();
        for (int member = 0; member < _members.Length; member++)
        {
            for (int copy = _parity; _takesPart[member] && copy < SpareLayout.SuperblockCopies; copy += Parities)
            {
                int target = TargetOf(member, copy);
                bool isKnownBad = (_set!.Members[member].BadCopies & (1 << copy)) != 0;
                if (isKnownBad || _lacks[target])
                {
                    continue;
                }
                if (_round.IsBusy(target))
                {
                    // An older generation is still on its way to it: whatever lands, it is not this one.
                    _lacks[target] = true;
                    _hung[member] = true;
                    continue;
                }
                Add(member, copy);
            }
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
