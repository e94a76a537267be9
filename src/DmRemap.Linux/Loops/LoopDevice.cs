using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Runtime.InteropServices;
using System.Text;
using DmRemap.Linux.Members;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Loops;

/// <summary>
/// /dev/loopN over one file, by the driver's ioctls. All of it may wait for the file's server, so none of it
/// is for the thread that serves.
/// </summary>
public sealed class LoopDevice
{
    private const string Control = "/dev/loop-control";
    private const string PathBegin = "/dev/loop";

    /// <summary>Others take free ones too; each attempt takes the next that is free.</summary>
    private const int AttemptsMax = 64;

    private readonly string _sysfs;
    private readonly uint _number;

    private LoopDevice(string name, uint number)
    {
        _number = number;
        Name = name;
        _sysfs = $"/sys/block/{name}";
    }

    /// <summary>"loop0".</summary>
    public string Name { get; }

    public string Path => $"/dev/{Name}";

    /// <summary>Direct I/O as the driver has it now; what was asked for is not what counts (F-10).</summary>
    public bool IsDirect => Read("loop/dio") == "1";

    public bool IsAttached => BackingFile.Length > 0;

    /// <summary>As the kernel knows it; empty when it stands on none.</summary>
    public string BackingFile => Read("loop/backing_file");

    public long Bytes =>
        long.TryParse(Read("size"), NumberStyles.None, CultureInfo.InvariantCulture, out long sectors)
            ? sectors * 512
            : 0;

    /// <summary>All that stand on this file, by the name that the kernel knows it by.</summary>
    public static IReadOnlyList<LoopDevice> On(string file)
    {
        string real = RealPathOf(file);
        List<LoopDevice> found = [];
        foreach ((string name, string backing) in new BlockTopology().Loops())
        {
            if (backing == real && At($"/dev/{name}") is LoopDevice loop)
            {
                found.Add(loop);
            }
        }
        return found;
    }

    /// <summary>/dev/loopN; null for any other path.</summary>
    public static LoopDevice? At(string path) =>
        path.StartsWith(PathBegin, StringComparison.Ordinal)
            && uint.TryParse(
                path[PathBegin.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out uint number)
            ? new LoopDevice($"loop{number}", number)
            : null;

    public bool IsOn(string file) => BackingFile == RealPathOf(file);

    /// <summary>Attach a free one, with direct I/O, and its partitions if there are any.</summary>
    /// <exception cref="SystemCallException">With the errno; nothing is attached then.</exception>
    public static LoopDevice Attach(string file, int blockBytes, bool isReadOnly)
    {
        using SafeFileHandle backing = Open(
            file, (isReadOnly ? FileNative.O_RDONLY : FileNative.O_RDWR) | FileNative.O_DIRECT);
        using SafeFileHandle control = Open(Control, FileNative.O_RDWR);
        for (int attempt = 0; ; attempt++)
        {
            int number = MountNative.Control(FileCalls.Descriptor(control), MountNative.LOOP_CTL_GET_FREE, 0);
            if (number < 0)
            {
                throw new SystemCallException("LOOP_CTL_GET_FREE", Control, Marshal.GetLastPInvokeError());
            }
            LoopDevice loop = new($"loop{number}", (uint)number);
            // Whoever had the number before may have left limits behind. Where it cannot be, it is as it is.
            _ = loop.TryRenew(control);
            int mode = isReadOnly ? FileNative.O_RDONLY : FileNative.O_RDWR;
            int errno = FileCalls.TryOpen(loop.Path, mode, 0, out SafeFileHandle device);
            using (device)
            {
                string call = errno == 0 ? "LOOP_CONFIGURE" : "open";
                errno = errno == 0 ? Configure(device, backing, file, blockBytes, isReadOnly) : errno;
                if (errno == 0)
                {
                    return loop;
                }
                // Taken by somebody else, or just being renewed by him.
                bool isTaken = errno is Errno.EBUSY or Errno.ENOENT or Errno.ENXIO or Errno.ENODEV;
                if (!isTaken || attempt == AttemptsMax)
                {
                    throw new SystemCallException(call, loop.Path, errno);
                }
            }
        }
    }

    /// <summary>
    /// Give a number that is free the limits of a new device. What was set in its queue outlives the file
    /// that it stood on, and discards that were switched off cannot be switched on again. 0, or the errno:
    /// EBUSY while somebody has it, open or attached.
    /// </summary>
    public int TryRenew()
    {
        int errno = FileCalls.TryOpen(Control, FileNative.O_RDWR, 0, out SafeFileHandle control);
        using (control)
        {
            return errno == 0 ? TryRenew(control) : errno;
        }
    }

    /// <summary>Mounts, swap, and devices that stand on it or on its partitions.</summary>
    public IReadOnlyList<MemberUser> FindUsers() => MemberInspection.FindUsers(Path);

    /// <summary>Processes that have it, or a partition of it, open.</summary>
    public IReadOnlyList<ClaimHolder> FindOpeners()
    {
        if (FileStatus.OfPath(Path) is not { Kind: FileKind.Block } status)
        {
            return [];
        }
        HashSet<DeviceNumber> devices =
            [status.Device, .. new BlockTopology().PartitionsOf(status.Device)];
        return ClaimHolders.OpenersOf(devices);
    }

    /// <summary>
    /// Let go of the file. It is gone when nobody has the device open any more: see
    /// <see cref="IsAttached"/>. 0, or the errno: EBUSY where it is in use exclusively.
    /// </summary>
    public int TryDetach()
    {
        // Exclusively, so that nobody mounts it while it goes.
        int errno = FileCalls.TryOpen(
            Path, FileNative.O_RDONLY | FileNative.O_EXCL, 0, out SafeFileHandle device);
        using (device)
        {
            if (errno != 0)
            {
                return errno;
            }
            return MountNative.Control(FileCalls.Descriptor(device), MountNative.LOOP_CLR_FD, 0) < 0
                ? Marshal.GetLastPInvokeError()
                : 0;
        }
    }

    /// <summary>Of queue/…; empty where there is no such attribute.</summary>
    public string ReadQueue(string attribute) => Read($"queue/{attribute}");

    /// <summary>False where sysfs is read-only, or does not take the value.</summary>
    public bool TrySetQueue(string attribute, string value)
    {
        // A write waits until nothing is in flight: of a suspended device, until it is resumed.
        if (ReadQueue(attribute) == value)
        {
            return true;
        }
        try
        {
            File.WriteAllText($"{_sysfs}/queue/{attribute}", value);
            return true;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private int TryRenew(SafeFileHandle control)
    {
        if (!File.Exists(Path))
        {
            return Errno.ENOENT; // A /dev without this node: nothing here uses the number.
        }
        int descriptor = FileCalls.Descriptor(control);
        if (MountNative.Control(descriptor, MountNative.LOOP_CTL_REMOVE, _number) < 0)
        {
            return Marshal.GetLastPInvokeError();
        }
        bool isThere = MountNative.Control(descriptor, MountNative.LOOP_CTL_ADD, _number) >= 0;
        int errno = isThere ? 0 : Marshal.GetLastPInvokeError();
        return errno == Errno.EEXIST ? 0 : errno; // Somebody who looked for a free one was faster.
    }

    /// <summary>The file itself is not looked at: that would ask its server.</summary>
    private static string RealPathOf(string file)
    {
        string directory = FileCalls.TryRealPath(System.IO.Path.GetDirectoryName(file) ?? "/") ?? "/";
        return System.IO.Path.Combine(directory, System.IO.Path.GetFileName(file));
    }

    private static unsafe int Configure(
        SafeFileHandle device, SafeFileHandle backing, string file, int blockBytes, bool isReadOnly)
    {
        MountNative.LoopConfiguration configuration = default;
        configuration.fd = (uint)FileCalls.Descriptor(backing);
        configuration.block_size = (uint)blockBytes;
        configuration.lo_flags = MountNative.LO_FLAGS_DIRECT_IO | MountNative.LO_FLAGS_PARTSCAN
            | (isReadOnly ? MountNative.LO_FLAGS_READ_ONLY : 0);
        byte[] name = Encoding.UTF8.GetBytes(file);
        int length = Math.Min(name.Length, MountNative.LO_NAME_SIZE - 1);
        name.AsSpan(0, length).CopyTo(new Span<byte>(configuration.lo_file_name, length));
        return FileNative.ioctl(FileCalls.Descriptor(device), MountNative.LOOP_CONFIGURE, &configuration) < 0
            ? Marshal.GetLastPInvokeError()
            : 0;
    }

    private static SafeFileHandle Open(string path, int flags)
    {
        int errno = FileCalls.TryOpen(path, flags, 0, out SafeFileHandle handle);
        if (errno != 0)
        {
            handle.Dispose();
            throw new SystemCallException("open", path, errno);
        }
        return handle;
    }

    private string Read(string attribute)
    {
        try
        {
            return File.ReadAllText($"{_sysfs}/{attribute}").Trim();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return ""; // Not attached, or no such attribute on this kernel.
        }
    }
}
