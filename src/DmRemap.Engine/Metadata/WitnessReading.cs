using System;
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
/// known", and so is one with lost blocks, which would only cost time. One with remapped units is read like
/// any other, only later: sectors that refuse writes mostly read, and the one with a file system's superblock
/// tells most. What it holds is nobody's content any more; but while we do not serve, nothing changes it.
/// </summary>
public sealed class WitnessReading : IRoundOwner
{
    private readonly IEventLoop _loop;
    private readonly IBlockDevice _primary;
    private readonly RemapTable _table;
    private readonly IWitnessReadingOwner _owner;
    private readonly Predicate<UnitNumber> _isLeftOut;
    private readonly IoRound _round;
    private readonly BufferSlice[] _buffers = new BufferSlice[WitnessPlaces.RangesMax];
    private readonly int[] _lengths = new int[WitnessPlaces.RangesMax];
    private readonly uint[] _words = new uint[PrimaryWitness.Places];
    private readonly int[] _order = new int[PrimaryWitness.Places];
    private readonly int _count;
    private Instant _deadline;
    private Duration _patience;
    private int _at = -1;

    /// <param name="loop">On whose thread everything happens.</param>
    /// <param name="primary">The device itself.</param>
    /// <param name="table">Does not change while this reads.</param>
    /// <param name="owner">Told of the end.</param>
    /// <param name="known">What it is to be compared with: no other place is read. None: all are.</param>
    /// <param name="isLeftOut">Places with such a remapped unit are not read. Null: all are.</param>
    public WitnessReading(
        IEventLoop loop, IBlockDevice primary, RemapTable table, IWitnessReadingOwner owner,
        PrimaryWitness known = default, Predicate<UnitNumber>? isLeftOut = null)
    {
        Invariant.Check(primary.Geometry.TransferBytesMax >= WitnessPlaces.RangeBytesMax);
        _loop = loop;
        _primary = primary;
        _table = table;
        _owner = owner;
        _isLeftOut = isLeftOut ?? (_ => false);
        _round = new IoRound(loop, this, WitnessPlaces.RangesMax, 0);
        for (int i = 0; i < _buffers.Length; i++)
        {
            _buffers[i] = AlignedMemory.Allocate(WitnessPlaces.RangeBytesMax);
        }
        _count = AddPlaces(0, known, isPrimary: true);
        _count = AddPlaces(_count, known, isPrimary: false);
    }

    /// <summary>What was read.</summary>
    public PrimaryWitness Witness => new(_words);

    /// <param name="patience">
    /// Of the whole reading; zero: none. Places that were not reached stay "not known", and a read that is
    /// late stays with the kernel.
    /// </param>
    public void Begin(Duration patience)
    {
        Invariant.Check(_at < 0);
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
            _words[_order[_at]] = PrimaryWitness.WordOf(Crc32C.Finish(register));
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
        _at++;
        if (_at >= _count || isLate)
        {
            _loop.Schedule(new LoopTimer(new Ending(this)), _loop.Now);
            return;
        }
        int place = _order[_at];
        _round.Clear();
        for (int i = 0; i < WitnessPlaces.Ranges(place); i++)
        {
            ByteRegion region = RangeOf(place, i);
            _lengths[i] = (int)region.Bytes;
            _round.Add(
                i, _primary, IoOperation.Read, ExtentOf(_primary.Geometry.LogicalBlockSize, region),
                _buffers[i].Slice(0, _lengths[i]), IoFlags.None);
        }
        _round.Submit(_patience > Duration.Zero ? left : Duration.Zero);
    }

    /// <summary>Those that lie on the primary as a whole, or the others; how many there are then.</summary>
    private int AddPlaces(int count, in PrimaryWitness known, bool isPrimary)
    {
        for (int place = 0; place < PrimaryWitness.Places; place++)
        {
            bool isWanted = known.IsNone || known[place] != 0;
            if (isWanted && IsReadable(place, out bool isEntirelyPrimary) && isEntirelyPrimary == isPrimary)
            {
                _order[count] = place;
                count++;
            }
        }
        return count;
    }

    private bool IsReadable(int place, out bool isEntirelyPrimary)
    {
        isEntirelyPrimary = true;
        long tableBytes = _table.Geometry.Blocks.ToBytes(_table.Geometry.BlockSize).Value;
        for (int i = 0; i < WitnessPlaces.Ranges(place); i++)
        {
            ByteRegion region = RangeOf(place, i);
            bool isInside = region.Bytes > 0
                && region.End <= tableBytes
                && _table.Geometry.BlockSize.IsAligned(region.Start);
            if (!isInside || HasUnreadable(ExtentOf(_table.Geometry.BlockSize, region)))
            {
                return false;
            }
            isEntirelyPrimary &= _table.IsEntirelyPrimary(ExtentOf(_table.Geometry.BlockSize, region));
        }
        return true;
    }

    private bool HasUnreadable(Extent blocks)
    {
        UnitNumber unit = _table.Geometry.UnitOf(blocks.Start);
        UnitNumber end = new(_table.Geometry.UnitOf(new BlockNumber(blocks.End.Value - 1)).Value + 1);
        while (_table.TryGetNext(unit, end, out RemapEntry entry))
        {
            if (entry.Blocks.MaskOf(BlockState.Lost) != 0 || _isLeftOut(entry.Unit))
            {
                return true;
            }
            unit = new(entry.Unit.Value + 1);
            if (unit.Value >= end.Value)
            {
                break;
            }
        }
        return false;
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
