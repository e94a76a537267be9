using DmRemap.Core.Abstractions;

namespace DmRemap.Fuse;

/// <summary>The one file that there is: the device. Its size never changes.</summary>
public sealed record FuseFile
{
    public required long Bytes { get; init; }

    public required BlockSize BlockSize { get; init; }

    public bool IsReadOnly { get; init; }

    /// <summary>Who owns it, and is the only one who may open it.</summary>
    public uint UserId { get; init; }

    public uint GroupId { get; init; }

    /// <summary>Of every time stamp it has.</summary>
    public long UnixSeconds { get; init; }

    public static FuseFile Of(DeviceGeometry geometry) => new()
    {
        Bytes = geometry.Bytes.Value,
        BlockSize = geometry.LogicalBlockSize,
        IsReadOnly = geometry.IsReadOnly,
    };
}
