using System;
using System.Globalization;
using System.IO;
using System.Runtime.InteropServices;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Processes;

/// <summary>
/// Memory that stays: a page of ours that had been thrown out would have to be read, or room made for it,
/// before a request goes on, and what makes room may be the write that waits for us (F-20).
/// </summary>
public static class LockedMemory
{
    private const string Mappings = "/proc/self/maps";

    /// <summary>
    /// What is in memory stays there, and so does what comes; the runtime reserves far more than it uses, so
    /// nothing is brought in that nobody has touched. Returns 0, or the errno: EPERM or ENOMEM without
    /// CAP_IPC_LOCK and under a limit (RLIMIT_MEMLOCK).
    /// </summary>
    public static int TryLockAll()
    {
        const int flags =
            ProcessNative.MCL_CURRENT | ProcessNative.MCL_FUTURE | ProcessNative.MCL_ONFAULT;
        return ProcessNative.LockAll(flags) == 0 ? 0 : Marshal.GetLastPInvokeError();
    }

    /// <summary>
    /// Bring in all of the program and its libraries: the code that answers an error runs for the first time
    /// when a sector dies, and may lie on a disk that waits for us by then. Returns the bytes that are in
    /// memory for it; 0 where the kernel cannot (before 5.14).
    /// </summary>
    public static long BringInPrograms()
    {
        long bytes = 0;
        foreach (string line in File.ReadLines(Mappings))
        {
            if (TryParse(line, out nuint start, out nuint length)
                && ProcessNative.Advise(start, length, ProcessNative.MADV_POPULATE_READ) == 0)
            {
                bytes += (long)length;
            }
        }
        return bytes;
    }

    /// <summary>A line of /proc/PID/maps: true when it is of a file on a disk, and readable.</summary>
    internal static bool TryParse(string line, out nuint start, out nuint length)
    {
        start = 0;
        length = 0;
        int dash = line.IndexOf('-', StringComparison.Ordinal);
        int space = line.IndexOf(' ', StringComparison.Ordinal);
        int path = line.IndexOf('/', StringComparison.Ordinal);
        bool isFile = dash > 0 && space > dash && path > space && line.Length > space + 1
            && line[space + 1] == 'r' && !line.AsSpan(path).StartsWith("/dev/", StringComparison.Ordinal)
            && !line.AsSpan(path).StartsWith("/memfd:", StringComparison.Ordinal);
        if (!isFile
            || !TryParseHex(line.AsSpan(0, dash), out start)
            || !TryParseHex(line.AsSpan(dash + 1, space - dash - 1), out nuint end)
            || end <= start)
        {
            start = 0;
            return false;
        }
        length = end - start;
        return true;
    }

    private static bool TryParseHex(ReadOnlySpan<char> text, out nuint value) =>
        nuint.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value);
}
