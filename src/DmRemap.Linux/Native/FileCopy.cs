using DmRemap.Core.Abstractions;
using static DmRemap.Linux.Native.SystemCallResult;

namespace DmRemap.Linux.Native;

/// <summary>
/// Transfers of files that live in memory, by whoever calls. They return a count, which may be less than was
/// asked for, or a negative errno.
/// </summary>
public static unsafe class FileCopy
{
    public static int Read(int fd, BufferSlice into, long offset) =>
        ResultOf(FileNative.pread(
            fd, (void*)KernelMemory.AddressOf(into), (nuint)into.Length, offset));

    public static int Write(int fd, BufferSlice from, long offset) =>
        ResultOf(FileNative.pwrite(
            fd, (void*)KernelMemory.AddressOf(from), (nuint)from.Length, offset));
}
