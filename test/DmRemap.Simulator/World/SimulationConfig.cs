using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Flushing;
using DmRemap.Core.Healing;
using DmRemap.Core.Remapping;
using DmRemap.Core.Scrubbing;

namespace DmRemap.Simulator.World;

/// <summary>What one run is like: drawn from its seed before anything happens.</summary>
internal sealed record SimulationConfig
{
    private const int HandworkWeight = 15;

    public required FaultKinds Faults { get; init; }

    public required int BlockBytes { get; init; }

    public required int PhysicalBytes { get; init; }

    /// <summary>Of the spares: the longer, the fewer slots the journal has.</summary>
    public required int SparePhysicalBytes { get; init; }

    public required int AlignmentOffset { get; init; }

    public required int UnitBytes { get; init; }

    /// <summary>Of the primary, in logical blocks.</summary>
    public required int Blocks { get; init; }

    public required int Spares { get; init; }

    /// <summary>Units of each spare that the allocator is told of: few, so that they can run out.</summary>
    public required int SpareUnits { get; init; }

    public required DiskTraits Primary { get; init; }

    public required DiskTraits Spare { get; init; }

    /// <summary>Starts before the last one.</summary>
    public required int Boots { get; init; }

    public required int OperationsPerBoot { get; init; }

    public required int Depth { get; init; }

    /// <summary>Nanoseconds between two requests, at most.</summary>
    public required long ThinkMax { get; init; }

    /// <summary>Of a hundred requests, those before which something breaks.</summary>
    public required int FaultPercent { get; init; }

    /// <summary>Weights of read, write, flush, zeroes, discard, move, suspend.</summary>
    public required int[] Weights { get; init; }

    public required int ForcedPercent { get; init; }

    /// <summary>The longest request, in logical blocks.</summary>
    public required int RequestBlocksMax { get; init; }

    /// <summary>The part of the disk that most requests go to, in blocks.</summary>
    public required int HotBlocks { get; init; }

    public UnitGeometry Geometry => new(
        new BlockSize(BlockBytes), UnitBytes, new BlockCount(Blocks), AlignmentOffset);

    public int SectorsPerBlock => BlockBytes / 512;

    public int Sectors => Blocks * SectorsPerBlock;

    public bool Has(FaultKinds kind) => (Faults & kind) != 0;

    public static SimulationConfig Draw(Dice dice, FaultKinds allowed)
    {
        FaultKinds faults = DrawFaults(dice, allowed);
        int blockBytes = dice.OneIn(5) ? 4096 : 512;
        int physicalBytes = dice.OneIn(3) ? blockBytes : 4096;
        bool isMisaligned = blockBytes == 512 && physicalBytes == 4096 && dice.OneIn(5);
        int unitBytes = dice.OneIn(6) ? 4096 << dice.Between(1, blockBytes == 512 ? 3 : 5) : 4096;
        int bytes = dice.Between(48, 256) * 4096;
        int blocks = (bytes / blockBytes) - (dice.OneIn(3) ? dice.Below(7) : 0);
        int[] weights = [30, 40, 6, 6, 5, 4, 2];
        for (int i = 2; i < weights.Length; i++)
        {
            weights[i] = dice.OneIn(3) ? 0 : weights[i];
        }
        // Some applications flush all the time.
        weights[2] = dice.OneIn(5) ? 30 : weights[2];
        weights[5] = IsHandworkOf(blocks) ? HandworkWeight : weights[5];
        int requestBytesMax = 512 << dice.Between(3, 8);
        return new SimulationConfig
        {
            Faults = faults,
            BlockBytes = blockBytes,
            PhysicalBytes = physicalBytes,
            SparePhysicalBytes = dice.OneIn(3) ? dice.Pick<int>([16_384, 65_536]) : physicalBytes,
            AlignmentOffset = isMisaligned ? 512 * dice.Between(1, 7) : 0,
            UnitBytes = unitBytes,
            Blocks = blocks,
            Spares = dice.OneIn(2) ? 1 : dice.Between(2, 3),
            SpareUnits = dice.OneIn(4) ? dice.Between(1, 24) : dice.Between(100, 600),
            Primary = DiskTraits.Draw(dice, (faults & FaultKinds.PrimaryAtFlush) != 0),
            Spare = DiskTraits.Draw(dice, errorsAtFlush: false),
            Boots = dice.Between(1, 5),
            OperationsPerBoot = (int)dice.Between(20L, 100L + dice.Spread(800)),
            Depth = dice.Between(1, 16),
            ThinkMax = dice.Pick<long>([10_000, 200_000, 2_000_000, 50_000_000, 1_500_000_000]),
            FaultPercent = dice.Between(2, 25),
            Weights = weights,
            ForcedPercent = dice.Pick<int>([0, 10, 40]),
            RequestBlocksMax = Math.Max(1, requestBytesMax / blockBytes),
            HotBlocks = Math.Max(16, blocks / dice.Between(1, 12)),
        };
    }

    /// <summary>
    /// Of the scrub that each start begins; 0: none. Not drawn: what a seed does stays as it is for the
    /// others.
    /// </summary>
    public long ScrubBytesPerSecond => Blocks % 4 == 1 ? ScrubPace.RateMin << (Blocks / 4 % 6) : 0;

    /// <summary>
    /// A person is at work: moves are many, to spares and back, units are tried again and blocks declared
    /// lost; and what does not read is tried in the background. Not drawn, so that what the seeds of all
    /// other runs do stays as it is.
    /// </summary>
    public bool HasHandwork => IsHandworkOf(Blocks);

    /// <summary>Not drawn either.</summary>
    public bool ProbesNeighbourhood => Blocks % 4 >= 2;

    /// <summary>
    /// Not drawn either. Passes follow each other closely: a run lasts a minute, and healing a unit takes
    /// four of them.
    /// </summary>
    public HealPolicy Heal => Blocks / 16 % 3 == 1
        ? new HealPolicy(
            true, Duration.FromMilliseconds(2 << (Blocks / 48 % 8)), ScrubPace.RateMin << 6,
            new ByteCount(64 << 10))
        : HealPolicy.Off;

    /// <summary>Not drawn either.</summary>
    public bool KeepsCopies => Spares > 1 && Blocks / 32 % 3 == 2;

    private static bool IsHandworkOf(int blocks) => blocks / 8 % 4 == 3;

    /// <summary>Not drawn either.</summary>
    public OnGone OnGone => (Blocks / 4 % 3) switch
    {
        0 => OnGone.Hold,
        1 => OnGone.HoldFor(Duration.FromSeconds(5)),
        _ => OnGone.Fail,
    };

    /// <summary>Not drawn either. Forced writes hide what a cache may lose: they are few.</summary>
    public WriteCachePolicy WriteCache => (Blocks / 12 % 8) switch
    {
        0 => WriteCachePolicy.Fua,
        1 or 3 or 5 => WriteCachePolicy.Auto,
        _ => WriteCachePolicy.Keep,
    };

    /// <summary>For a person who replays a run.</summary>
    public string Describe() =>
        $"faults: {Faults}\n"
            + $"{Blocks} blocks of {BlockBytes} bytes, physical {PhysicalBytes} + {AlignmentOffset}"
            + $" ({SparePhysicalBytes}), units of {UnitBytes}; {Spares} spares of {SpareUnits} units;"
            + $" {Boots} starts of {OperationsPerBoot}"
            + $" requests, {Depth} at once, weights {string.Join(' ', Weights)},"
            + $" scrub {ScrubBytesPerSecond}, on gone {OnGone}, heal {Heal}, write cache {WriteCache},"
            + $" copies {(KeepsCopies ? 2 : 1)}\n"
            + $"primary: {Primary}\nspares: {Spare}";

    private static FaultKinds DrawFaults(Dice dice, FaultKinds allowed)
    {
        FaultKinds faults = FaultKinds.None;
        for (int bit = 0; bit < 31; bit++)
        {
            FaultKinds kind = (FaultKinds)(1 << bit) & allowed;
            // Errors without an address excuse much, so that little is checked where they are.
            bool isRare = kind is FaultKinds.PrimaryAtFlush or FaultKinds.PrimaryTransient
                or FaultKinds.PrimaryVanishes or FaultKinds.SpareTransient or FaultKinds.SpareVanishes
                or FaultKinds.MetadataWrites or FaultKinds.OpeningFlush;
            faults |= dice.OneIn(isRare ? 5 : 2) ? kind : FaultKinds.None;
        }
        return faults;
    }
}
