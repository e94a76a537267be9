using System.Runtime.InteropServices;
using System.Text;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;
using Xunit;

namespace DmRemap.Tests.Devices;

/// <summary>Opens files the way .NET does not: O_DIRECT, FIFOs. Skips where the file system cannot.</summary>
internal static class TestFile
{
    private const int ReadWrite = 2;
    private const int CloseOnExec = 0x80000;
    private const long SYS_cachestat = 451;

    // O_DIRECT differs from architecture to architecture.
    private static int Direct =>
        RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x10000 : 0x4000;

    public static SafeFileHandle OpenDirect(string path)
    {
        int fd = Open(Bytes(path), ReadWrite | Direct | CloseOnExec);
        if (fd < 0 && Marshal.GetLastPInvokeError() == Errno.EINVAL)
        {
            Assert.Skip($"the file system of {path} has no O_DIRECT");
        }
        return Handle(fd);
    }

    public static SafeFileHandle OpenFifo(string path)
    {
        Assert.Equal(0, MakeFifo(Bytes(path), 0x180));
        return Handle(Open(Bytes(path), ReadWrite | CloseOnExec));
    }

    /// <summary>Pages of the file that are only in the page cache; skips before Linux 6.5.</summary>
    public static long CountDirtyPages(SafeFileHandle file)
    {
        // struct cachestat_range {off, len}; struct cachestat {nr_cache, nr_dirty, nr_writeback, …}.
        ulong[] range = [0, 0];
        ulong[] status = new ulong[5];
        long result = CacheStatus(SYS_cachestat, (int)file.DangerousGetHandle(), range, status, 0);
        if (result < 0)
        {
            Assert.Skip($"cachestat: errno {Marshal.GetLastPInvokeError()}");
        }
        return (long)(status[1] + status[2]);
    }

    public static bool IsRoot => GetUserId() == 0;

    private static SafeFileHandle Handle(int fd)
    {
        Assert.True(fd >= 0, $"errno {Marshal.GetLastPInvokeError()}");
        return new SafeFileHandle(fd, ownsHandle: true);
    }

    private static byte[] Bytes(string path) => Encoding.UTF8.GetBytes(path + "\0");

#pragma warning disable SYSLIB1054 // Its generated code is unsafe, and tests have none.
#pragma warning disable CA5392 // The C library is found by the loader.
    [DllImport("libc", EntryPoint = "open", SetLastError = true)]
    private static extern int Open(byte[] path, int flags);

    [DllImport("libc", EntryPoint = "mkfifo", SetLastError = true)]
    private static extern int MakeFifo(byte[] path, uint mode);

    [DllImport("libc", EntryPoint = "geteuid")]
    private static extern uint GetUserId();

    [DllImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static extern long CacheStatus(
        long number, int fd, ulong[] range, [Out] ulong[] status, uint flags);
#pragma warning restore CA5392
#pragma warning restore SYSLIB1054
}
