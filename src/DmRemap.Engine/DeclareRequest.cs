using DmRemap.Core.Abstractions;

namespace DmRemap.Engine;

/// <summary>
/// A person's word that these blocks of the exported device are lost, and how far it has been recorded. Read
/// it after OnFinished.
/// </summary>
public abstract class DeclareRequest
{
    public required Extent Blocks { get; init; }

    /// <summary>Lost now, and were not before.</summary>
    public long BlocksDeclared { get; internal set; }

    /// <summary>On a spare, or zero by a rule: they read as before.</summary>
    public long BlocksOnSpare { get; internal set; }

    /// <summary>Any thread may look.</summary>
    public long UnitsPassed { get; internal set; }

    public IoStatus Error { get; internal set; } = IoStatus.Ok;

    /// <summary>Ended before its last unit.</summary>
    public bool IsAbandoned { get; private set; }

    /// <summary>End after the units at hand. On the loop's thread.</summary>
    public void Abandon() => IsAbandoned = true;

    /// <summary>On the loop's thread, once.</summary>
    public abstract void OnFinished();
}
