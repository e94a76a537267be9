using DmRemap.Core.Remapping;
using DmRemap.Simulator.Client;
using DmRemap.Simulator.Disks;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Checkers;

/// <summary>
/// P4: what needs nothing of a spare is not delayed by one. A read of units that never failed and were never
/// moved, with no write near them under way, is answered in a moment while the primary answers, however long
/// a spare is silent.
/// </summary>
internal sealed class Promptness(SimulationConfig config, SimulatedDisk primary)
{
    private const long MomentNanoseconds = 1_000_000_000;

    private readonly UnitGeometry _units = config.Geometry;
    private readonly bool[] _isSpecial = new bool[config.Geometry.Units];
    private readonly int[] _changesUnderWay = new int[config.Geometry.Units];
    private readonly int[] _changedAt = new int[config.Geometry.Units];

    public void OnKilled() => System.Array.Clear(_changesUnderWay);

    /// <summary>The primary has had a bad place here, or a person moved the unit.</summary>
    public void OnSpecial(long unit) => _isSpecial[unit] = true;

    public void OnSpoiled(long sector) => OnSpecial(UnitOf(sector));

    /// <summary>A request that changes content was asked for (1) or has been answered (-1).</summary>
    public void OnChange(ClientRequest request, int step, int time)
    {
        for (long unit = UnitOf(request.FirstSector); unit <= LastOf(request); unit++)
        {
            _changesUnderWay[unit] += step;
            _changedAt[unit] = time;
        }
    }

    public void CheckRead(ClientRequest request, long askedAt, long now)
    {
        bool isLate = now - askedAt > MomentNanoseconds;
        if (!isLate || primary.Troubles.LastTroubleAt >= askedAt)
        {
            return;
        }
        for (long unit = UnitOf(request.FirstSector); unit <= LastOf(request); unit++)
        {
            bool isFree = !_isSpecial[unit] && _changesUnderWay[unit] == 0
                && _changedAt[unit] < request.Began;
            if (!isFree)
            {
                return;
            }
        }
        throw new Violation(
            "P4",
            $"read {request.Version} of sectors [{request.FirstSector}, "
                + $"{request.FirstSector + request.Sectors}) took {(now - askedAt) / 1_000_000} ms, and the"
                + " primary was well");
    }

    private long UnitOf(long sector) =>
        _units.UnitOf(new Core.Abstractions.BlockNumber(sector / config.SectorsPerBlock)).Value;

    private long LastOf(ClientRequest request) => UnitOf(request.FirstSector + request.Sectors - 1);
}
