using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

internal interface IRingReadOwner
{
    void OnRingsRead(RingRead rings);
}

/// <summary>
/// Reads the journal ring of every place of every member that is here, one after the other, into a history.
/// What a device cannot read is read again slot by slot; a slot that stays unreadable counts as empty here,
/// and as missing where the history needs it.
/// </summary>
internal sealed class RingRead : IRoundOwner
{
    private const int AttemptsMax = 3;

    private readonly MetadataMember?[] _members;
    private readonly JournalRing _ring;
    private readonly IRingReadOwner _owner;
    private readonly IoRound _round;
    private readonly BufferSlice _buffer;
    private readonly byte[] _bytes;
    private int _place = -1;
    private long _offset;
    private int _length;
    private int _attempt;
    private long _slotwiseUntil;

    public RingRead(IEventLoop loop, SetDescription set, MetadataMember?[] members, IRingReadOwner owner)
    {
        _members = members;
        _ring = set.Journal;
        _owner = owner;
        _round = new IoRound(loop, this, 1, 0);
        _buffer = AlignedMemory.Allocate(Math.Max(Limits.SliceBytes, _ring.SlotBytes));
        _bytes = new byte[_ring.Bytes];
        History = new JournalHistory(set.SetUuid, _ring);
    }

    public JournalHistory History { get; }

    public int SlotsUnreadable { get; private set; }

    public void Begin() => NextPlace();

    void IRoundOwner.OnLateReturn(IoRequest request)
    {
    }

    void IRoundOwner.OnRoundEnded(IoRound round)
    {
        if (round.HasFailed && _length > _ring.SlotBytes)
        {
            _slotwiseUntil = _offset + _length;
            Submit();
            return;
        }
        if (round.HasFailed && _attempt < AttemptsMax)
        {
            _attempt++;
            Submit();
            return;
        }
        Span<byte> target = _bytes.AsSpan((int)_offset, _length);
        if (round.HasFailed)
        {
            SlotsUnreadable++;
            target.Clear();
        }
        else
        {
            _buffer.Span[.._length].CopyTo(target);
        }
        _offset += _length;
        _attempt = 1;
        if (_offset < _ring.Bytes)
        {
            Submit();
            return;
        }
        History.AddPlace(_place, _bytes);
        NextPlace();
    }

    private void NextPlace()
    {
        _place++;
        while (_place < _members.Length * SpareLayout.Places && _members[_place / SpareLayout.Places] is null)
        {
            _place++;
        }
        if (_place == _members.Length * SpareLayout.Places)
        {
            _owner.OnRingsRead(this);
            return;
        }
        _offset = 0;
        _slotwiseUntil = 0;
        _attempt = 1;
        Submit();
    }

    private void Submit()
    {
        MetadataMember member = _members[_place / SpareLayout.Places]!;
        int most = Math.Min(Limits.SliceBytes, member.Device.Geometry.TransferBytesMax)
            / _ring.SlotBytes * _ring.SlotBytes;
        most = _offset < _slotwiseUntil ? _ring.SlotBytes : Math.Max(most, _ring.SlotBytes);
        _length = (int)Math.Min(most, _ring.Bytes - _offset);
        _round.Clear();
        _round.Add(
            0,
            member.Device,
            IoOperation.Read,
            member.ExtentOf(member.Journal(_place % SpareLayout.Places).Start + _offset, _length),
            _buffer.Slice(0, _length),
            IoFlags.None);
        _round.Submit(Duration.Zero);
    }
}
