using System;

namespace DmRemap.Control.Server;

/// <summary>The bounds of a control server.</summary>
public sealed record ControlServerOptions
{
    /// <summary>
    /// Connections at once. One more takes the place of the one that has been idle longest.
    /// </summary>
    public int SessionsMax { get; init; } = 16;

    /// <summary>A client that does not read for this long is disconnected.</summary>
    public TimeSpan SendTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long after its deadline a stop that does not answer is given up.</summary>
    public TimeSpan StopGrace { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Progress is said no more often than this.</summary>
    public TimeSpan ProgressInterval { get; init; } = TimeSpan.FromMilliseconds(200);

    public TimeProvider Time { get; init; } = TimeProvider.System;
}
