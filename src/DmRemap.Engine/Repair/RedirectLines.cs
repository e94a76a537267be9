using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine.Repair;

/// <summary>
/// Writes that wait for their redirection: in a line for each spare, where their unit is on one, and in
/// another for the rest. A spare that does not answer keeps nobody waiting who does not need it (F-19).
/// </summary>
internal sealed class RedirectLines
{
    /// <summary>
    /// At once: their commits share a record, so that a burst of bad sectors costs few flushes.
    /// </summary>
    private const int JobsMax = 64;

    private const int KeptMax = 16;

    private readonly RemapDevice _device;
    private readonly RepairLine<WriteRedirect> _home;
    private readonly RepairLine<WriteRedirect>?[] _ofSpare = new RepairLine<WriteRedirect>?[Limits.SparesMax];
    private int _waiting;

    public RedirectLines(RemapDevice device)
    {
        _device = device;
        _home = NewLine();
        _home.Prepare();
    }

    /// <summary>Asked after each completion: what waits is counted, and mostly nothing does.</summary>
    public bool CanStart => _waiting > 0 && Any(static line => line.CanStart);

    public bool IsHeldBack => _waiting > 0 && Any(static line => line.IsHeldBack);

    public bool IsIdle => !Any(static line => !line.IsIdle);

    public bool IsAnyMarked => Any(static line => line.IsAnyMarked);

    public void MarkUnderWay()
    {
        _home.MarkUnderWay();
        foreach (RepairLine<WriteRedirect>? line in _ofSpare)
        {
            line?.MarkUnderWay();
        }
    }

    public void Enqueue(FragmentIo fragment)
    {
        UnitNumber unit = _device.Units.UnitOf(fragment.Exported.Start);
        bool hasRule = _device.Table.TryGet(unit, out RemapEntry entry);
        RepairLine<WriteRedirect> line = hasRule && !entry.Location.IsNone
            ? _ofSpare[entry.Location.Spare] ??= NewLine()
            : _home;
        line.Enqueue(fragment);
        _waiting++;
    }

    /// <summary>True when at least one was started.</summary>
    public bool StartWaiting()
    {
        int started = _home.StartWaiting();
        foreach (RepairLine<WriteRedirect>? line in _ofSpare)
        {
            started += line?.StartWaiting() ?? 0;
        }
        _waiting -= started;
        return started > 0;
    }

    private RepairLine<WriteRedirect> NewLine()
    {
        RepairLine<WriteRedirect>? line = null;
        line = new RepairLine<WriteRedirect>(
            JobsMax, KeptMax, _device.WritesOut, () => new WriteRedirect(_device) { Line = line! });
        return line;
    }

    private bool Any(Func<RepairLine<WriteRedirect>, bool> isSo)
    {
        bool any = isSo(_home);
        foreach (RepairLine<WriteRedirect>? line in _ofSpare)
        {
            any |= line is not null && isSo(line);
        }
        return any;
    }
}
