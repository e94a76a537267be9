namespace DmRemap.Core.Abstractions;

/// <summary>Connects to one place, as often as it is asked: the other side of an acceptor.</summary>
public interface IStreamConnector
{
    /// <summary>
    /// Try once. The owner is told later, on the loop's thread, never from inside; until then and while the
    /// stream is not closed, do not ask again.
    /// </summary>
    void Connect(IStreamConnectOwner owner);

    /// <summary>
    /// Never asked again. An attempt under way still ends with a call, and a stream it brings is still to be
    /// closed.
    /// </summary>
    void Retire();
}

/// <summary>Owns the stream that it asked for.</summary>
public interface IStreamConnectOwner : IByteStreamOwner
{
    void OnConnected(IByteStream stream);

    /// <summary>A positive errno; what a name that leads nowhere has is ENOENT.</summary>
    void OnConnectFailed(int errno);
}
