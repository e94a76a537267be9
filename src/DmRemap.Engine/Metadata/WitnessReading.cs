using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Metadata;

public interface IWitnessReadingOwner
{
    /// <summary>Called once, on the loop's thread, never from inside Begin.</summary>
    void OnWitnessRead(WitnessReading reading);
}

/// <summary>
/// Reads the primary's most volatile places, past the remap table (F-16). A place that does not read is "not
/// known", and so is one that touches a unit of the table: its sectors are known to be bad, reading them
/// again would only cost time, and what they hold is nobody's content any more.
/// </summary>
public sealed class WitnessReading : IRoundOwner
{
    private readonly IEventLoop _loop;
    private readonly IBlockDevice _primary;
    private readonly RemapTable _table;
    private readonly IWitnessReadingOwner _owner;
    private readonly IoRound _round;
    private readonly BufferSlice[] _buffers = new BufferSlice[WitnessPlaces.RangesMax];
    private readonly int[] _lengths = new int[WitnessPlaces.RangesMax];
    private readonly uint[] _words = new uint[PrimaryWitness.Places];
    private Instant _deadline;
    private Duration _patience;
    private int _place = -1;

    /// <param name="loop">On whose thread everything happens.</param>
    /// <param name="primary">The device itself.</param>
    /// <param name="table">Does not change while this reads.</param>
    /// <param name="owner">Told of the end.</param>
    public WitnessReading(
        IEventLoop loop, IBlockDevice primary, RemapTable table, IWitnessReadingOwner owner)
    {
        Invariant.Check(primary.Geometry.TransferBytesMax >= WitnessPlaces.RangeBytesMax);
        _loop = loop;
        _primary = primary;
        _table = table;
        _owner = owner;
        _round = new IoRound(loop, this, WitnessPlaces.RangesMax, 0);
        for (int i = 0; i < _buffers.Length; i++)
        {
            _buffers[i] = AlignedMemory.Allocate(WitnessPlaces.RangeBytesMax);
        }
    }

    /// <summary>What was read.</summary>
    public PrimaryWitness Witness => new(_words);

    /// <param name="patience">
    /// Of the whole reading; zero: none. Places that were not reached stay "not known", and a read that is
    /// late stays with the kernel.
    /// </param>
    public void Begin(Duration patience)
    {
        Invariant.Check(_place < 0);
        _patience = patience;
        _deadline = _loop.Now + patience;
        SubmitNext();
    }

    void IRoundOwner.OnLateReturn(IoRequest request)
    {
    }

    void IRoundOwner.OnRoundEnded(IoRound round)
    {
        if (round.Count > 0 && !round.HasFailed)
        {
            uint register = Crc32C.Start;
            for (int i = 0; i < round.Count; i++)
            {
                register = Crc32C.Append(register, _buffers[i].Span[.._lengths[i]]);
            }
            _words[_place] = PrimaryWitness.WordOf(Crc32C.Finish(register));
        }
        if (round.HasTimedOut)
        {
            _owner.OnWitnessRead(this);
            return;
        }
        SubmitNext();
    }

    /// <summary>The owner is told from the loop even where no place can be read.</summary>
    private void SubmitNext()
    {
        Duration left = _deadline - _loop.Now;
        bool isLate = _patience > Duration.Zero && left <= Duration.Zero;
        do
        {
            _place++;
        }
        while (_place < PrimaryWitness.Places && !isLate && !IsReadable(_place));
        if (_place >= PrimaryWitness.Places || isLate)
        {
            _loop.Schedule(new LoopTimer(new Ending(this)), _loop.Now);
            return;
        }
        _round.Clear();
        for (int i = 0; i < WitnessPlaces.Ranges(_place); i++)
        {
            ByteRegion region = RangeOf(_place, i);
            _lengths[i] = (int)region.Bytes;
            _round.Add(
                i, _primary, IoOperation.Read, ExtentOf(_primary.Geometry.LogicalBlockSize, region),
                _buffers[i].Slice(0, _lengths[i]), IoFlags.None);
        }
        _round.Submit(_patience > Duration.Zero ? left : Duration.Zero);
    }

    private bool IsReadable(int place)
    {
        bool isReadable = true;
        long tableBytes = _table.Geometry.Blocks.ToBytes(_table.Geometry.BlockSize).Value;
        for (int i = 0; i < WitnessPlaces.Ranges(place) && isReadable; i++)
        {
            ByteRegion region = RangeOf(place, i);
            isReadable = region.Bytes > 0
                && region.End <= tableBytes
                && _table.Geometry.BlockSize.IsAligned(region.Start)
                && _table.IsEntirelyPrimary(ExtentOf(_table.Geometry.BlockSize, region));
        }
        return isReadable;
    }

    private ByteRegion RangeOf(int place, int range) =>
        WitnessPlaces.RangeOf(place, range, _primary.Geometry.Bytes.Value);

    private static Extent ExtentOf(BlockSize size, ByteRegion region) => new(
        new BlockNumber(region.Start / size.Bytes), new BlockCount(region.Bytes / size.Bytes));

    private sealed class Ending(WitnessReading reading) : ITimerOwner
    {
        public void OnTimer(LoopTimer timer) => reading._owner.OnWitnessRead(reading);
    }
}
