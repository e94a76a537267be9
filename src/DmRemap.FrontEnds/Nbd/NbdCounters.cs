using System.Threading;

namespace DmRemap.FrontEnds.Nbd;

/// <summary>
/// What the front end has seen since it was made. Written by the loop's thread, read by any.
/// </summary>
public sealed class NbdCounters
{
    private long _connectionsOpen;
    private long _connectionsAccepted;
    private long _connectionsRefused;
    private long _connectionsStalled;
    private long _requests;
    private long _errors;
    private long _bytesRead;
    private long _bytesWritten;

    public long ConnectionsOpen => Volatile.Read(ref _connectionsOpen);

    public long ConnectionsAccepted => Volatile.Read(ref _connectionsAccepted);

    /// <summary>Turned away: too many, or the server is stopping.</summary>
    public long ConnectionsRefused => Volatile.Read(ref _connectionsRefused);

    /// <summary>
    /// Cut off: the handshake took too long, or replies were not taken while others waited for buffers.
    /// </summary>
    public long ConnectionsStalled => Volatile.Read(ref _connectionsStalled);

    /// <summary>Requests answered, with an error or not.</summary>
    public long Requests => Volatile.Read(ref _requests);

    /// <summary>Requests answered with an error.</summary>
    public long Errors => Volatile.Read(ref _errors);

    public long BytesRead => Volatile.Read(ref _bytesRead);

    public long BytesWritten => Volatile.Read(ref _bytesWritten);

    internal void ConnectionOpened()
    {
        Add(ref _connectionsOpen, 1);
        Add(ref _connectionsAccepted, 1);
    }

    internal void ConnectionClosed() => Add(ref _connectionsOpen, -1);

    internal void ConnectionRefused() => Add(ref _connectionsRefused, 1);

    internal void ConnectionStalled() => Add(ref _connectionsStalled, 1);

    internal void Answered() => Add(ref _requests, 1);

    internal void AnsweredWithError() => Add(ref _errors, 1);

    internal void Read(long bytes) => Add(ref _bytesRead, bytes);

    internal void Wrote(long bytes) => Add(ref _bytesWritten, bytes);

    // One writer: a plain addition is enough, the volatile store keeps a reader from seeing half of it.
    private static void Add(ref long counter, long amount) => Volatile.Write(ref counter, counter + amount);
}
