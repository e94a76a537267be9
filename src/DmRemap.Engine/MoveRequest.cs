using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine;

/// <summary>Where a person wants units to be.</summary>
public enum MoveTarget : byte
{
    Spare = 0,

    /// <summary>Back: the unit's rule goes away.</summary>
    Primary = 1,
}

/// <summary>
/// A person's wish to move units [First, Last], and how far it has come. Read it after OnFinished.
/// </summary>
public abstract class MoveRequest
{
    private const int UnreadListMax = 1024;

    public required UnitNumber First { get; init; }

    /// <summary>Included.</summary>
    public required UnitNumber Last { get; init; }

    public MoveTarget To { get; init; }

    public long UnitsMoved { get; internal set; }

    /// <summary>Were there before.</summary>
    public long UnitsAlreadyMoved { get; internal set; }

    public long UnitsFailed { get; internal set; }

    public long BlocksCopied { get; internal set; }

    /// <summary>
    /// To spares: could not be read; they stay where they are, and fail until they read or are written. Back:
    /// those of all units that stay.
    /// </summary>
    public long BlocksUnread { get; internal set; }

    /// <summary>Back: were lost, and stay so without a spare unit.</summary>
    public long BlocksLost { get; internal set; }

    /// <summary>The first of those, in blocks of the exported device; a bounded list.</summary>
    public IReadOnlyList<Extent> Unread => _unread;

    public IoStatus FirstError { get; internal set; } = IoStatus.Ok;

    /// <summary>
    /// To spares: all blocks of the unit of the first error were lost before, declared or given up, so that
    /// there was nothing to read. Healthy: not for that.
    /// </summary>
    public UnitState FirstLostAs { get; internal set; }

    /// <summary>Ended before its last unit, because the device is stopping.</summary>
    public bool IsAbandoned { get; private set; }

    private readonly List<Extent> _unread = [];

    /// <summary>End after the unit at hand. On the loop's thread.</summary>
    public void Abandon() => IsAbandoned = true;

    /// <summary>On the loop's thread, once.</summary>
    public abstract void OnFinished();

    internal void AddUnread(Extent blocks)
    {
        BlocksUnread += blocks.Count.Value;
        if (_unread.Count > 0 && _unread[^1].End == blocks.Start)
        {
            _unread[^1] = Extent.FromBounds(_unread[^1].Start, blocks.End);
        }
        else if (_unread.Count < UnreadListMax)
        {
            _unread.Add(blocks);
        }
    }
}
