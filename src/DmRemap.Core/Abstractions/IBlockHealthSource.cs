using System;

namespace DmRemap.Core.Abstractions;

/// <summary>What is known of a block, for who asks. The numbers are the protocol's.</summary>
public enum BlockHealth : byte
{
    /// <summary>On the primary, and nothing is known against it.</summary>
    Healthy = 0,

    /// <summary>Not read from the primary any more: on a spare, or known to be zeros.</summary>
    Remapped = 1,

    /// <summary>Its content is gone: reads fail until it is written.</summary>
    Lost = 2,

    /// <summary>Failed to read lately and is not given up yet: reads may fail.</summary>
    Suspect = 3,
}

/// <summary>So many blocks that follow each other and are alike.</summary>
public readonly record struct HealthRun(BlockHealth Health, BlockCount Count);

/// <summary>A device that knows the health of its blocks without asking a disk.</summary>
public interface IBlockHealthSource
{
    /// <summary>
    /// Describe the blocks from the extent's start on, neighbours unlike; at least one run, and none beyond
    /// the extent. The work is bounded, so the runs may end before the extent does. Loop thread only.
    /// </summary>
    int ListHealth(Extent blocks, Span<HealthRun> into);
}
