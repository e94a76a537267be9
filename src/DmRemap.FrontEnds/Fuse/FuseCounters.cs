using System.Threading;

namespace DmRemap.FrontEnds.Fuse;

/// <summary>
/// What the front end has seen since it was made. Written by the loop's thread, read by any.
/// </summary>
public sealed class FuseCounters
{
    private long _requests;
    private long _errors;
    private long _bytesRead;
    private long _bytesWritten;

    /// <summary>Reads, writes, flushes and zeroings answered, with an error or not.</summary>
    public long Requests => Volatile.Read(ref _requests);

    /// <summary>Those of them that were answered with an error.</summary>
    public long Errors => Volatile.Read(ref _errors);

    public long BytesRead => Volatile.Read(ref _bytesRead);

    public long BytesWritten => Volatile.Read(ref _bytesWritten);

    internal void Answered() => Add(ref _requests, 1);

    internal void AnsweredWithError() => Add(ref _errors, 1);

    internal void Read(long bytes) => Add(ref _bytesRead, bytes);

    internal void Wrote(long bytes) => Add(ref _bytesWritten, bytes);

    // One writer: a plain addition is enough, the volatile store keeps a reader from seeing half of it.
    private static void Add(ref long counter, long amount) => Volatile.Write(ref counter, counter + amount);
}
