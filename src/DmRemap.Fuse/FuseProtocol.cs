using System;

namespace DmRemap.Fuse;

/// <summary>
/// The kernel's side of FUSE, as include/uapi/linux/fuse.h has it. Each message comes whole. Its numbers are
/// in the machine's byte order, which is little-endian wherever this program runs.
/// </summary>
public static class FuseProtocol
{
    /// <summary>struct fuse_in_header.</summary>
    public const int RequestHeaderBytes = 40;

    /// <summary>struct fuse_out_header.</summary>
    public const int ReplyHeaderBytes = 16;

    /// <summary>What comes before the data of a WRITE: header and struct fuse_write_in.</summary>
    public const int WriteHeaderBytes = RequestHeaderBytes + WriteBytes;

    /// <summary>The longest reply but the data of a READ: header and struct fuse_attr_out.</summary>
    public const int ReplyBytesMax = ReplyHeaderBytes + 104;

    /// <summary>The longest READ or WRITE that is agreed on.</summary>
    public const int TransferBytesMax = 1024 * 1024;

    /// <summary>
    /// Requests that the kernel has out at once on behalf of nobody who waits, as those of loop are: twice
    /// the depth of loop's queue, so that a flush is not kept out (F-19). The kernel's default is 12.
    /// </summary>
    public const int BackgroundMax = 256;

    /// <summary>FUSE_ROOT_ID: the one file there is.</summary>
    public const ulong RootNode = 1;

    internal const int ReadBytes = 40;
    internal const int WriteBytes = 40;
    internal const int FsyncBytes = 16;
    internal const int FallocateBytes = 32;
    internal const int SetAttributesBytes = 88;

    internal const uint Major = 7;

    /// <summary>What we speak: INIT's flags have 64 bits since 7.36.</summary>
    internal const uint Minor = 36;

    /// <summary>INIT of 7.23 and later answers with 64 bytes.</summary>
    internal const uint MinorMin = 23;

    internal const int PageBytes = 4096;
}

/// <summary>enum fuse_opcode, those that mean something for one file.</summary>
public enum FuseOpcode : uint
{
    None = 0,
    Lookup = 1,
    Forget = 2,
    GetAttributes = 3,
    SetAttributes = 4,
    Open = 14,
    Read = 15,
    Write = 16,
    StatFileSystem = 17,
    Release = 18,
    Fsync = 20,
    Flush = 25,
    Init = 26,
    OpenDirectory = 27,
    ReadDirectory = 28,
    ReleaseDirectory = 29,
    FsyncDirectory = 30,
    Create = 35,
    Interrupt = 36,
    Destroy = 38,
    BatchForget = 42,
    Fallocate = 43,
    ReadDirectoryPlus = 44,
}

/// <summary>FUSE_… of INIT, both words together.</summary>
[Flags]
internal enum FuseFeatures : ulong
{
    None = 0,
    AsyncRead = 1 << 0,
    BigWrites = 1 << 5,
    AsyncDirectIo = 1 << 15,
    MaxPages = 1 << 22,
    InitExtended = 1 << 30,
}

/// <summary>FOPEN_…</summary>
[Flags]
internal enum FuseOpenFlags : uint
{
    None = 0,

    /// <summary>No page cache: what is written has been here when write(2) returns.</summary>
    DirectIo = 1 << 0,

    /// <summary>Writes do not wait for each other (Linux 6.2; older kernels ignore it).</summary>
    ParallelDirectWrites = 1 << 6,
}

/// <summary>FATTR_… of SETATTR.</summary>
[Flags]
internal enum FuseAttributeChanges : uint
{
    None = 0,
    Mode = 1 << 0,
    UserId = 1 << 1,
    GroupId = 1 << 2,
    Size = 1 << 3,
}

/// <summary>FALLOC_FL_…</summary>
[Flags]
internal enum FallocateMode : uint
{
    None = 0,
    KeepSize = 0x01,
    PunchHole = 0x02,
    ZeroRange = 0x10,
}
