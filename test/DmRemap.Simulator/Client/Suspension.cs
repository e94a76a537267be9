using DmRemap.Engine;
using DmRemap.Simulator.Checkers;
using DmRemap.Simulator.Disks;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Client;

/// <summary>
/// A person suspends the device for a while, in the middle of everything: what comes is held, what was
/// acknowledged is durable when it is quiet, and nothing is lost or failed by it.
/// </summary>
internal sealed class Suspension(
    Universe universe, Dice dice, SimulatedDisk primary, SectorModel model) : WorldEvent, ISuspendOwner
{
    private const long SecondsMax = 30;

    private RemapDevice? _device;

    public void Begin(RemapDevice device)
    {
        if (device.IsHolding || IsPlanned)
        {
            return;
        }
        _device = device;
        NoteWaiting();
        universe.Trace.Add(TraceKind.Suspend, universe.Now);
        universe.Plan(this, dice.Spread(SecondsMax * 1_000) * 1_000_000);
        device.BeginSuspend(this);
    }

    /// <summary>The process ends, or the device stops.</summary>
    public void Cease() => universe.Agenda.Cancel(this);

    /// <summary>Time to resume, quiet or not; a stop has ended the suspension already.</summary>
    public override void Happen()
    {
        universe.Trace.Add(TraceKind.Resume, universe.Now);
        NoteWaiting();
        if (_device!.IsHolding)
        {
            _device.Resume();
        }
    }

    public void OnQuiesced(bool flushed)
    {
        // The record of a loss may be on its way: it is metadata, nobody waits for it, and it is tried again
        // for as long as the spares refuse it.
        if (!_device!.IsDataQuiet)
        {
            throw new Violation("suspend", "the device says that it is quiet, and it is not");
        }
        if (flushed)
        {
            model.Flushed(model.Tick());
        }
    }

    /// <summary>Requests of this time are late for a good reason.</summary>
    private void NoteWaiting() => primary.Troubles.NoteTrouble(universe.Now);
}
