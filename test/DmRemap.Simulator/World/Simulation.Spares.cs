using System;
using System.Collections.Generic;
using DmRemap.Simulator.Disks;

namespace DmRemap.Simulator.World;

/// <summary>
/// A person adds and removes spares while requests run; crashes come at any moment of it. One that has left
/// may be brought back as it was, and is not believed.
/// </summary>
internal sealed partial class Simulation
{
    private const int ExtraDisks = 2;

    private readonly Dice _changes;
    private readonly Roster _roster;
    private readonly List<Page> _leftImage = [];
    private SimulatedDisk? _left;
    private int _uuids;

    /// <summary>Before a request of a client.</summary>
    private void ChangeSpares(SimulatedSystem system)
    {
        if (!_changes.OneIn(30) || _roster.Unsettled is not null)
        {
            return;
        }
        if (system.IsChangingSpares)
        {
            if (_changes.OneIn(4))
            {
                system.AbandonRemoval();
            }
            return;
        }
        if (HasCrashes && _changes.OneIn(3))
        {
            // Its steps are few among all that happens: the crash comes while they are made.
            _crash.Set(_changes.Spread(400));
        }
        bool mayRemove = _offered.Length > 1 && _roster.Spares.Length > 1;
        if (_roster.Next is SimulatedDisk next && (!mayRemove || _changes.OneIn(2)))
        {
            _uuids++;
            system.BeginAddition(next, new Guid($"3e3be4ad-0000-4000-8000-{_uuids:x12}"));
        }
        else if (mayRemove)
        {
            system.BeginRemoval(_changes.Pick<SimulatedDisk>(_roster.Spares), _changes.OneIn(3));
        }
    }

    /// <summary>Just before it is erased: what somebody may have copied from it.</summary>
    private void KeepImageOf(SimulatedDisk disk)
    {
        if (_left is null && !disk.IsDirty)
        {
            _left = disk;
            _leftImage.AddRange(disk.TakeImage());
        }
        _history.OnRemoved(disk.Index);
    }

    /// <summary>
    /// A spare that has left comes back as it was: beside the others it is refused, and alone it does not
    /// stand for the set.
    /// </summary>
    private void TryOneThatLeft()
    {
        bool isGone = _left is not null && Array.IndexOf(_roster.Spares, _left) < 0;
        if (!isGone || _roster.Unsettled is not null || _left!.IsDirty || !_changes.OneIn(2))
        {
            return;
        }
        List<Page> now = _left.TakeImage();
        _left.RestoreImage(_leftImage);
        MustBeRefused([.. _roster.Spares, _left], $"spare {_left.Index} has left the set");
        MustBeRefused([_left], $"spare {_left.Index} has left the set, and is alone");
        _left.RestoreImage(now);
        _left.DropImage(now);
    }

    /// <summary>The position of the spare that may not be one, among those offered; null: none is.</summary>
    private int? UnsettledPosition()
    {
        int position = Array.IndexOf(_offered, _roster.Unsettled);
        return position < 0 ? null : position;
    }
}
