using System;
using DmRemap.Simulator.Disks;

namespace DmRemap.Simulator.World;

/// <summary>
/// What the host's record says, which no crash takes: the disks that are spares of the set, and the one that
/// is being added or removed. Disks are members of the set by their index; one that has been listed once is
/// not added again.
/// </summary>
internal sealed class Roster(SimulatedDisk[] disks, int atFirst)
{
    private readonly int _atFirst = atFirst;
    private int _used = atFirst;

    public SimulatedDisk[] Spares { get; private set; } = disks[..atFirst];

    public SimulatedDisk? Unsettled { get; private set; }

    /// <summary>The next disk that may be added, or null.</summary>
    public SimulatedDisk? Next => _used < disks.Length ? disks[_used] : null;

    /// <summary>It is recorded before the set knows of it.</summary>
    public void BeginAddition(SimulatedDisk disk)
    {
        Spares = [.. Spares, disk];
        Unsettled = disk;
    }

    public void BeginRemoval(SimulatedDisk disk) => Unsettled = disk;

    /// <summary>It is one, or still one.</summary>
    public void Settle() => Unsettled = null;

    /// <summary>The set has listed it: its place there is taken.</summary>
    public void NoteListed(SimulatedDisk disk) => _used = Math.Max(_used, disk.Index + 1);

    /// <summary>
    /// What a start found: a listing that did not become durable takes no place, and the disk is tried again.
    /// </summary>
    public void NoteFound(int members) => _used = Math.Max(_atFirst, members);

    public void Drop(SimulatedDisk disk)
    {
        Spares = Array.FindAll(Spares, spare => spare != disk);
        Unsettled = null;
    }
}
