using System;
using System.IO;
using System.Net.Sockets;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;

namespace DmRemap.Tests.Linux;

/// <summary>Two connected sockets that keep messages whole; ours does not block.</summary>
internal sealed class SocketPair : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("dmremap-pair-").FullName;

    public SocketPair(SocketType type = SocketType.Seqpacket)
    {
        using Socket listener = new(AddressFamily.Unix, type, ProtocolType.Unspecified);
        UnixDomainSocketEndPoint place = new(Path.Combine(_directory, "s"));
        listener.Bind(place);
        listener.Listen();
        Theirs = new Socket(AddressFamily.Unix, type, ProtocolType.Unspecified)
        {
            ReceiveTimeout = (int)LoopRunner.Patience.TotalMilliseconds,
        };
        Theirs.Connect(place);
        Ours = listener.Accept();
        Ours.Blocking = false;
        Fd = (int)Ours.Handle;
    }

    public Socket Ours { get; }

    public Socket Theirs { get; }

    /// <summary>Of ours.</summary>
    public int Fd { get; }

    public static IoVector Vector(BufferSlice slice) =>
        new() { iov_base = KernelMemory.AddressOf(slice), iov_len = (ulong)slice.Length };

    public void Dispose()
    {
        Ours.Dispose();
        Theirs.Dispose();
        Directory.Delete(_directory, recursive: true);
    }
}
