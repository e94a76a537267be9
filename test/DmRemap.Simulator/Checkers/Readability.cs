using DmRemap.Simulator.Disks;

namespace DmRemap.Simulator.Checkers;

/// <summary>
/// Which sectors may fail to read: those whose place on the primary has gone bad since the last write that
/// was answered with success. All others must read, wherever they are.
/// </summary>
internal sealed class Readability
{
    private readonly int[] _badSince;
    private readonly int[] _healedAt;
    private readonly SimulatedDisk _primary;
    private readonly SectorModel _model;

    public Readability(SimulatedDisk primary, SectorModel model)
    {
        _primary = primary;
        _model = model;
        _badSince = new int[primary.Sectors];
        _healedAt = new int[primary.Sectors];
        primary.OnUnreadable = sector => _badSince[sector] = model.Tick();
        primary.OnHealed = sector => _healedAt[sector] = model.Clock;
    }

    /// <summary>For a read that began then. What fails is a physical sector, as a whole.</summary>
    public bool MayFail(long sector, int began) =>
        _badSince[sector] != 0 || _primary.IsAnyBadForReading(sector, each => _healedAt[each] >= began);

    /// <summary>It failed with reason: so it may again, until it is written.</summary>
    public void OnFailed(long sector) => _badSince[sector] = _model.Clock;

    public void OnWritten(long sector, int began)
    {
        if (_badSince[sector] < began)
        {
            _badSince[sector] = 0;
            _healedAt[sector] = _model.Clock;
        }
    }

    /// <summary>A read error that another disk or an errorless sector cannot explain.</summary>
    public string Describe(long sector) =>
        $"bad since {_badSince[sector]}, healed at {_healedAt[sector]} of {_model.Clock}";
}
