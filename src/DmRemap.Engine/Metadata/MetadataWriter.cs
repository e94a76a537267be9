using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

internal interface IMetadataWriterOwner
{
    /// <summary>A checkpoint is durable in both places of every member, or some write of it failed.</summary>
    void OnCheckpointWritten(bool isDurable);

    /// <summary>Every superblock copy of every member is durable, or some write failed.</summary>
    void OnSuperblocksWritten(bool isDurable);
}

/// <summary>
/// The two writes that metadata consists of, one at a time: a checkpoint into one area, and the superblocks
/// of one generation. It decides nothing; <see cref="MetadataStore"/> decides what may be written when. All
/// writes carry FUA: what has completed is durable.
/// </summary>
internal sealed class MetadataWriter : IRoundOwner
{
    /// <summary>Superblock copies are written in two waves, by the parity of their index.</summary>
    public const int Parities = 2;

    private readonly SetDescription _set;
    private readonly MetadataMember[] _members;
    private readonly IMetadataWriterOwner _owner;
    private readonly CheckpointWriter _checkpoint = new();
    private readonly IoRound _sliceRound;
    private readonly IoRound _superblockRound;
    private readonly BufferSlice _slice;
    private readonly BufferSlice[] _superblocks;
    private SuperblockState _state;
    private CheckpointArea _area;
    private long _areaOffset;
    private int _parity;
    private bool _isSecondWave;

    public MetadataWriter(SetDescription set, MetadataMember[] members, IMetadataWriterOwner owner)
    {
        Invariant.Check(members.Length == set.Members.Length);
        _set = set;
        _members = members;
        _owner = owner;
        _sliceRound = new IoRound(this, members.Length * SpareLayout.Places);
        _superblockRound = new IoRound(this, members.Length * SpareLayout.SuperblockCopies);
        _slice = AlignedMemory.Allocate(SliceBytesFor(members));
        _superblocks = AllocateSuperblocks(members);
    }

    /// <summary>What the last finished checkpoint is named by.</summary>
    public CheckpointPointer Checkpoint => _checkpoint.Pointer;

    public MetadataFailure LastFailure { get; private set; }

    /// <summary>After a failure of superblocks: the wave that failed.</summary>
    public int FailedParity { get; private set; }

    public bool IsWriting => _sliceRound.IsRunning || _superblockRound.IsRunning;

    /// <summary>Completes with OnCheckpointWritten. The image must not change before.</summary>
    public void WriteCheckpoint(TableImage image, CheckpointArea area, ulong epoch, ulong generation)
    {
        Invariant.Check(!IsWriting);
        _checkpoint.Begin(_set, image, area, epoch, generation);
        _area = area;
        _areaOffset = 0;
        SubmitSlice();
    }

    /// <summary>Completes with OnSuperblocksWritten.</summary>
    /// <param name="state">What they say.</param>
    /// <param name="firstParity">0: copies 0, 2, 4 go first; 1: copies 1, 3, 5.</param>
    public void WriteSuperblocks(in SuperblockState state, int firstParity)
    {
        Invariant.Check(!IsWriting);
        _state = state;
        _parity = firstParity;
        _isSecondWave = false;
        SubmitWave();
    }

    public void OnRoundEnded(IoRound round)
    {
        if (round.HasFailed)
        {
            LastFailure = round.FirstFailure;
        }
        if (round == _sliceRound)
        {
            OnSliceWritten(!round.HasFailed);
        }
        else
        {
            OnWaveWritten(!round.HasFailed);
        }
    }

    private static int SliceBytesFor(MetadataMember[] members)
    {
        int transferMax = Limits.SliceBytes;
        int alignment = 1;
        foreach (MetadataMember member in members)
        {
            transferMax = Math.Min(transferMax, member.Device.Geometry.TransferBytesMax);
            alignment = Math.Max(alignment, member.AlignmentBytes);
        }
        int bytes = transferMax / alignment * alignment;
        Invariant.Check(bytes > 0);
        return bytes;
    }

    private static BufferSlice[] AllocateSuperblocks(MetadataMember[] members)
    {
        BufferSlice[] slices = new BufferSlice[members.Length * SpareLayout.SuperblockCopies];
        for (int i = 0; i < slices.Length; i++)
        {
            slices[i] = AlignedMemory.Allocate(
                members[i / SpareLayout.SuperblockCopies].Layout.SuperblockSlotBytes);
        }
        return slices;
    }

    private static int AlignUp(int value, int alignment) => (value + alignment - 1) / alignment * alignment;

    private void SubmitSlice()
    {
        int used = _checkpoint.Fill(_slice.Span);
        _sliceRound.Clear();
        for (int member = 0; member < _members.Length; member++)
        {
            MetadataMember target = _members[member];
            int bytes = AlignUp(used, target.AlignmentBytes);
            for (int place = 0; place < SpareLayout.Places; place++)
            {
                ByteRegion area = target.Layout.Area(_area, place);
                Invariant.Check(_areaOffset + bytes <= area.Bytes);
                _sliceRound.Add(
                    member,
                    target.Device,
                    IoOperation.Write,
                    target.ExtentOf(area.Start + _areaOffset, bytes),
                    _slice.Slice(0, bytes),
                    IoFlags.ForceUnitAccess);
            }
        }
        _areaOffset += used;
        _sliceRound.Submit();
    }

    private void OnSliceWritten(bool isDurable)
    {
        if (!isDurable || _checkpoint.IsDone)
        {
            _owner.OnCheckpointWritten(isDurable);
        }
        else
        {
            SubmitSlice();
        }
    }

    /// <summary>
    /// One half of the copies of every member. The other half is not touched until this one is durable: else
    /// a power cut could tear all copies at once, and nothing would say which table is valid.
    /// </summary>
    private void SubmitWave()
    {
        _superblockRound.Clear();
        for (int member = 0; member < _members.Length; member++)
        {
            MetadataMember target = _members[member];
            for (int copy = _parity; copy < SpareLayout.SuperblockCopies; copy += Parities)
            {
                BufferSlice buffer = _superblocks[(member * SpareLayout.SuperblockCopies) + copy];
                SuperblockEncoder.Encode(_set, target.Layout, _state, member, copy, buffer.Span);
                _superblockRound.Add(
                    member,
                    target.Device,
                    IoOperation.Write,
                    target.ExtentOf(target.Layout.Superblock(copy).Start, buffer.Length),
                    buffer,
                    IoFlags.ForceUnitAccess);
            }
        }
        _superblockRound.Submit();
    }

    private void OnWaveWritten(bool isDurable)
    {
        if (!isDurable)
        {
            FailedParity = _parity;
            _owner.OnSuperblocksWritten(isDurable: false);
        }
        else if (_isSecondWave)
        {
            _owner.OnSuperblocksWritten(isDurable: true);
        }
        else
        {
            _isSecondWave = true;
            _parity = 1 - _parity;
            SubmitWave();
        }
    }
}
