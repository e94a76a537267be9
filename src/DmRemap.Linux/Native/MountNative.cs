using System.Runtime.InteropServices;

namespace DmRemap.Linux.Native;

/// <summary>Mounts and loop devices: system calls, ioctls and structs of the control plane.</summary>
internal static unsafe partial class MountNative
{
    public const nuint MS_NOSUID = 2;
    public const nuint MS_NODEV = 4;
    public const int MNT_FORCE = 1;
    public const int MNT_DETACH = 2;
    public const int UMOUNT_NOFOLLOW = 8;

    public const nuint LOOP_CLR_FD = 0x4c01;
    public const nuint LOOP_CONFIGURE = 0x4c0a;
    public const nuint LOOP_CTL_ADD = 0x4c80;
    public const nuint LOOP_CTL_REMOVE = 0x4c81;
    public const nuint LOOP_CTL_GET_FREE = 0x4c82;
    public const uint LO_FLAGS_READ_ONLY = 1;
    public const uint LO_FLAGS_PARTSCAN = 8;
    public const uint LO_FLAGS_DIRECT_IO = 16;
    public const int LO_NAME_SIZE = 64;

    [LibraryImport("libc", EntryPoint = "mount", SetLastError = true,
        StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Mount(string source, string target, string type, nuint flags, string options);

    [LibraryImport("libc", EntryPoint = "umount2", SetLastError = true,
        StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Unmount(string target, int flags);

    [LibraryImport("libc", EntryPoint = "recvmsg", SetLastError = true)]
    public static partial nint ReceiveMessage(int fd, MessageHeader* message, int flags);

    /// <summary>ioctl with a number as its argument.</summary>
    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    public static partial int Control(int fd, nuint request, nuint argument);

    /// <summary>struct loop_config, 304 bytes, with what is used of struct loop_info64 in it.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 304)]
    public struct LoopConfiguration
    {
        [FieldOffset(0)]
        public uint fd;

        [FieldOffset(4)]
        public uint block_size;

        /// <summary>info.lo_flags.</summary>
        [FieldOffset(8 + 52)]
        public uint lo_flags;

        /// <summary>info.lo_file_name, LO_NAME_SIZE bytes, the last of them zero.</summary>
        [FieldOffset(8 + 56)]
        public fixed byte lo_file_name[LO_NAME_SIZE];
    }
}
