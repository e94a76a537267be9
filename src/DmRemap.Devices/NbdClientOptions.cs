using DmRemap.Core.Abstractions;
using DmRemap.Nbd;

namespace DmRemap.Devices;

public sealed record NbdClientOptions
{
    /// <summary>For people: the URI.</summary>
    public required string Name { get; init; }

    public required string ExportName { get; init; }

    /// <summary>What was found when it was opened: an export of another size is not accepted later.</summary>
    public required ClientExport Export { get; init; }

    /// <summary>Of that export.</summary>
    public required DeviceGeometry Geometry { get; init; }
}

/// <summary>Told on the loop's thread; must not submit from inside.</summary>
public interface INbdClientWatcher
{
    void OnConnected(NbdClient client);

    /// <summary>
    /// The connection was lost, or an attempt to make one failed: <see cref="NbdClient.Problem"/> says why.
    /// </summary>
    void OnDisconnected(NbdClient client);
}
