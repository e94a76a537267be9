using System.Runtime.InteropServices;

namespace DmRemap.Linux.Native;

/// <summary>
/// What a process says of itself to the kernel; the kernel's names and values. Every import that fails
/// returns -1 and leaves errno in Marshal.GetLastPInvokeError.
/// </summary>
internal static unsafe partial class ProcessNative
{
    public const int PR_SET_IO_FLUSHER = 57;
    public const int PR_GET_IO_FLUSHER = 58;

    public const int MCL_CURRENT = 1;
    public const int MCL_FUTURE = 2;
    public const int MCL_ONFAULT = 4;

    public const int MADV_POPULATE_READ = 22;

    [LibraryImport("libc", EntryPoint = "prctl", SetLastError = true)]
    public static partial int Control(int option, nuint a, nuint b, nuint c, nuint d);

    [LibraryImport("libc", EntryPoint = "mlockall", SetLastError = true)]
    public static partial int LockAll(int flags);

    [LibraryImport("libc", EntryPoint = "madvise", SetLastError = true)]
    public static partial int Advise(nuint address, nuint bytes, int advice);

    /// <summary>With the environment as it is. Comes back only when it fails.</summary>
    [LibraryImport("libc", EntryPoint = "execv", SetLastError = true,
        StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Execute(string path, byte** arguments);
}
