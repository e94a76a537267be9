using System;
using System.Runtime.InteropServices;

namespace DmRemap.Core.Abstractions;

/// <summary>
/// A run of bytes in a pinned array (see <see cref="AlignedMemory"/>). The kernel may be writing into it: it
/// is used again only when the request that carries it has completed.
/// </summary>
public readonly record struct BufferSlice
{
    private readonly byte[]? _array;
    private readonly int _start;

    public BufferSlice(byte[] pinnedArray, int start, int length)
    {
        Invariant.Check(start >= 0);
        Invariant.Check(length >= 0);
        Invariant.Check(start <= pinnedArray.Length - length);
        _array = pinnedArray;
        _start = start;
        Length = length;
    }

    /// <summary>In bytes.</summary>
    public int Length { get; }

    public bool IsEmpty => Length == 0;

    public Span<byte> Span => new(_array, _start, Length);

    /// <summary>Bytes [start, start + length) of this slice.</summary>
    public BufferSlice Slice(int start, int length)
    {
        Invariant.Check(start >= 0);
        Invariant.Check(length >= 0);
        Invariant.Check(start <= Length - length);
        return length == 0 ? default : new BufferSlice(_array!, _start + start, length);
    }
}

/// <summary>
/// Memory that the kernel may own: pinned, so that it has an address for as long as it lives, and
/// page-aligned.
/// </summary>
public static class AlignedMemory
{
    public const int Alignment = 4096;

    /// <summary>Allocate at start, never on a request's path. Every page is touched.</summary>
    public static BufferSlice Allocate(int bytes)
    {
        Invariant.Check(bytes > 0);
        byte[] array = GC.AllocateArray<byte>(bytes + Alignment, pinned: true);
        long address = Marshal.UnsafeAddrOfPinnedArrayElement(array, 0);
        int start = (int)((Alignment - (address & (Alignment - 1))) & (Alignment - 1));
        BufferSlice slice = new(array, start, bytes);
        slice.Span.Clear();
        return slice;
    }
}
