using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Engine;
using DmRemap.Engine.Background;
using DmRemap.Simulator.Checkers;
using DmRemap.Simulator.Disks;

namespace DmRemap.Simulator.World;

internal enum SystemPhase : byte
{
    Starting = 0,
    Serving = 1,
    Stopping = 2,
    Stopped = 3,
    Refused = 4,
}

/// <summary>
/// One process of the program over the simulated world: the production engine and metadata, put together as
/// the real composition root does.
/// </summary>
internal sealed partial class SimulatedSystem : IStopOwner, IEventSink
{
    private readonly Universe _universe;
    private readonly SimulatedProcess _process;
    private readonly SimulationConfig _config;
    private readonly SimulatedDisk _primary;
    private readonly Roster _roster;
    private SimulatedDisk[] _offered;
    private readonly TableHistory _history;
    private readonly WriteWatch _watch;
    private readonly Excuses _excuses;
    private CommitWatch? _log;
    private Scrubber? _scrubber;

    public SimulatedSystem(
        Universe universe, SimulationConfig config, SimulatedDisk primary, Roster roster,
        SimulatedDisk[] offered, TableHistory history, WriteWatch watch, Excuses excuses)
    {
        _universe = universe;
        _process = universe.StartProcess();
        _config = config;
        _primary = primary;
        _roster = roster;
        _offered = offered;
        _history = history;
        _watch = watch;
        _excuses = excuses;
    }

    public SystemPhase Phase { get; private set; }

    public RemapDevice? Device { get; private set; }

    public bool WasCleanStop { get; private set; }

    /// <summary>All that was acknowledged is flushed, the device says.</summary>
    public bool WasFlushed { get; private set; }

    public SimulatedProcess Process => _process;

    public int TimersSet => _process.TimersSet;

    public void BeginStop()
    {
        Phase = SystemPhase.Stopping;
        _universe.Trace.Add(TraceKind.Stop, _universe.Now);
        _scrubber?.Stop();
        Device!.BeginStop(this);
    }

    public void OnQuiesced(bool flushed)
    {
        if (!Device!.IsQuiet || Device.InFlight != 0 || _log!.Pending != 0)
        {
            throw new Violation("stop", "the device says that it is quiet, and it is not");
        }
        WasFlushed = flushed;
        if (flushed)
        {
            StopMetadata();
        }
        else
        {
            Phase = SystemPhase.Stopped;
        }
    }

    public void Publish(in EngineEvent happened)
    {
        _universe.Trace.Add(
            TraceKind.Publish, _universe.Now, (long)happened.Kind, happened.Blocks.Start.Value,
            happened.Errno, _universe.Trace.IsPrinting ? $"{happened.Kind} {happened.Blocks}" : null);
        if (happened.Kind == EngineEventKind.MemberBack && happened.Member < 0)
        {
            // The looks for it met bad sectors, which do not tell: what waited for it is late for that.
            _primary.Troubles.NoteTrouble(_universe.Now);
        }
        if (happened.Kind == EngineEventKind.Lost && !happened.Blocks.IsEmpty)
        {
            UnitNumber unit = Device!.Units.UnitOf(happened.Blocks.Start);
            if (Device.Table.TryGet(unit, out RemapEntry entry))
            {
                _history.OnLost(entry);
            }
        }
        _excuses.OnEvent(happened, Device!);
    }

    private RemapDevice Serve(RemapDeviceParts parts)
    {
        Device = new RemapDevice(parts);
        Phase = SystemPhase.Serving;
        _universe.Trace.Add(TraceKind.Recovered, _universe.Now, Device.Table.Count);
        if (_config.HasHandwork)
        {
            Device.Retries.Begin();
        }
        Device.Healer.Begin();
        Device.Copier.Begin();
        if (_config.ScrubBytesPerSecond > 0)
        {
            _scrubber = new Scrubber(Device, _process);
            _scrubber.Start(0, 0, _config.ScrubBytesPerSecond);
        }
        return Device;
    }
}
