using System.Collections.Generic;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>
/// Spare units whose content is on the primary again. They are lent again only when a checkpoint without
/// their old rules is durable: until then damage to the journal could bring such a rule back, and were the
/// unit another's by then, one's blocks would read as the other's (F-4). A start settles them too.
/// </summary>
internal sealed class GivenBackUnits(RemapDevice device) : ICheckpointWaiter
{
    /// <summary>What is more stays taken until the next start.</summary>
    private const int CountMax = 65_536;

    private List<SpareLocation> _since = [];
    private List<SpareLocation> _awaited = [];
    private bool _isWantedAgain;

    /// <summary>The rule of this unit is durably gone.</summary>
    public void Add(SpareLocation location)
    {
        if (_since.Count < CountMax)
        {
            _since.Add(location);
        }
        if (_since.Count == CountMax / 2)
        {
            Settle();
        }
    }

    /// <summary>Ask for the checkpoint that makes them free.</summary>
    public void Settle()
    {
        if (_since.Count == 0)
        {
            return;
        }
        if (_awaited.Count > 0)
        {
            _isWantedAgain = true;
            return;
        }
        (_since, _awaited) = (_awaited, _since);
        device.Log.Checkpoint(this);
    }

    public void OnCheckpointDurable()
    {
        foreach (SpareLocation location in _awaited)
        {
            device.Allocator.Free(location);
        }
        _awaited.Clear();
        if (_isWantedAgain)
        {
            _isWantedAgain = false;
            Settle();
        }
    }
}
