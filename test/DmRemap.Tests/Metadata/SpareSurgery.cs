using System;
using DmRemap.Core.Metadata;

namespace DmRemap.Tests.Metadata;

/// <summary>Reads and changes single pieces of the metadata on a disk, behind the program's back.</summary>
internal static class SpareSurgery
{
    public const int AllCopies = (1 << SpareLayout.SuperblockCopies) - 1;

    public static Superblock NewestOf(SparseDisk disk)
    {
        Superblock? newest = null;
        for (int copy = 0; copy < SpareLayout.SuperblockCopies; copy++)
        {
            Superblock? read = ReadCopy(disk, copy);
            bool isNewer = read is not null
                && (newest is null || read.State.Generation > newest.State.Generation);
            newest = isNewer ? read : newest;
        }
        return newest!;
    }

    public static Superblock? ReadCopy(SparseDisk disk, int copy) =>
        new UnverifiedSuperblock(Read(disk, CopyStart(disk, copy), 4096))
            .Verify(copy, FeatureFlags.Supported, out _);

    public static byte[] Read(SparseDisk disk, long start, int length)
    {
        byte[] bytes = new byte[length];
        for (int at = 0; at < length; at += SparseDisk.BlockBytes)
        {
            disk.Image.Read(
                (start + at) / SparseDisk.BlockBytes, bytes.AsSpan(at, SparseDisk.BlockBytes));
        }
        return bytes;
    }

    public static void Write(SparseDisk disk, long start, ReadOnlySpan<byte> bytes)
    {
        for (int at = 0; at < bytes.Length; at += SparseDisk.BlockBytes)
        {
            disk.Image.Write((start + at) / SparseDisk.BlockBytes, bytes.Slice(at, SparseDisk.BlockBytes));
        }
    }

    public static long CopyStart(SparseDisk disk, int copy) =>
        SpareLayout.SuperblockOffset(copy, disk.Geometry.Bytes.Value);

    /// <summary>One byte of each of these superblock copies.</summary>
    public static void DamageCopies(SparseDisk disk, int copies)
    {
        for (int copy = 0; copy < SpareLayout.SuperblockCopies; copy++)
        {
            if ((copies & (1 << copy)) != 0)
            {
                Damage(disk, CopyStart(disk, copy) + 100);
            }
        }
    }

    public static void Damage(SparseDisk disk, long at) =>
        disk.Image.Corrupt(at, 1, value => (byte)(value ^ 0xFF));

    public static void CopySuperblock(SparseDisk source, SparseDisk target, int copy) =>
        Write(target, CopyStart(target, copy), Read(source, CopyStart(source, copy), 4096));

    /// <summary>Add one to a byte of a copy and make its checksum right.</summary>
    public static void ChangeField(SparseDisk disk, int copy, int at)
    {
        byte[] bytes = Read(disk, CopyStart(disk, copy), 4096);
        bytes[at]++;
        BitConverter.TryWriteBytes(bytes.AsSpan(4092), Crc32C.Compute(bytes.AsSpan(0, 4092)));
        Write(disk, CopyStart(disk, copy), bytes);
    }

    /// <summary>Where the checkpoint that is valid lies.</summary>
    public static ByteRegion CheckpointPlace(SparseDisk disk, int place)
    {
        Superblock newest = NewestOf(disk);
        return newest.Layout.Area(newest.State.Checkpoint.Area, place);
    }

    /// <summary>Where the record of this sequence begins.</summary>
    public static long RecordStart(SparseDisk disk, ulong sequence, int place)
    {
        Superblock newest = NewestOf(disk);
        ByteRegion journal = place == 0 ? newest.Layout.Journal1 : newest.Layout.Journal2;
        return journal.Start + newest.Set.Journal.OffsetOf(sequence);
    }
}
