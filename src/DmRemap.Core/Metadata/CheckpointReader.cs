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
/// Reads one checkpoint, slice by slice, into an image. The image is to be used only when the reader
/// <see cref="IsComplete"/>; it never grows beyond the number of entries that the verified superblock names.
/// </summary>
public sealed class CheckpointReader
{
    private SetDescription? _set;
    private TableImage? _image;
    private CheckpointPointer _expected;
    private long[] _spareUnits = [];
    private int[] _spareCounts = [];
    private int _spareRuns;
    private long _cell;
    private long _cells;
    private long _unitEnd;
    private long _retiredMax;
    private uint _register;

    public bool IsComplete { get; private set; }

    /// <summary>Start over.</summary>
    /// <param name="set">From the superblock that names the checkpoint.</param>
    /// <param name="expected">What it names; verified with it.</param>
    /// <param name="retiredMax">The most retired spare units taken: the area's capacity.</param>
    /// <param name="into">Filled as the slices come.</param>
    public void Begin(SetDescription set, in CheckpointPointer expected, long retiredMax, TableImage into)
    {
        long cells = expected.Runs + expected.RetiredRuns + SpareLayout.FrameCells;
        Invariant.Check(cells * SpareLayout.CellBytes == expected.LengthBytes);
        _set = set;
        _expected = expected;
        _retiredMax = retiredMax;
        _image = into;
        _image.Clear();
        _spareRuns = 0;
        _cell = 0;
        _cells = cells;
        _unitEnd = 0;
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
            && Get64(header, CheckpointFormat.LengthAt) == (ulong)_expected.LengthBytes
            && Get64(header, CheckpointFormat.RunsAt) == (ulong)_expected.Runs
            && Get64(header, CheckpointFormat.EntriesAt) == (ulong)_expected.Entries
            && Get64(header, CheckpointFormat.RetiredRunsAt) == (ulong)_expected.RetiredRuns;
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
        ulong unit = Get64(cell, CheckpointFormat.UnitAt);
        uint count = Get32(cell, CheckpointFormat.CountAt);
        ulong units = (ulong)_set!.Geometry.Units;
        if (count == 0 || unit >= units || count > units - unit)
        {
            return CheckpointDamage.UnitOutOfBounds;
        }
        if ((long)unit < _unitEnd)
        {
            return CheckpointDamage.NotSorted;
        }
        if (count > _expected.Entries - _image!.Count)
        {
            return CheckpointDamage.WrongCount;
        }
        CheckpointDamage damage = TakeLocation(cell, (int)count, out SpareLocation location);
        if (damage != CheckpointDamage.None)
        {
            return damage;
        }
        RemapEntry first = new()
        {
            Unit = new UnitNumber((long)unit),
            State = (UnitState)cell[CheckpointFormat.StateAt],
            Location = location,
            Blocks = new BlockStates(
                Get64(cell, CheckpointFormat.BlocksLowAt), Get64(cell, CheckpointFormat.BlocksHighAt)),
            LastErrno = BinaryPrimitives.ReadUInt16LittleEndian(cell[CheckpointFormat.ErrnoAt..]),
            LastErrorDay = BinaryPrimitives.ReadUInt16LittleEndian(cell[CheckpointFormat.DayAt..]),
        };
        bool isReasonRight = cell[CheckpointFormat.ReasonAt] == CheckpointFormat.ReasonOf(first.State);
        if (!_set.Allows(first) || !isReasonRight || !IsLaterZero(cell))
        {
            return CheckpointDamage.EntryContradictory;
        }
        AppendRun(first, (int)count);
        _unitEnd = (long)unit + count;
        return CheckpointDamage.None;
    }

    /// <summary>
    /// Fields that a later version fills. Reading past them and writing the table anew would drop them
    /// silently, so a value there is damage; a version that writes them sets a feature flag.
    /// </summary>
    private static bool IsLaterZero(ReadOnlySpan<byte> cell) =>
        cell[CheckpointFormat.ProbationCountAt] == 0
        && cell[CheckpointFormat.ProbationCountAt + 1] == 0
        && cell[CheckpointFormat.Spare2At] == 0
        && Get64(cell, CheckpointFormat.SpareUnit2At) == 0
        && Get64(cell, CheckpointFormat.ProbationDueAt) == 0
        && BinaryPrimitives.ReadUInt16LittleEndian(cell[(CheckpointFormat.DayAt + 2)..]) == 0;

    private CheckpointDamage TakeLocation(ReadOnlySpan<byte> cell, int count, out SpareLocation location)
    {
        location = SpareLocation.None;
        int sparePlusOne = cell[CheckpointFormat.Spare1At];
        ulong unit = Get64(cell, CheckpointFormat.SpareUnit1At);
        if (sparePlusOne == 0)
        {
            return unit == 0 ? CheckpointDamage.None : CheckpointDamage.EntryContradictory;
        }
        return AddSpareRun(sparePlusOne - 1, unit, count, out location);
    }

    private CheckpointDamage AddSpareRun(int spare, ulong unit, int count, out SpareLocation location)
    {
        location = SpareLocation.None;
        if (spare >= _set!.Members.Length)
        {
            return CheckpointDamage.LocationOutOfBounds;
        }
        ulong dataUnits = (ulong)_set.Members[spare].DataUnits;
        if (unit >= dataUnits || (ulong)count > dataUnits - unit)
        {
            return CheckpointDamage.LocationOutOfBounds;
        }
        if (_spareRuns == _spareUnits.Length)
        {
            int capacity = Math.Max(64, 2 * _spareRuns);
            Array.Resize(ref _spareUnits, capacity);
            Array.Resize(ref _spareCounts, capacity);
        }
        // A data area has fewer than 2^51 units of 4 KiB, so that spare and unit fit one sortable word.
        _spareUnits[_spareRuns] = ((long)spare << 56) | (long)unit;
        _spareCounts[_spareRuns] = count;
        _spareRuns++;
        location = new SpareLocation(spare, new UnitNumber((long)unit));
        return CheckpointDamage.None;
    }

    private void AppendRun(in RemapEntry first, int count)
    {
        for (int i = 0; i < count; i++)
        {
            SpareLocation location = first.Location.IsNone
                ? first.Location
                : new SpareLocation(first.Location.Spare, new UnitNumber(first.Location.Unit.Value + i));
            _image!.Append(first with { Unit = new UnitNumber(first.Unit.Value + i), Location = location });
        }
    }

    private CheckpointDamage TakeRetiredRun(ReadOnlySpan<byte> cell)
    {
        uint count = Get32(cell, CheckpointFormat.RetiredCountAt);
        int spare = cell[CheckpointFormat.RetiredSpareAt] - 1;
        bool isRestZero = !cell[(CheckpointFormat.RetiredSpareAt + 1)..].ContainsAnyExcept((byte)0);
        if (count is 0 or > int.MaxValue || spare < 0 || !isRestZero)
        {
            return CheckpointDamage.EntryContradictory;
        }
        CheckpointDamage damage = AddSpareRun(
            spare, Get64(cell, CheckpointFormat.RetiredUnitAt), (int)count, out SpareLocation first);
        if (damage != CheckpointDamage.None)
        {
            return damage;
        }
        if (count > _retiredMax - _image!.RetiredCount)
        {
            return CheckpointDamage.WrongCount;
        }
        bool isBehind = _image.RetiredCount == 0 || IsBehind(_image.Retired[^1], first);
        if (!isBehind)
        {
            return CheckpointDamage.NotSorted;
        }
        for (int i = 0; i < count; i++)
        {
            _image.AppendRetired(new SpareLocation(spare, new UnitNumber(first.Unit.Value + i)));
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
        if (_image!.Count != _expected.Entries)
        {
            return CheckpointDamage.WrongCount;
        }
        if (IsAnySpareUnitTwice())
        {
            return CheckpointDamage.SpareUnitTwice;
        }
        IsComplete = true;
        return CheckpointDamage.None;
    }

    private bool IsAnySpareUnitTwice()
    {
        Array.Sort(_spareUnits, _spareCounts, 0, _spareRuns);
        for (int i = 1; i < _spareRuns; i++)
        {
            if (_spareUnits[i - 1] + _spareCounts[i - 1] > _spareUnits[i])
            {
                return true;
            }
        }
        return false;
    }

    private static uint Get32(ReadOnlySpan<byte> cell, int at) =>
        BinaryPrimitives.ReadUInt32LittleEndian(cell[at..]);

    private static ulong Get64(ReadOnlySpan<byte> cell, int at) =>
        BinaryPrimitives.ReadUInt64LittleEndian(cell[at..]);
}
