namespace DmRemap.Core.Metadata;

/// <summary>Names one checkpoint, to the bit. The default points nowhere.</summary>
public readonly record struct CheckpointPointer
{
    public CheckpointArea Area { get; init; }

    /// <summary>Of the header and everything up to the trailer.</summary>
    public uint Crc { get; init; }

    /// <summary>Without the padding to a physical block: a multiple of 64.</summary>
    public long LengthBytes { get; init; }

    /// <summary>Runs of entries.</summary>
    public long Runs { get; init; }

    /// <summary>Units that have an entry: the runs' lengths together.</summary>
    public long Entries { get; init; }

    public long RetiredRuns { get; init; }

    /// <summary>
    /// The generation for which it was written; older than the superblock's where only the superblock was
    /// renewed.
    /// </summary>
    public ulong Generation { get; init; }

    public ulong Epoch { get; init; }
}

/// <summary>What changes from one generation of the superblocks to the next.</summary>
public readonly record struct SuperblockState
{
    /// <summary>
    /// The highest generation or sequence that a set is opened with: half of what can be read back, so that
    /// counting on from what is on disk never ends in numbers that no start accepts.
    /// </summary>
    public const ulong NumberMax = 1UL << 62;

    /// <summary>
    /// Random; one uninterrupted history of the metadata, from one start to the next (F-13).
    /// </summary>
    public ulong Epoch { get; init; }

    public ulong ParentEpoch { get; init; }

    /// <summary>One more for each set of superblocks ever attempted.</summary>
    public ulong Generation { get; init; }

    /// <summary>
    /// The highest generation known to be on every active member when this was written, but on those that
    /// have one of their own in their description: one that has none so high was put back to an older state
    /// (F-16).
    /// </summary>
    public ulong SettledGeneration { get; init; }

    public CheckpointPointer Checkpoint { get; init; }

    /// <summary>The first journal record that is replayed over the checkpoint; at least 1.</summary>
    public ulong FirstJournalSequence { get; init; }

    /// <summary>
    /// The last record acknowledged when this was written: a commit point (F-12), and in a new epoch the end
    /// of what it takes over from the old one (F-13). Sequence 0: none yet.
    /// </summary>
    public JournalLink JournalHead { get; init; }

    /// <summary>
    /// What the primary's most volatile places held at this clean stop (F-16).
    /// </summary>
    public PrimaryWitness PrimaryWitness { get; init; }

    /// <summary>Stopped with nothing outstanding. Advisory: recovery does the same work without it.</summary>
    public bool IsCleanStop { get; init; }

    /// <summary>
    /// With a clean stop: each second copy that the table names holds what the first holds (F-22).
    /// </summary>
    public bool AreCopiesInStep { get; init; }
}
