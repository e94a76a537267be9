using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

/// <summary>Which of the two checkpoint areas. The other one is idle.</summary>
public enum CheckpointArea : byte
{
    A = 0,
    B = 1,
}

/// <summary>
/// Where everything lies on one spare. Fixed at `create` and written into each superblock: a later formula
/// does not move what an earlier one placed.
/// <code>
///   0        512 KiB    1 MiB     2 MiB     4 MiB                                              end
///   S0 ......S1.........S2........S3........S4 ......| data units ......... |  J'  A'  B'  ... S5
///      front pieces J, A, B: the first gap that holds each             second places of J, A, B
/// </code>
/// The second places lie behind the data, so that one bad neighbourhood never takes both (16 MiB apart and
/// more as soon as the data area is that long). All pieces are aligned to the unit and to the spare's
/// physical block; the data area overlaps none of them.
/// </summary>
public sealed record SpareLayout
{
    public const int SuperblockCopies = 6;

    public const int SuperblockBytes = 4096;

    /// <summary>Physical blocks longer than this are refused.</summary>
    public const int PhysicalBlockBytesMax = 64 * 1024;

    /// <summary>Places of each journal ring and of each checkpoint area.</summary>
    public const int Places = 2;

    /// <summary>Bytes of one entry in a checkpoint.</summary>
    public const int CellBytes = 64;

    /// <summary>
    /// Entries for lost and zero units, which need no spare unit: at least this many have room.
    /// </summary>
    public const long LostUnitsMin = 4096;

    /// <summary>
    /// Entries in one table at most, whatever the spares' size: what recovery holds in one array.
    /// </summary>
    public const long TableEntriesMax = 1L << 28;

    /// <summary>A checkpoint's header and trailer, in cells.</summary>
    internal const int FrameCells = 3;

    private const long KiB = 1024;
    private const long MiB = 1024 * KiB;
    private const long JournalBytesMin = 256 * KiB;
    private const long JournalBytesMax = 4 * MiB;

    public required long SpareBytes { get; init; }

    public required BlockSize BlockSize { get; init; }

    /// <summary>Of the spare; a power of two, at least the logical block.</summary>
    public required int PhysicalBlockBytes { get; init; }

    public required int UnitBytes { get; init; }

    /// <summary>Reserved for the journal's ring, first and second place.</summary>
    public required ByteRegion Journal1 { get; init; }

    public required ByteRegion Journal2 { get; init; }

    public required ByteRegion AreaA1 { get; init; }

    public required ByteRegion AreaA2 { get; init; }

    public required ByteRegion AreaB1 { get; init; }

    public required ByteRegion AreaB2 { get; init; }

    public required ByteRegion Data { get; init; }

    public int BlocksPerUnit => UnitBytes / BlockSize.Bytes;

    /// <summary>Units that can be lent. Spare unit u begins at block DataStart + u * BlocksPerUnit.</summary>
    public long DataUnits => Data.Bytes / UnitBytes;

    /// <summary>In the spare's logical blocks.</summary>
    public BlockNumber DataStart => new(Data.Start / BlockSize.Bytes);

    /// <summary>
    /// What one superblock copy occupies: a whole physical block, so that writing one never rewrites a
    /// neighbour.
    /// </summary>
    public int SuperblockSlotBytes => Math.Max(SuperblockBytes, PhysicalBlockBytes);

    /// <summary>Entries that a checkpoint on this spare can hold, each in a cell of its own.</summary>
    public long EntriesMax => Math.Min((AreaA1.Bytes / CellBytes) - FrameCells, TableEntriesMax);

    /// <summary>
    /// Lay out a spare. Null when it is smaller than <see cref="Limits.SpareBytesMin"/> or its physical block
    /// is no power of two in [logical block, 64 KiB]. A spare whose start is off its physical blocks is
    /// refused by the caller (F-27).
    /// </summary>
    /// <param name="spareBytes">The spare's size.</param>
    /// <param name="physicalBlockBytes">The spare's physical block.</param>
    /// <param name="geometry">The primary's unit grid.</param>
    /// <param name="otherSpareBytes">The sizes of the set's other spares together: each spare holds the whole
    /// table.</param>
    /// <param name="journalBytesLeast">Of a spare that joins a set: what its journal takes.</param>
    public static SpareLayout? Compute(
        ByteCount spareBytes,
        int physicalBlockBytes,
        UnitGeometry geometry,
        ByteCount otherSpareBytes,
        long journalBytesLeast = 0)
    {
        bool isPhysicalSane = physicalBlockBytes >= geometry.BlockSize.Bytes
            && physicalBlockBytes <= PhysicalBlockBytesMax
            && (physicalBlockBytes & (physicalBlockBytes - 1)) == 0;
        if (spareBytes.Value < Limits.SpareBytesMin || !isPhysicalSane)
        {
            return null;
        }
        int alignment = Math.Max(SuperblockBytes, Math.Max(physicalBlockBytes, geometry.UnitBytes));
        long journalBytes = AlignUp(
            Math.Max(journalBytesLeast, Math.Clamp(spareBytes.Value / 64, JournalBytesMin, JournalBytesMax)),
            alignment);
        long areaBytes = AreaBytes(spareBytes.Value, geometry, otherSpareBytes.Value, alignment);
        return Place(spareBytes.Value, physicalBlockBytes, geometry, journalBytes, areaBytes, alignment);
    }

    /// <summary>2 % of the primary in data units of 4 KiB, and the metadata for them.</summary>
    public static ByteCount RecommendedSpareBytes(ByteCount primaryBytes)
    {
        // Four areas of one cell and a quarter for each 4 KiB: 5/64 of the data, rounded up to an eighth.
        long data = primaryBytes.Value / 50;
        long overhead = (6 * MiB) + (2 * JournalBytesMax) + (data / 8);
        return new ByteCount(Math.Max(Limits.SpareBytesMin, AlignUp(data + overhead, MiB)));
    }

    /// <summary>
    /// Where superblock copy 0 to 5 begins: dm-remap's five documented places, and one at the end.
    /// </summary>
    public static long SuperblockOffset(int copy, long spareBytes)
    {
        Invariant.Check(copy >= 0);
        Invariant.Check(copy < SuperblockCopies);
        return copy switch
        {
            0 => 0,
            1 => 512 * KiB,
            2 => MiB,
            3 => 2 * MiB,
            4 => 4 * MiB,
            _ => AlignDown(spareBytes - PhysicalBlockBytesMax, PhysicalBlockBytesMax),
        };
    }

    /// <summary>
    /// Entries that the table needs room for: every spare unit, and a budget for units that need none (F-27).
    /// </summary>
    public static long LostUnitsBudget(long spareUnits) => Math.Max(LostUnitsMin, spareUnits / 4);

    public ByteRegion Superblock(int copy) => new(SuperblockOffset(copy, SpareBytes), SuperblockSlotBytes);

    /// <summary>One place (0 or 1) of an area.</summary>
    public ByteRegion Area(CheckpointArea area, int place)
    {
        Invariant.Check(place >= 0);
        Invariant.Check(place < Places);
        ByteRegion first = area == CheckpointArea.A ? AreaA1 : AreaB1;
        ByteRegion second = area == CheckpointArea.A ? AreaA2 : AreaB2;
        return place == 0 ? first : second;
    }

    /// <summary>The blocks of this spare unit, in the spare's logical blocks.</summary>
    public Extent ExtentOf(UnitNumber unit)
    {
        Invariant.Check(unit.Value >= 0);
        Invariant.Check(unit.Value < DataUnits);
        return new Extent(
            new BlockNumber(DataStart.Value + (unit.Value * BlocksPerUnit)), new BlockCount(BlocksPerUnit));
    }

    /// <summary>
    /// True when every piece lies inside the spare, aligned, and no two overlap. For fields read from a disk:
    /// no arithmetic here can overflow, whatever they are.
    /// </summary>
    public bool IsConsistent()
    {
        Span<ByteRegion> pieces = stackalloc ByteRegion[SuperblockCopies + 7];
        for (int copy = 0; copy < SuperblockCopies; copy++)
        {
            pieces[copy] = Superblock(copy);
        }
        pieces[SuperblockCopies] = Journal1;
        pieces[SuperblockCopies + 1] = Journal2;
        pieces[SuperblockCopies + 2] = AreaA1;
        pieces[SuperblockCopies + 3] = AreaA2;
        pieces[SuperblockCopies + 4] = AreaB1;
        pieces[SuperblockCopies + 5] = AreaB2;
        pieces[SuperblockCopies + 6] = Data;
        int alignment = Math.Max(SuperblockBytes, PhysicalBlockBytes);
        for (int i = 0; i < pieces.Length; i++)
        {
            if (!LiesInside(pieces[i], alignment))
            {
                return false;
            }
            for (int j = 0; j < i; j++)
            {
                if (pieces[i].Overlaps(pieces[j]))
                {
                    return false;
                }
            }
        }
        bool areasAlike =
            AreaA1.Bytes == AreaA2.Bytes && AreaA1.Bytes == AreaB1.Bytes && AreaA1.Bytes == AreaB2.Bytes;
        bool hasFrame = AreaA1.Bytes >= (FrameCells + 1) * CellBytes;
        bool journalsAlike = Journal1.Bytes == Journal2.Bytes;
        bool isDataWhole = Data.Start % UnitBytes == 0
            && Data.Bytes % UnitBytes == 0
            && DataUnits <= TableEntriesMax;
        return areasAlike && hasFrame && journalsAlike && isDataWhole;
    }

    private static long AreaBytes(long spareBytes, UnitGeometry geometry, long otherSpareBytes, int alignment)
    {
        // Units are counted before the metadata is subtracted: a little too much room, and no fixed point.
        long own = spareBytes / geometry.UnitBytes;
        long others = otherSpareBytes / geometry.UnitBytes;
        // Retired spare units need room beside the rules, also where the primary is the smaller one.
        long entries = Math.Min(
            geometry.Units + own + others, own + others + LostUnitsBudget(own + others));
        entries = Math.Min(entries, TableEntriesMax);
        long wanted = AlignUp((entries + Limits.CommitChangesMax + FrameCells) * CellBytes, alignment);

        // A small spare beside large ones: all four areas take a quarter of it at most, and the table is
        // bounded by that.
        return Math.Min(wanted, Math.Max(AlignDown(spareBytes / 16, alignment), alignment));
    }

    private static SpareLayout? Place(
        long spareBytes,
        int physicalBlockBytes,
        UnitGeometry geometry,
        long journalBytes,
        long areaBytes,
        int alignment)
    {
        FrontGaps gaps = new(Math.Max(SuperblockBytes, physicalBlockBytes), alignment);
        long journal1 = gaps.Take(journalBytes);
        long a1 = gaps.Take(areaBytes);
        long b1 = gaps.Take(areaBytes);
        long last = SuperblockOffset(SuperblockCopies - 1, spareBytes);
        long b2 = AlignDown(last - areaBytes, alignment);
        long a2 = b2 - areaBytes;
        long journal2 = a2 - journalBytes;
        long dataStart = gaps.End;

        // More units than the table can have entries would never be lent, and cost memory.
        long dataBytes = Math.Min(
            AlignDown(journal2 - dataStart, geometry.UnitBytes), TableEntriesMax * geometry.UnitBytes);
        if (dataBytes < geometry.UnitBytes)
        {
            return null;
        }
        SpareLayout layout = new()
        {
            SpareBytes = spareBytes,
            BlockSize = geometry.BlockSize,
            PhysicalBlockBytes = physicalBlockBytes,
            UnitBytes = geometry.UnitBytes,
            Journal1 = new ByteRegion(journal1, journalBytes),
            Journal2 = new ByteRegion(journal2, journalBytes),
            AreaA1 = new ByteRegion(a1, areaBytes),
            AreaA2 = new ByteRegion(a2, areaBytes),
            AreaB1 = new ByteRegion(b1, areaBytes),
            AreaB2 = new ByteRegion(b2, areaBytes),
            Data = new ByteRegion(dataStart, dataBytes),
        };
        Invariant.Check(layout.IsConsistent());
        return layout;
    }

    private static long AlignUp(long value, long alignment) =>
        (value + alignment - 1) / alignment * alignment;

    private static long AlignDown(long value, long alignment) => value / alignment * alignment;

    private bool LiesInside(ByteRegion piece, int alignment) =>
        piece.Start >= 0
        && piece.Bytes > 0
        && piece.Start % alignment == 0
        && piece.Bytes <= SpareBytes
        && piece.Start <= SpareBytes - piece.Bytes;

    /// <summary>
    /// The room between the first superblock copies, taken first-fit; behind the last of them it is endless.
    /// </summary>
    private struct FrontGaps(int slotBytes, int alignment)
    {
        private const int FrontCopies = SuperblockCopies - 1;
        private UsedEnds _usedEnd;

        /// <summary>The first aligned byte behind every piece and every front superblock.</summary>
        public readonly long End => GapStart(FrontCopies - 1);

        public long Take(long bytes)
        {
            for (int gap = 0; gap < FrontCopies; gap++)
            {
                long start = GapStart(gap);
                bool isLast = gap == FrontCopies - 1;
                if (isLast || start + bytes <= SuperblockOffset(gap + 1, 0))
                {
                    _usedEnd[gap] = start + bytes;
                    return start;
                }
            }
            Invariant.Unreachable("the last gap holds anything");
            return 0;
        }

        private readonly long GapStart(int gap) =>
            AlignUp(Math.Max(_usedEnd[gap], SuperblockOffset(gap, 0) + slotBytes), alignment);

        [System.Runtime.CompilerServices.InlineArray(FrontCopies)]
        private struct UsedEnds
        {
            private long _element;
        }
    }
}
