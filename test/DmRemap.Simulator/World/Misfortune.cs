using System;
using DmRemap.Core.Metadata;
using DmRemap.Simulator.Checkers;
using DmRemap.Simulator.Disks;

namespace DmRemap.Simulator.World;

/// <summary>Makes things go wrong, as the run's swarm allows and within its budget.</summary>
internal sealed class Misfortune(
    Universe universe, SimulationConfig config, Dice dice, SimulatedDisk primary, SimulatedDisk[] spares,
    WriteWatch watch, Dice asides)
{
    private const int SpoiledMax = 120;
    private const long Millisecond = 1_000_000;

    /// <summary>What may strike while requests run; twice what is common.</summary>
    private static readonly FaultKinds[] s_whileServing =
    [
        FaultKinds.PrimaryReads, FaultKinds.PrimaryReads, FaultKinds.PrimaryWrites, FaultKinds.PrimaryWrites,
        FaultKinds.PrimaryWrites, FaultKinds.PrimaryWeak, FaultKinds.PrimaryTransient,
        FaultKinds.PrimaryVanishes, FaultKinds.PrimaryHangs, FaultKinds.SpareReads, FaultKinds.SpareWrites,
        FaultKinds.SpareWrites, FaultKinds.SpareTransient, FaultKinds.SpareVanishes, FaultKinds.SpareHangs,
        FaultKinds.SlowWrites, FaultKinds.MetadataWrites,
    ];

    private readonly FaultKinds[] _kinds = Array.FindAll(s_whileServing, config.Has);
    private int _spoiled;

    /// <summary>Before a request: perhaps something breaks.</summary>
    public void Strike()
    {
        if (_kinds.Length > 0 && dice.Percent(config.FaultPercent))
        {
            FaultKinds kind = dice.Pick<FaultKinds>(_kinds);
            universe.Trace.Add(
                TraceKind.Fault, universe.Now, (long)kind, 0, 0,
                universe.Trace.IsPrinting ? kind.ToString() : null);
            Strike(kind);
        }
    }

    /// <summary>
    /// The machine is off, and the last start before was complete. A place of which a write failed or was
    /// late is given up until the next start; then the other one must not rot. Nor must a spare that no start
    /// has made whole since it rotted.
    /// </summary>
    public void StrikeWhileOff(SimulatedDisk[] whole)
    {
        if (Array.Exists(spares, spare => spare.HasFailedMetadata))
        {
            return;
        }
        for (int i = 0; i < spares.Length; i++)
        {
            if (config.Has(FaultKinds.MetadataRot) && watch.LayoutOf(i) is SpareLayout layout
                && Array.IndexOf(whole, spares[i]) >= 0 && dice.OneIn(2))
            {
                Rot(i, layout);
            }
        }
    }

    /// <summary>A start begins.</summary>
    public void StrikeAtStart()
    {
        // One spare only: what a read misses there is on another place of it, or on another spare.
        SimulatedDisk spare = dice.Pick<SimulatedDisk>(spares);
        if (config.Has(FaultKinds.MetadataReads) && dice.OneIn(3))
        {
            spare.Troubles.MetadataReadsFailing = 1;
        }
        if (config.Has(FaultKinds.MetadataMisreads) && dice.OneIn(3))
        {
            spare.Troubles.MetadataReadsStrange = 1;
        }
        if (config.Has(FaultKinds.OpeningFlush) && asides.OneIn(3))
        {
            asides.Pick<SimulatedDisk>(spares).Troubles.MetadataFlushesFailing = asides.Between(1, 2);
        }
        bool isHanging = config.Has(FaultKinds.SpareHangs) && dice.OneIn(8);
        spare.Troubles.SilentUntil = isHanging ? Later(Budget.SilenceMsMax) : 0;
    }

    /// <summary>Any piece of metadata of any spare, as many as chance will have.</summary>
    public void Ruin(SimulatedDisk spare)
    {
        if (watch.LayoutOf(spare.Index) is not SpareLayout layout)
        {
            return;
        }
        int percent = dice.Pick<int>([30, 60, 90, 100]);
        for (int copy = 0; copy < SpareLayout.SuperblockCopies; copy++)
        {
            RuinPiece(spare, new ByteRegion(layout.Superblock(copy).Start, 4096), percent);
        }
        for (int place = 0; place < SpareLayout.Places; place++)
        {
            RuinPiece(spare, place == 0 ? layout.Journal1 : layout.Journal2, percent);
            RuinPiece(spare, layout.Area(CheckpointArea.A, place), percent);
            RuinPiece(spare, layout.Area(CheckpointArea.B, place), percent);
        }
    }

    public void Calm()
    {
        primary.Troubles.Calm();
        Array.ForEach(spares, spare => spare.Troubles.Calm());
    }

    private void Strike(FaultKinds kind)
    {
        switch (kind)
        {
            case FaultKinds.PrimaryReads:
            case FaultKinds.PrimaryWrites:
            case FaultKinds.PrimaryWeak:
                SpoilPrimary(kind);
                break;
            case FaultKinds.SpareReads:
            case FaultKinds.SpareWrites:
                SpoilSpare(kind);
                break;
            case FaultKinds.PrimaryTransient:
                Disturb(primary);
                break;
            case FaultKinds.SpareTransient:
                Disturb(dice.Pick<SimulatedDisk>(spares));
                break;
            case FaultKinds.PrimaryVanishes:
                primary.Troubles.GoneUntil = Later(20_000);
                break;
            case FaultKinds.SpareVanishes:
                dice.Pick<SimulatedDisk>(spares).Troubles.GoneUntil = Later(20_000);
                break;
            case FaultKinds.PrimaryHangs:
                primary.Troubles.SilentUntil = Later(Budget.SilenceMsMax);
                break;
            case FaultKinds.SpareHangs:
                dice.Pick<SimulatedDisk>(spares).Troubles.SilentUntil = Later(Budget.SilenceMsMax);
                break;
            case FaultKinds.SlowWrites:
                SimulatedDisk slow = dice.OneIn(2) ? primary : dice.Pick<SimulatedDisk>(spares);
                DiskTroubles troubles = slow.Troubles;
                troubles.SlowWritesLeft = dice.Between(1, 4);
                troubles.SlowWriteNanoseconds = dice.Spread(Budget.SilenceMsMax) * Millisecond;
                break;
            case FaultKinds.MetadataWrites:
                // One that takes no metadata at all for a while, now and then.
                dice.Pick<SimulatedDisk>(spares).Troubles.MetadataWritesFailing =
                    dice.OneIn(4) ? dice.Between(10, 200) : dice.Between(1, 3);
                break;
            default:
                break;
        }
    }

    private long Later(long msMax) => universe.Now + (dice.Spread(msMax) * Millisecond);

    private void SpoilPrimary(FaultKinds kind)
    {
        long sector = dice.OneIn(3)
            ? dice.Below(primary.Sectors)
            : dice.Below(Math.Min((long)config.HotBlocks * config.SectorsPerBlock, primary.Sectors));
        for (int i = dice.OneIn(3) ? dice.Between(2, 8) : 1; i > 0 && _spoiled < SpoiledMax; i--)
        {
            _spoiled++;
            primary.Spoil(Math.Min(sector, primary.Sectors - 1), kind);
            sector += config.PhysicalBytes / Page.SectorBytes;
        }
    }

    /// <summary>In the data area, near its start, where units are handed out.</summary>
    private void SpoilSpare(FaultKinds kind)
    {
        SimulatedDisk spare = dice.Pick<SimulatedDisk>(spares);
        if (watch.LayoutOf(spare.Index) is SpareLayout layout && _spoiled < SpoiledMax)
        {
            long units = Math.Min(config.SpareUnits, 100);
            long at = layout.Data.Start + dice.Below(units * config.UnitBytes);
            if (at < layout.Data.Start + layout.Data.Bytes)
            {
                _spoiled++;
                spare.Spoil(at / Page.SectorBytes, kind);
            }
        }
    }

    /// <summary>Errors that say nothing of a place: a reset, a time-out, a short transfer.</summary>
    private void Disturb(SimulatedDisk disk)
    {
        disk.Troubles.FailuresLeft = dice.Between(1, 6);
        disk.Troubles.FailureErrno = dice.Pick<int>([0, 5, 5, 6, 19, 28, 62, 110]);
        disk.Troubles.AreFailuresSlow = disk.Troubles.FailureErrno == 5 && dice.OneIn(2);
        if (disk.Troubles.FailureErrno == 5 && !disk.Troubles.AreFailuresSlow && asides.OneIn(2))
        {
            // A drive that is locked, or has become read-only, names its medium.
            disk.Troubles.FailureErrno = 61;
        }
    }

    private void RuinPiece(SimulatedDisk spare, ByteRegion piece, int percent)
    {
        if (!dice.Percent(percent))
        {
            return;
        }
        // Its beginning, where what it holds is; all of it, now and then.
        long bytes = dice.OneIn(2) ? System.Math.Min(piece.Bytes, 16_384) : piece.Bytes;
        switch (dice.Below(3))
        {
            case 0:
                spare.Erase(piece.Start, bytes);
                break;
            case 1:
                spare.MakeUnreadable(piece.Start, bytes);
                break;
            default:
                spare.Rot(piece.Start, bytes);
                break;
        }
    }

    /// <summary>A few superblock copies, and one place of each other piece: the rest is whole.</summary>
    private void Rot(int spare, SpareLayout layout)
    {
        int copies = dice.Between(0, Budget.CopiesDamagedMax);
        int first = dice.Below(SpareLayout.SuperblockCopies);
        for (int i = 0; i < copies; i++)
        {
            int copy = (first + i) % SpareLayout.SuperblockCopies;
            ByteRegion slot = layout.Superblock(copy);
            spares[spare].Rot(slot.Start, SpareLayout.SuperblockBytes);
        }
        int place = dice.Below(SpareLayout.Places);
        if (dice.OneIn(2))
        {
            spares[spare].Rot(layout.Area(CheckpointArea.A, place).Start, 512);
            spares[spare].Rot(layout.Area(CheckpointArea.B, place).Start, 512);
            spares[spare].Rot((place == 0 ? layout.Journal1 : layout.Journal2).Start, 16_384);
        }
        universe.Trace.Add(TraceKind.Fault, universe.Now, (long)FaultKinds.MetadataRot, spare, copies);
    }
}
