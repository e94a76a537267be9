using System;

namespace DmRemap.Simulator.World;

/// <summary>What became of a run.</summary>
internal sealed record Outcome
{
    public required ulong Seed { get; init; }

    public required ulong TraceHash { get; init; }

    public required long Events { get; init; }

    public required long Nanoseconds { get; init; }

    public required int Crashes { get; init; }

    public required int Recoveries { get; init; }

    public required long Requests { get; init; }

    public required long Remaps { get; init; }

    /// <summary>Units that were written in place and then watched; and those that healed.</summary>
    public required long Rewritten { get; init; }

    public required long Healed { get; init; }

    /// <summary>While requests ran, to the end.</summary>
    public required long SparesAdded { get; init; }

    public required long SparesRemoved { get; init; }

    /// <summary>Null: no promise was broken.</summary>
    public required Exception? Broken { get; init; }
}
