using System;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;

namespace DmRemap.FrontEnds.Nbd;

public sealed record NbdServerOptions
{
    /// <summary>
    /// The export's name; the empty name serves the same device. UTF-8 of at most 256 bytes.
    /// </summary>
    public required string ExportName { get; init; }

    /// <summary>For people. UTF-8 of at most 1024 bytes.</summary>
    public string Description { get; init; } = "";

    public NbdAccess Access { get; init; } = NbdAccess.ReadWrite;

    /// <summary>At most half the pool's slices: each connection is sure of one.</summary>
    public int ConnectionsMax { get; init; } = Limits.ConnectionsMax;

    /// <summary>Requests handed to the device at once.</summary>
    public int DeviceQueueDepth { get; init; } = Limits.RequestsInFlightMax;

    /// <summary>
    /// READs longer than half the pool that can be held at once, 32 MiB of untouched memory each.
    /// </summary>
    public int LargeReadsMax { get; init; } = 2;

    /// <summary>On the loop's thread, whenever the last connection there is has been closed.</summary>
    public Action? LastClosed { get; init; }

    public NbdTlsMode Tls { get; init; }

    /// <summary>
    /// On the loop's thread, with nothing outstanding on the stream: put TLS between it and the client, so
    /// that it goes on with what is inside. False: the connection is to be closed.
    /// </summary>
    public Func<IByteStream, bool>? StartTls { get; init; }

    /// <summary>A client that has not finished its handshake by then is cut off.</summary>
    public Duration HandshakeDeadline { get; init; } = Duration.FromSeconds(60);

    /// <summary>
    /// The same, while fewer connections are free than are in their handshake, and fewer than a quarter:
    /// whoever begins and says nothing must not keep others out. Long enough for a slow line.
    /// </summary>
    public Duration CrowdedHandshakeDeadline { get; init; } = Duration.FromSeconds(5);

    /// <summary>
    /// A READ that has no answer by then gets an error; its buffers wait for the device. Zero: never.
    /// </summary>
    public Duration ReadDeadline { get; init; }

    /// <summary>
    /// A client that takes none of its replies for so long is cut off if others wait for its buffers.
    /// </summary>
    public Duration StallDeadline { get; init; } = Duration.FromSeconds(60);
}
