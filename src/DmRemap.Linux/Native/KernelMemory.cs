using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DmRemap.Core.Abstractions;

namespace DmRemap.Linux.Native;

/// <summary>
/// The address of a slice. Slices lie in pinned arrays, so it stays right for as long as somebody holds the
/// array: whoever hands an address to the kernel keeps the slice until the completion.
/// </summary>
public static unsafe class KernelMemory
{
    /// <summary>True when the slice starts at a multiple of this power of two.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsAligned(BufferSlice slice, int alignment) =>
        (AddressOf(slice) & (ulong)(alignment - 1)) == 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static ulong AddressOf(BufferSlice slice) =>
        (ulong)Unsafe.AsPointer(ref MemoryMarshal.GetReference(slice.Span));
}
