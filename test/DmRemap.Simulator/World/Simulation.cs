using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Engine;
using DmRemap.Simulator.Checkers;
using DmRemap.Simulator.Client;
using DmRemap.Simulator.Disks;

namespace DmRemap.Simulator.World;

/// <summary>
/// One run: a set is made, started and ended several times, each time by a crash or a stop, while disks fail
/// under it; in the end, on calm disks, every sector is read twice. The seed decides everything.
/// </summary>
internal sealed partial class Simulation
{
    private readonly ulong _seed;
    private readonly Universe _universe;
    private readonly Dice _dice;
    private readonly SimulationConfig _config;
    private readonly SimulatedDisk _primary;
    private readonly SimulatedDisk[] _disks;
    private readonly SectorModel _model;
    private readonly Excuses _excuses;
    private readonly Workload _workload;
    private readonly WriteWatch _watch;
    private readonly TableHistory _history = new();
    private readonly Misfortune _misfortune;
    private readonly CrashPlan _crash;
    private readonly Dice _asides;
    private readonly Workshop _workshop;
    private int _crashes;
    private int _recoveries;
    private long _remaps;
    private long _rewritten;
    private long _healed;
    private long _sparesAdded;
    private long _sparesRemoved;

    public Simulation(ulong seed, FaultKinds allowed, Workshop workshop, Trace trace)
    {
        _seed = seed;
        _workshop = workshop;
        Dice dice = new(Dice.Mix(seed));
        _universe = new Universe(trace);
        _config = SimulationConfig.Draw(dice.Fork(), allowed);
        _dice = dice.Fork();
        _primary = new SimulatedDisk(
            -1, _universe, dice.Fork(), workshop.Pages, PrimaryGeometry(), _config.Primary,
            Stamp.FillAdopted);
        int extra = _config.Has(FaultKinds.SpareChanges) ? ExtraDisks : 0;
        _disks = new SimulatedDisk[_config.Spares + extra];
        for (int i = 0; i < _config.Spares; i++)
        {
            _disks[i] = NewSpare(i, dice);
        }
        _model = new SectorModel(_config.Sectors);
        _excuses = new Excuses(_config, _primary, _disks);
        _watch = new WriteWatch(_disks);
        Dice misfortune = dice.Fork();
        Array.ForEach(workshop.Requests, request => request.Abandon());
        Promptness promptness = new(_config, _primary);
        _primary.OnSpoiled = promptness.OnSpoiled;
        _workload = new Workload(
            _universe, _config, dice.Fork(), workshop.Requests, _model, new Readability(_primary, _model),
            _excuses, promptness, new Suspension(_universe, dice.Fork(), _primary, _model));
        _crash = new CrashPlan(_universe, _workload, dice.Fork());
        _asides = dice.Fork();
        _misfortune = new Misfortune(
            _universe, _config, misfortune, _primary, _disks, _watch, dice.Fork());
        _changes = dice.Fork();
        for (int i = _config.Spares; i < _disks.Length; i++)
        {
            _disks[i] = NewSpare(i, dice);
        }
        Array.ForEach(_disks, spare => spare.OnCacheLost = _model.OnCacheLost);
        _primary.OnDropped = OnDropped;
        _roster = new Roster(_disks, _config.Spares);
    }

    public SimulationConfig Config => _config;

    public Outcome Run()
    {
        Exception? broken = null;
        try
        {
            Live();
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // Whatever it is: a checker's finding, a broken invariant, or a bug of ours that looks like one.
            broken = e;
        }
        _primary.GiveBackPages();
        Array.ForEach(_disks, spare => spare.GiveBackPages());
        return new Outcome
        {
            Seed = _seed,
            TraceHash = _universe.Trace.Hash,
            Events = _universe.Events,
            Nanoseconds = _universe.Now,
            Crashes = _crashes,
            Recoveries = _recoveries,
            Requests = _workload.Asked,
            Remaps = _remaps,
            Rewritten = _rewritten,
            Healed = _healed,
            SparesAdded = _sparesAdded,
            SparesRemoved = _sparesRemoved,
            Broken = broken,
        };
    }

    /// <summary>What lies on a spare by now is not what the primary's cache held.</summary>
    private void OnDropped(long sector)
    {
        BlockNumber block = new(sector / _config.SectorsPerBlock);
        if (_lastServed?.Device is not RemapDevice device)
        {
            return;
        }
        bool isElsewhere = device.Table.TryGet(device.Units.UnitOf(block), out RemapEntry entry)
            && entry.Blocks[device.Units.IndexInUnit(block)] != BlockState.OnPrimary;
        if (isElsewhere)
        {
            _model.OnDroppedBelow(sector);
        }
        else
        {
            _model.OnDropped(sector);
        }
    }

    /// <summary>Those of the set, by the host's record.</summary>
    private SimulatedDisk[] Spares => _roster.Spares;

    private SimulatedDisk NewSpare(int index, Dice dice) => new(
        index, _universe, dice.Fork(), _workshop.Pages, SpareGeometry(), _config.Spare, Stamp.FillForeign);

    private DeviceGeometry PrimaryGeometry() => new()
    {
        LogicalBlockSize = new BlockSize(_config.BlockBytes),
        PhysicalBlockBytes = _config.PhysicalBytes,
        Blocks = new BlockCount(_config.Blocks),
        AlignmentOffsetBytes = _config.AlignmentOffset,
        CanDiscard = _config.Primary.CanDiscard,
        CanWriteZeroes = _config.Primary.CanWriteZeroes,
    };

    private DeviceGeometry SpareGeometry() => new()
    {
        LogicalBlockSize = new BlockSize(_config.BlockBytes),
        PhysicalBlockBytes = _config.SparePhysicalBytes,
        Blocks = new BlockCount(Limits.SpareBytesMin / _config.BlockBytes),
    };
}
