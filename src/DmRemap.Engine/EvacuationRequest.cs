using DmRemap.Core.Abstractions;

namespace DmRemap.Engine;

/// <summary>
/// A person's wish that nothing be left on a spare, and how far it has come. Read it after OnFinished; the
/// counts at any time, from any thread.
/// </summary>
public abstract class EvacuationRequest
{
    /// <summary>Its index in the set.</summary>
    public required int Spare { get; init; }

    /// <summary>What does not read is given up: lost until written.</summary>
    public bool AcceptsLoss { get; init; }

    /// <summary>Units of which something is on another spare now.</summary>
    public long UnitsMoved { get; internal set; }

    /// <summary>Units of which nothing was left to be moved: their blocks were given up, as agreed.</summary>
    public long UnitsLetGo { get; internal set; }

    /// <summary>Units of which blocks did not read: they stay where they are.</summary>
    public long UnitsUnread { get; internal set; }

    /// <summary>Blocks that were given up, as agreed.</summary>
    public long BlocksLost { get; internal set; }

    /// <summary>Why it ended early, or Ok.</summary>
    public IoStatus FirstError { get; internal set; } = IoStatus.Ok;

    /// <summary>Nothing is on the spare, nor on its way to it.</summary>
    public bool IsComplete { get; internal set; }

    public bool IsAbandoned { get; internal set; }

    /// <summary>On the loop's thread, once.</summary>
    public abstract void OnFinished();
}
