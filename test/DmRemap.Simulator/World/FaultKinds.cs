using System;

namespace DmRemap.Simulator.World;

/// <summary>What may go wrong in a run. Each run turns on some of what the budget allows.</summary>
[Flags]
internal enum FaultKinds
{
    None = 0,

    /// <summary>Sectors of the primary stop reading.</summary>
    PrimaryReads = 1 << 0,

    /// <summary>Sectors of the primary refuse writes.</summary>
    PrimaryWrites = 1 << 1,

    /// <summary>Sectors of the primary read only after several tries.</summary>
    PrimaryWeak = 1 << 2,

    /// <summary>Write errors of the primary that appear only when its cache is flushed.</summary>
    PrimaryAtFlush = 1 << 3,

    /// <summary>Errors of the primary that are no bad sector's: time-outs, resets, short transfers.</summary>
    PrimaryTransient = 1 << 4,

    /// <summary>The primary is away for a while and comes back.</summary>
    PrimaryVanishes = 1 << 5,

    /// <summary>The primary answers nothing for a while.</summary>
    PrimaryHangs = 1 << 6,

    SpareReads = 1 << 7,
    SpareWrites = 1 << 8,
    SpareTransient = 1 << 9,
    SpareVanishes = 1 << 10,
    SpareHangs = 1 << 11,

    /// <summary>Single writes that take very long, and land after a kill.</summary>
    SlowWrites = 1 << 12,

    PowerCuts = 1 << 13,
    Kills = 1 << 14,

    /// <summary>Bits of metadata change while the machine is off.</summary>
    MetadataRot = 1 << 15,

    /// <summary>A metadata read that fails once.</summary>
    MetadataReads = 1 << 16,

    /// <summary>Metadata writes that fail.</summary>
    MetadataWrites = 1 << 17,

    /// <summary>A start with a spare missing.</summary>
    MissingSpare = 1 << 18,

    /// <summary>A spare that comes back as an old image of itself.</summary>
    OldImage = 1 << 19,

    /// <summary>A metadata read that returns another place's content, or bits that are not there.</summary>
    MetadataMisreads = 1 << 20,

    /// <summary>Starts without one of the spares, because a person says so; it returns later.</summary>
    DegradedStarts = 1 << 21,

    /// <summary>
    /// More damage to metadata than can be survived, for one start that must refuse or be right.
    /// </summary>
    MetadataRuin = 1 << 22,

    /// <summary>
    /// A start's flush of a spare fails, once or twice, and some of what its cache held is gone.
    /// </summary>
    OpeningFlush = 1 << 23,

    /// <summary>No fault: spares are added and removed while requests run.</summary>
    SpareChanges = 1 << 24,
}
