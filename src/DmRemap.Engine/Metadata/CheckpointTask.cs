using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Metadata;

internal interface ICheckpointOwner
{
    /// <summary>
    /// Written and read back where that went well: ask IsSoundAt. Or it does not fit (IsTooLong).
    /// </summary>
    void OnCheckpointEnded();

    /// <summary>What a cancelled or late checkpoint left with the kernel has come back.</summary>
    void OnCheckpointIdle();
}

/// <summary>
/// Writes the table into the idle area of every member that takes part, both places, slice by slice, and
/// reads each place back. It goes on beside commits: see <see cref="CheckpointWriter"/>. It decides nothing.
/// </summary>
internal sealed class CheckpointTask : IRoundOwner, IAreaReaderOwner
{
    private readonly MetadataMember?[] _members;
    private readonly ICheckpointOwner _owner;
    private readonly CheckpointWriter _writer = new();
    private readonly CheckpointVerifier _verifier = new();
    private readonly IoRound _round;
    private readonly AreaReader?[] _readers;
    private readonly bool[] _isSound;
    private readonly int _alignment;
    private CheckpointPointer _pointer;
    private Duration _deadline;
    private long _offset;
    private int _verifying;

    public CheckpointTask(IEventLoop loop, MetadataMember?[] members, ICheckpointOwner owner)
    {
        _members = members;
        _owner = owner;
        _readers = new AreaReader?[members.Length];
        _isSound = new bool[members.Length * SpareLayout.Places];
        int transferMax = Limits.SliceBytes;
        _alignment = 1;
        for (int i = 0; i < members.Length; i++)
        {
            if (members[i] is MetadataMember member)
            {
                transferMax = Math.Min(transferMax, member.Device.Geometry.TransferBytesMax);
                _alignment = Math.Max(_alignment, member.AlignmentBytes);
                _readers[i] = new AreaReader(loop, member, this);
            }
        }
        int sliceBytes = transferMax / _alignment * _alignment;
        Invariant.Check(sliceBytes > 0);
        _round = new IoRound(loop, this, _isSound.Length, sliceBytes);
    }

    public bool IsRunning { get; private set; }

    public bool IsTooLong => _writer.IsTooLong;

    /// <summary>What has been written is named by this.</summary>
    public CheckpointPointer Pointer => _writer.Pointer;

    public MetadataFailure FirstFailure { get; private set; }

    /// <summary>Operations that nobody waits for and the kernel still has.</summary>
    public int Busy
    {
        get
        {
            int busy = _round.Busy;
            foreach (AreaReader? reader in _readers)
            {
                busy += reader?.Busy ?? 0;
            }
            return busy;
        }
    }

    public bool IsSoundAt(int member, int place) => _isSound[(member * SpareLayout.Places) + place];

    /// <summary>Completes with OnCheckpointEnded, unless it is cancelled. Nothing may be busy.</summary>
    /// <param name="set">Whose table it is.</param>
    /// <param name="table">Walked while it goes on; it may change.</param>
    /// <param name="retired">The same.</param>
    /// <param name="start">Area, generation and epoch.</param>
    /// <param name="firstSequence">The first record to be replayed over it.</param>
    /// <param name="deadline">Of each step.</param>
    public void Begin(
        SetDescription set,
        RemapTable table,
        RetiredUnits retired,
        in CheckpointPointer start,
        ulong firstSequence,
        Duration deadline)
    {
        Invariant.Check(!IsRunning);
        Invariant.Check(Busy == 0);
        IsRunning = true;
        _pointer = start;
        _deadline = deadline;
        _offset = 0;
        long capacity = long.MaxValue;
        for (int i = 0; i < _members.Length; i++)
        {
            bool takesPart = _members[i] is { Role: not MemberRole.Absent };
            capacity = takesPart ? Math.Min(capacity, _members[i]!.Layout.AreaA1.Bytes) : capacity;
            for (int place = 0; place < SpareLayout.Places; place++)
            {
                _isSound[(i * SpareLayout.Places) + place] = takesPart;
            }
        }
        _writer.Begin(set, table, retired, start, firstSequence, capacity);
        SubmitSlice();
    }

    /// <summary>Stop, without a word to the owner but OnCheckpointIdle.</summary>
    public void Cancel()
    {
        if (!IsRunning)
        {
            return;
        }
        IsRunning = false;
        _round.Abandon();
        foreach (AreaReader? reader in _readers)
        {
            reader?.Abandon();
        }
    }

    void IRoundOwner.OnLateReturn(IoRequest request) => TellIdle();

    void IAreaReaderOwner.OnAreaIdle() => TellIdle();

    void IRoundOwner.OnRoundEnded(IoRound round)
    {
        for (int target = 0; target < round.Targets; target++)
        {
            _isSound[target] &= round.IsOk(target);
        }
        NoteFailure(round.HasFailed, round.FirstFailure, SpareLayout.Places);
        if (!_writer.IsDone && round.OkCount > 0)
        {
            SubmitSlice();
            return;
        }
        _verifying = -1;
        VerifyNext();
    }

    bool IAreaReaderOwner.OnAreaSlice(ReadOnlySpan<byte> bytes)
    {
        _verifier.Feed(bytes);
        return true;
    }

    void IAreaReaderOwner.OnAreaRead(AreaReader reader)
    {
        _isSound[_verifying] = !reader.HasFailed && _verifier.IsSound;
        NoteFailure(reader.HasFailed, reader.Failure with { Target = _verifying }, SpareLayout.Places);
        VerifyNext();
    }

    private void TellIdle()
    {
        if (Busy == 0)
        {
            _owner.OnCheckpointIdle();
        }
    }

    private void NoteFailure(bool hasFailed, in MetadataFailure failure, int targetsPerMember)
    {
        if (hasFailed)
        {
            FirstFailure = failure with { Target = failure.Target / targetsPerMember };
        }
    }

    private void SubmitSlice()
    {
        int shared = _round.TakeBuffer(out BufferSlice buffer);
        int used = _writer.Fill(buffer.Span);
        if (_writer.IsTooLong)
        {
            IsRunning = false;
            _owner.OnCheckpointEnded();
            return;
        }
        _round.Clear();
        for (int target = 0; target < _isSound.Length; target++)
        {
            if (!_isSound[target])
            {
                continue;
            }
            MetadataMember member = _members[target / SpareLayout.Places]!;
            ByteRegion area = member.Layout.Area(_pointer.Area, target % SpareLayout.Places);
            // To this member's own blocks: the area is a multiple of these, and perhaps not of another's.
            int bytes = (used + member.AlignmentBytes - 1) / member.AlignmentBytes * member.AlignmentBytes;
            Invariant.Check(_offset + bytes <= area.Bytes);
            _round.Add(
                target,
                member.Device,
                IoOperation.Write,
                member.ExtentOf(area.Start + _offset, bytes),
                buffer.Slice(0, bytes),
                IoFlags.ForceUnitAccess,
                shared);
        }
        _offset += used;
        _round.Submit(_deadline);
    }

    /// <summary>
    /// Read back, place by place: a superblock must not name what was acknowledged and is not there.
    /// </summary>
    private void VerifyNext()
    {
        _verifying++;
        while (_verifying < _isSound.Length
            && (!_isSound[_verifying] || _readers[_verifying / SpareLayout.Places]!.Busy > 0))
        {
            _isSound[_verifying] = false;
            _verifying++;
        }
        if (_verifying == _isSound.Length)
        {
            IsRunning = false;
            _owner.OnCheckpointEnded();
            return;
        }
        AreaReader reader = _readers[_verifying / SpareLayout.Places]!;
        SpareLayout layout = reader.Member.Layout;
        int alignment = reader.Member.AlignmentBytes;
        long length = (Pointer.LengthBytes + alignment - 1) / alignment * alignment;
        ByteRegion area = layout.Area(_pointer.Area, _verifying % SpareLayout.Places);
        _verifier.Begin(Pointer);
        reader.Begin(new ByteRegion(area.Start, length), _deadline);
    }
}
