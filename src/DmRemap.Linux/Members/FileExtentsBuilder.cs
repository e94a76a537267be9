using System;
using System.Collections.Generic;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Members;

/// <summary>Turns the extents of successive FIEMAP calls into holes.</summary>
internal sealed class FileExtentsBuilder(long bytes)
{
    private readonly List<FileHole> _holes = [];
    private bool _hasShared;
    private bool _hasEncoded;

    public long Position { get; private set; }

    public bool IsComplete { get; private set; } = bytes == 0;

    public void Add(ReadOnlySpan<FileNative.FiemapExtent> extents)
    {
        bool isLast = extents.Length == 0;
        foreach (FileNative.FiemapExtent extent in extents)
        {
            long start = long.Min((long)extent.fe_logical, bytes);
            long end = long.Min((long)(extent.fe_logical + extent.fe_length), bytes);
            AddHole(Position, start);
            if ((extent.fe_flags & FileNative.FIEMAP_EXTENT_UNWRITTEN) != 0)
            {
                AddHole(long.Max(Position, start), end);
            }
            _hasShared |= (extent.fe_flags & FileNative.FIEMAP_EXTENT_SHARED) != 0;
            _hasEncoded |= (extent.fe_flags & FileNative.FIEMAP_EXTENT_ENCODED) != 0;
            Position = long.Max(Position, end);
            isLast |= (extent.fe_flags & FileNative.FIEMAP_EXTENT_LAST) != 0;
        }
        if (isLast || Position >= bytes)
        {
            AddHole(Position, bytes);
            Position = bytes;
            IsComplete = true;
        }
    }

    public FileExtents Build() => new(_holes, _hasShared, _hasEncoded);

    private void AddHole(long start, long end)
    {
        if (end <= start)
        {
            return;
        }
        if (_holes.Count > 0 && _holes[^1].End == start)
        {
            _holes[^1] = new FileHole(_holes[^1].Start, end);
        }
        else
        {
            _holes.Add(new FileHole(start, end));
        }
    }
}
