using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>
/// Spare units whose content is on the primary again. They are lent again only when a checkpoint without
/// their old rules is durable: until then damage to the journal could bring such a rule back, and were the
/// unit another's by then, one's blocks would read as the other's (F-4). A read that was sent to the spare
/// before, and is still out, may be carried out as late: what it is about waits too (F-38). What still waits
/// when the device stops is free at the next start.
/// </summary>
internal sealed class GivenBackUnits(RemapDevice device) : ICheckpointWaiter
{
    /// <summary>What is more stays taken until the next start.</summary>
    private const int CountMax = 65_536;

    private readonly HashSet<long> _unitsOut = [];
    private List<GivenBack> _since = [];
    private List<GivenBack> _awaited = [];
    private bool _isAsked;
    private bool _isWantedAgain;

    /// <summary>The rule of this unit is durably gone.</summary>
    public void Add(UnitNumber unit, SpareLocation location)
    {
        Keep(new GivenBack(unit, location));
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
        if (_isAsked)
        {
            _isWantedAgain = true;
            return;
        }
        (_since, _awaited) = (_awaited, _since);
        _isAsked = true;
        device.Log.Checkpoint(this);
    }

    public void OnCheckpointDurable()
    {
        _unitsOut.Clear();
        device.CollectUnitsAtSpares(_unitsOut);
        foreach (GivenBack unit in _awaited)
        {
            if (_unitsOut.Contains(unit.Unit.Value))
            {
                // With the next checkpoint that somebody asks for.
                Keep(unit);
            }
            else
            {
                device.Allocator.Free(unit.Location);
            }
        }
        _awaited.Clear();
        _isAsked = false;
        if (_isWantedAgain)
        {
            _isWantedAgain = false;
            Settle();
        }
    }

    /// <summary>
    /// This spare has left for ever: its units are nobody's, and its index may be another's tomorrow.
    /// </summary>
    public void Forget(int spare)
    {
        _since.RemoveAll(unit => unit.Location.Spare == spare);
        _awaited.RemoveAll(unit => unit.Location.Spare == spare);
    }

    private void Keep(GivenBack unit)
    {
        if (_since.Count < CountMax)
        {
            _since.Add(unit);
        }
    }

    private readonly record struct GivenBack(UnitNumber Unit, SpareLocation Location);
}
