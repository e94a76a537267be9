using System;
using System.Buffers.Binary;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Simulator.Disks;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Checkers;

/// <summary>
/// Looks at every write to a spare before the disk has it: data stays in the data area, metadata out of it;
/// and the generations of the superblocks only grow. It reads superblocks by their documented offsets, with
/// none of the product's readers.
/// </summary>
internal sealed class WriteWatch
{
    private const int SuperblockBytes = 4096;
    private const int CopyIndexAt = 76;
    private const int EpochAt = 88;
    private const int GenerationAt = 104;
    private const int MembersAt = 1024;
    private const int MemberBytes = 128;
    private const int MemberStateAt = 16;
    private const byte Active = 1;
    private const ulong Seed = 1;

    private readonly SpareLayout?[] _layouts;
    private readonly SimulatedDisk[] _spares;
    private readonly ulong[] _generations;
    private readonly bool[] _mayBeSeeded;
    private readonly byte[] _newest = new byte[SuperblockBytes];
    private ulong _generation;
    private ulong _generationOnDisks;
    private ulong _epochWritten;

    public WriteWatch(SimulatedDisk[] spares)
    {
        _spares = spares;
        _layouts = new SpareLayout?[spares.Length];
        _generations = new ulong[spares.Length];
        _mayBeSeeded = new bool[spares.Length];
    }

    public long SuperblocksWritten { get; private set; }

    public SpareLayout? LayoutOf(int spare) => _layouts[spare];

    /// <summary>Known from the start of a set on: it never changes.</summary>
    public void Learn(int spare, SpareLayout layout) => _layouts[spare] = layout;

    /// <summary>It joins a set: its first superblocks are those of a member that is far behind.</summary>
    public void ExpectSeed(int spare) => _mayBeSeeded[spare] = true;

    /// <summary>It has left the set: what is written to it is nobody's.</summary>
    public void Forget(int spare) => _layouts[spare] = null;

    /// <summary>A set is made anew: the former one's generations mean nothing.</summary>
    public void OnFormat()
    {
        Array.Clear(_layouts);
        _generation = 0;
        _generationOnDisks = 0;
    }

    /// <summary>A process starts: what it writes is newer than all that the disks hold.</summary>
    public void OnStart(SimulatedDisk[] offered)
    {
        _generation = 0;
        _generationOnDisks = 0;
        Array.Clear(_generations);
        Span<byte> copy = stackalloc byte[SuperblockBytes];
        foreach (SimulatedDisk spare in offered)
        {
            int copies = _layouts[spare.Index] is null ? 0 : SpareLayout.SuperblockCopies;
            for (int index = 0; index < copies; index++)
            {
                spare.ReadDurable(
                    SpareLayout.SuperblockOffset(index, spare.Geometry.Bytes.Value), copy);
                if (IsWhole(copy))
                {
                    ulong generation = BinaryPrimitives.ReadUInt64LittleEndian(copy[GenerationAt..]);
                    _generations[spare.Index] = Math.Max(_generations[spare.Index], generation);
                    // What went on without a spare may have used the number that its last writes had.
                    ulong epoch = BinaryPrimitives.ReadUInt64LittleEndian(copy[EpochAt..]);
                    bool isLater = generation == _generationOnDisks && epoch == _epochWritten;
                    if (generation > _generationOnDisks || isLater)
                    {
                        _generationOnDisks = generation;
                        copy.CopyTo(_newest);
                    }
                }
            }
        }
    }

    /// <summary>Does the newest superblock on the disks, at the start, count this member as active?</summary>
    public bool IsActive(int member) =>
        _newest[MembersAt + (member * MemberBytes) + MemberStateAt] == Active;

    /// <summary>The spare that had a higher generation than some other at the start; -1: none.</summary>
    public int Furthest()
    {
        ulong most = 0;
        ulong least = ulong.MaxValue;
        foreach (ulong generation in _generations)
        {
            most = Math.Max(most, generation);
            least = Math.Min(least, generation);
        }
        return most > least ? Array.IndexOf(_generations, most) : -1;
    }

    public void OnWrite(SimulatedDisk disk, IoRequest request, IoOrigin origin)
    {
        if (_layouts[disk.Index] is not SpareLayout layout)
        {
            return;
        }
        int size = disk.Geometry.LogicalBlockSize.Bytes;
        long start = request.Extent.Start.Value * size;
        long end = request.Extent.End.Value * size;
        if (origin == IoOrigin.Data)
        {
            if (start < layout.Data.Start || end > layout.Data.Start + layout.Data.Bytes)
            {
                throw new Violation(
                    "metadata area", $"data is written to bytes [{start}, {end}) of spare {disk.Index}");
            }
            return;
        }
        if (start < layout.Data.Start + layout.Data.Bytes && end > layout.Data.Start)
        {
            throw new Violation(
                "data area", $"metadata is written to bytes [{start}, {end}) of spare {disk.Index}");
        }
        for (int index = 0; index < SpareLayout.SuperblockCopies; index++)
        {
            if (start == SpareLayout.SuperblockOffset(index, disk.Geometry.Bytes.Value))
            {
                OnSuperblock(disk.Index, index, request.Buffer.Span[..SuperblockBytes]);
            }
        }
    }

    private void OnSuperblock(int spare, int index, ReadOnlySpan<byte> copy)
    {
        SuperblocksWritten++;
        ulong generation = BinaryPrimitives.ReadUInt64LittleEndian(copy[GenerationAt..]);
        uint written = BinaryPrimitives.ReadUInt32LittleEndian(copy[CopyIndexAt..]);
        if (written != index || !IsWhole(copy))
        {
            throw new Violation("superblocks", $"copy {index} of spare {spare} says that it is {written}");
        }
        if (generation == Seed && _mayBeSeeded[spare])
        {
            return;
        }
        _mayBeSeeded[spare] = false;
        // A start that was shown another content than there is may not have seen the highest number.
        bool isSeen = !Array.Exists(_spares, disk => disk.Troubles.HasMisread);
        bool isNewer = (generation > _generationOnDisks || !isSeen) && generation >= _generation;
        if (!isNewer)
        {
            throw new Violation(
                "generations",
                $"spare {spare} copy {index}: generation {generation} is written; {_generation} was before"
                    + $" it, {_generationOnDisks} was on the disks at the start");
        }
        _generation = generation;
        _epochWritten = BinaryPrimitives.ReadUInt64LittleEndian(copy[EpochAt..]);
        if (_epochWritten == 0)
        {
            throw new Violation("superblocks", "an epoch of zero");
        }
    }

    /// <summary>CRC-32C, bit by bit, over all but the last four bytes.</summary>
    private static bool IsWhole(ReadOnlySpan<byte> copy)
    {
        uint register = uint.MaxValue;
        for (int at = 0; at < SuperblockBytes - 4; at += 8)
        {
            register = at + 8 <= SuperblockBytes - 4
                ? System.Numerics.BitOperations.Crc32C(
                    register, BinaryPrimitives.ReadUInt64LittleEndian(copy[at..]))
                : System.Numerics.BitOperations.Crc32C(
                    register, BinaryPrimitives.ReadUInt32LittleEndian(copy[at..]));
        }
        return ~register == BinaryPrimitives.ReadUInt32LittleEndian(copy[(SuperblockBytes - 4)..]);
    }
}
