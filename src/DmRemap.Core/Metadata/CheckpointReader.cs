using System;
using System.Buffers.Binary;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

/// <summary>What is wrong with a checkpoint. Hostile bytes give one of these, never an exception.</summary>
public enum CheckpointDamage : byte
{
    None = 0,

    /// <summary>No checkpoint begins here.</summary>
    NotACheckpoint = 1,

    HeaderChecksum = 2,

    /// <summary>A whole checkpoint, but not the one that the superblock names.</summary>
    NotTheOneNamed = 3,

    /// <summary>A run out of order, or over another.</summary>
    NotSorted = 4,

    /// <summary>A run beyond the primary or of no units.</summary>
    UnitOutOfBounds = 5,

    /// <summary>
    /// State, block states, reason and location contradict each other, or a field of a later version is set.
    /// </summary>
    EntryContradictory = 6,

    /// <summary>A spare unit outside its spare's data area.</summary>
    LocationOutOfBounds = 7,

    /// <summary>One spare unit in two places.</summary>
    SpareUnitTwice = 8,

    /// <summary>The runs do not add up to the number of entries named.</summary>
    WrongCount = 9,

    Checksum = 10,

    /// <summary>The trailer is not where it must be.</summary>
    NoTrailer = 11,

    /// <summary>The device could not read the place.</summary>
    Unreadable = 12,
}

/// <summary>
/// Reads one checkpoint, slice by slice, into a table. The table is to be used only when the reader
/// <see cref="IsComplete"/>; it never grows beyond the number of entries that the verified superblock names.
/// Whether spare units are used twice is not asked here: journal records may resolve it (see
/// <see cref="CheckpointWriter"/>).
/// </summary>
public sealed class CheckpointReader
{
    private SetDescription? _set;
    private RemapTable.Loader? _loader;
    private RetiredUnits? _retired;
    private CheckpointPointer _expected;
    private long _cell;
    private long _cells;
    private long _unitEnd;
    private long _entries;
    private long _retiredMax;
    private ulong _firstSequence;
    private uint _register;

    public bool IsComplete { get; private set; }

    /// <summary>Start over.</summary>
    /// <param name="set">From the superblock that names the checkpoint.</param>
    /// <param name="state">What names it; verified with the superblock.</param>
    /// <param name="retiredMax">The most retired spare units taken: the area's capacity.</param>
    /// <param name="table">Empty; filled as the slices come.</param>
    /// <param name="retired">The same.</param>
    public void Begin(
        SetDescription set,
        in SuperblockState state,
        long retiredMax,
        RemapTable table,
        RetiredUnits retired)
    {
        CheckpointPointer expected = state.Checkpoint;
        long cells = expected.Runs + expected.RetiredRuns + SpareLayout.FrameCells;
        Invariant.Check(cells * SpareLayout.CellBytes == expected.LengthBytes);
        _set = set;
        _expected = expected;
        _firstSequence = state.FirstJournalSequence;
        _retiredMax = retiredMax;
        _loader = new RemapTable.Loader(table, expected.Entries);
        _retired = retired;
        _cell = 0;
        _cells = cells;
        _unitEnd = 0;
        _entries = 0;
        _register = Crc32C.Start;
        IsComplete = false;
    }

    /// <summary>
    /// The next slice: a multiple of 64 bytes, at least 128. Bytes behind the checkpoint's end are not looked
    /// at.
    /// </summary>
    public CheckpointDamage Feed(ReadOnlySpan<byte> slice)
    {
        Invariant.Check(slice.Length >= CheckpointFormat.HeaderBytes);
        Invariant.Check(slice.Length % SpareLayout.CellBytes == 0);
        CheckpointDamage damage = CheckpointDamage.None;
        if (_cell == 0)
        {
            damage = TakeHeader(slice[..CheckpointFormat.HeaderBytes]);
            slice = slice[CheckpointFormat.HeaderBytes..];
        }
        while (damage == CheckpointDamage.None && !slice.IsEmpty && _cell < _cells)
        {
            damage = TakeCell(slice[..SpareLayout.CellBytes]);
            slice = slice[SpareLayout.CellBytes..];
        }
        return damage;
    }

    private CheckpointDamage TakeHeader(ReadOnlySpan<byte> header)
    {
        if (!header.StartsWith(CheckpointFormat.Magic))
        {
            return CheckpointDamage.NotACheckpoint;
        }
        uint crc = Get32(header, CheckpointFormat.HeaderCrcAt);
        if (crc != Crc32C.Compute(header[..CheckpointFormat.HeaderCrcAt]))
        {
            return CheckpointDamage.HeaderChecksum;
        }
        bool isNamed =
            new Guid(header.Slice(CheckpointFormat.SetUuidAt, 16), bigEndian: true) == _set!.SetUuid
            && Get64(header, CheckpointFormat.EpochAt) == _expected.Epoch
            && Get64(header, CheckpointFormat.GenerationAt) == _expected.Generation
            && Get64(header, CheckpointFormat.FirstSequenceAt) == _firstSequence;
        if (!isNamed)
        {
            return CheckpointDamage.NotTheOneNamed;
        }
        _register = Crc32C.Append(_register, header);
        _cell = CheckpointFormat.HeaderCells;
        return CheckpointDamage.None;
    }

    private CheckpointDamage TakeCell(ReadOnlySpan<byte> cell)
    {
        long index = _cell - CheckpointFormat.HeaderCells;
        _cell++;
        if (index == _expected.Runs + _expected.RetiredRuns)
        {
            return TakeTrailer(cell);
        }
        _register = Crc32C.Append(_register, cell);
        return index < _expected.Runs ? TakeRun(cell) : TakeRetiredRun(cell);
    }

    private CheckpointDamage TakeRun(ReadOnlySpan<byte> cell)
    {
        CheckpointDamage damage = TableCell.ReadRun(cell, _set!, out RemapEntry first, out int count);
        if (damage != CheckpointDamage.None)
        {
            return damage;
        }
        if (count > 1 && !first.Blocks.IsUniform(BlockStates.Mask(0, _set!.Geometry.BlocksPerUnit)))
        {
            // Each such unit is written as a run of its own: one cell cannot ask for the memory of many.
            return CheckpointDamage.EntryContradictory;
        }
        if (first.Unit.Value < _unitEnd)
        {
            return CheckpointDamage.NotSorted;
        }
        if (count > _expected.Entries - _entries)
        {
            return CheckpointDamage.WrongCount;
        }
        _loader!.Add(first, count);
        _entries += count;
        _unitEnd = first.Unit.Value + count;
        return CheckpointDamage.None;
    }

    private CheckpointDamage TakeRetiredRun(ReadOnlySpan<byte> cell)
    {
        CheckpointDamage damage = TableCell.ReadRetired(cell, _set!, out SpareLocation first, out int count);
        if (damage != CheckpointDamage.None)
        {
            return damage;
        }
        if (count > _retiredMax - _retired!.Count)
        {
            return CheckpointDamage.WrongCount;
        }
        bool isBehind = _retired.Count == 0 || IsBehind(_retired.All[^1], first);
        if (!isBehind)
        {
            return CheckpointDamage.NotSorted;
        }
        for (int i = 0; i < count; i++)
        {
            _retired.Add(new SpareLocation(first.Spare, new UnitNumber(first.Unit.Value + i)));
        }
        return CheckpointDamage.None;
    }

    private static bool IsBehind(SpareLocation last, SpareLocation next) =>
        next.Spare > last.Spare || (next.Spare == last.Spare && next.Unit > last.Unit);

    private CheckpointDamage TakeTrailer(ReadOnlySpan<byte> cell)
    {
        if (!cell.StartsWith(CheckpointFormat.TrailerMagic))
        {
            return CheckpointDamage.NoTrailer;
        }
        uint crc = Crc32C.Finish(_register);
        if (crc != Get32(cell, CheckpointFormat.TrailerCrcAt) || crc != _expected.Crc)
        {
            return CheckpointDamage.Checksum;
        }
        if (_entries != _expected.Entries || !CheckpointVerifier.IsTrailerOf(_expected, cell))
        {
            return CheckpointDamage.WrongCount;
        }
        _loader!.End();
        IsComplete = true;
        return CheckpointDamage.None;
    }

    private static uint Get32(ReadOnlySpan<byte> cell, int at) =>
        BinaryPrimitives.ReadUInt32LittleEndian(cell[at..]);

    private static ulong Get64(ReadOnlySpan<byte> cell, int at) =>
        BinaryPrimitives.ReadUInt64LittleEndian(cell[at..]);
}
