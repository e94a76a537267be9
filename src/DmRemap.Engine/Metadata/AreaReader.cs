using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

internal interface IAreaReaderOwner
{
    /// <summary>The next bytes, in order. False: no more are wanted.</summary>
    bool OnAreaSlice(ReadOnlySpan<byte> bytes);

    /// <summary>All has been read, or no more was wanted, or a read failed or was late.</summary>
    void OnAreaRead(AreaReader reader);

    /// <summary>Something that a read given up had left with the kernel has come back.</summary>
    void OnAreaIdle();
}

/// <summary>Reads a region of a spare from front to back, a few slices at a time.</summary>
internal sealed class AreaReader : IRoundOwner
{
    private const int Window = 4;

    private readonly IAreaReaderOwner _owner;
    private readonly IoRound _round;
    private readonly BufferSlice[] _buffers = new BufferSlice[Window];
    private readonly int[] _lengths = new int[Window];
    private readonly MetadataMember _member;
    private ByteRegion _area;
    private Duration _deadline;
    private long _offset;

    public AreaReader(IEventLoop loop, MetadataMember member, IAreaReaderOwner owner)
    {
        _owner = owner;
        _member = member;
        _round = new IoRound(loop, this, Window, 0);
        int alignment = member.AlignmentBytes;
        int most = Math.Min(member.Device.Geometry.TransferBytesMax, Limits.SliceBytes);
        int bytes = most / alignment * alignment;
        Invariant.Check(bytes > 0);
        for (int i = 0; i < Window; i++)
        {
            _buffers[i] = AlignedMemory.Allocate(bytes);
        }
    }

    public MetadataMember Member => _member;

    /// <summary>A read failed or was late: see Failure.</summary>
    public bool HasFailed => _round.HasFailed;

    public bool HasTimedOut => _round.HasTimedOut;

    public MetadataFailure Failure => _round.FirstFailure;

    public int Busy => _round.Busy;

    /// <summary>Completes with OnAreaRead, never from inside this.</summary>
    /// <param name="area">Where; aligned to the member's physical block.</param>
    /// <param name="deadline">Of a few slices; zero: none.</param>
    public void Begin(ByteRegion area, Duration deadline)
    {
        Invariant.Check(area.Bytes > 0);
        Invariant.Check(Busy == 0);
        _area = area;
        _deadline = deadline;
        _offset = 0;
        SubmitWindow();
    }

    public void Abandon() => _round.Abandon();

    void IRoundOwner.OnLateReturn(IoRequest request) => _owner.OnAreaIdle();

    void IRoundOwner.OnRoundEnded(IoRound round)
    {
        bool isWanted = !round.HasFailed;
        for (int i = 0; i < round.Count && isWanted; i++)
        {
            isWanted = _owner.OnAreaSlice(_buffers[i].Span[.._lengths[i]]);
        }
        if (isWanted && _offset < _area.Bytes)
        {
            SubmitWindow();
        }
        else
        {
            _owner.OnAreaRead(this);
        }
    }

    private void SubmitWindow()
    {
        _round.Clear();
        for (int i = 0; i < Window && _offset < _area.Bytes; i++)
        {
            _lengths[i] = (int)Math.Min(_buffers[i].Length, _area.Bytes - _offset);
            _round.Add(
                i,
                _member.Device,
                IoOperation.Read,
                _member.ExtentOf(_area.Start + _offset, _lengths[i]),
                _buffers[i].Slice(0, _lengths[i]),
                IoFlags.None);
            _offset += _lengths[i];
        }
        _round.Submit(_deadline);
    }
}
