using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

internal interface ICheckpointLoadOwner
{
    /// <summary>The image is the checkpoint named when the damage is None.</summary>
    void OnLoaded(CheckpointLoad load);
}

/// <summary>
/// Reads the checkpoint that a superblock names, from the first place of the first member that has it whole:
/// all places of all members were written before the superblock was. When none has it, every place is tried
/// once more.
/// </summary>
internal sealed class CheckpointLoad : IRoundOwner
{
    private const int PassesMax = 2;

    private readonly SetDescription _set;
    private readonly CheckpointPointer _pointer;
    private readonly MetadataMember[] _members;
    private readonly ICheckpointLoadOwner _owner;
    private readonly CheckpointReader _reader = new();
    private readonly IoRound _round;
    private readonly BufferSlice _slice;
    private int _attempt;
    private long _offset;

    public CheckpointLoad(
        SetDescription set,
        in CheckpointPointer pointer,
        MetadataMember[] members,
        ICheckpointLoadOwner owner)
    {
        _set = set;
        _pointer = pointer;
        _members = members;
        _owner = owner;
        _round = new IoRound(this, 1);
        int sliceBytes = 0;
        foreach (MetadataMember member in members)
        {
            sliceBytes = Math.Max(
                sliceBytes, Math.Min(member.Device.Geometry.TransferBytesMax, Limits.SliceBytes));
        }
        _slice = AlignedMemory.Allocate(sliceBytes);
    }

    public TableImage Image { get; } = new();

    /// <summary>Of the last place tried; Unreadable when any place was.</summary>
    public CheckpointDamage Damage { get; private set; }

    /// <summary>Places that were tried and did not have it.</summary>
    public int PlacesBad { get; private set; }

    public void Begin() => BeginPlace();

    public void OnRoundEnded(IoRound round)
    {
        CheckpointDamage damage = round.HasFailed
            ? CheckpointDamage.Unreadable
            : _reader.Feed(_slice.Span[..LengthOfRead()]);
        if (damage != CheckpointDamage.None)
        {
            OnPlaceBad(damage);
        }
        else if (_reader.IsComplete)
        {
            Damage = CheckpointDamage.None;
            _owner.OnLoaded(this);
        }
        else
        {
            _offset += LengthOfRead();
            SubmitRead();
        }
    }

    private void BeginPlace()
    {
        MetadataMember member = Member();
        _reader.Begin(_set, _pointer, member.Layout.EntriesMax, Image);
        _offset = 0;
        SubmitRead();
    }

    private void SubmitRead()
    {
        MetadataMember member = Member();
        ByteRegion area = member.Layout.Area(_pointer.Area, _attempt % SpareLayout.Places);
        int bytes = LengthOfRead();
        _round.Clear();
        _round.Add(
            MemberIndex(),
            member.Device,
            IoOperation.Read,
            member.ExtentOf(area.Start + _offset, bytes),
            _slice.Slice(0, bytes),
            IoFlags.None);
        _round.Submit();
    }

    private void OnPlaceBad(CheckpointDamage damage)
    {
        bool wasUnreadable = Damage == CheckpointDamage.Unreadable;
        Damage = wasUnreadable ? CheckpointDamage.Unreadable : damage;
        PlacesBad++;
        _attempt++;
        if (_attempt < _members.Length * SpareLayout.Places * PassesMax)
        {
            BeginPlace();
        }
        else
        {
            Image.Clear();
            _owner.OnLoaded(this);
        }
    }

    private int MemberIndex() => _attempt / SpareLayout.Places % _members.Length;

    private MetadataMember Member() => _members[MemberIndex()];

    /// <summary>
    /// The rest of the checkpoint in whole physical blocks, or as much of it as one read may take.
    /// </summary>
    private int LengthOfRead()
    {
        MetadataMember member = Member();
        int alignment = member.AlignmentBytes;
        long rest = (_pointer.LengthBytes - _offset + alignment - 1) / alignment * alignment;
        long most = Math.Min(_slice.Length, member.Device.Geometry.TransferBytesMax) / alignment * alignment;
        return (int)Math.Min(rest, most);
    }
}
