using System;
using System.Buffers.Binary;
using System.IO;
using System.Net.Sockets;
using System.Text;
using DmRemap.Nbd;

namespace DmRemap.Cli.Demonstration;

/// <summary>
/// The smallest NBD client that can read, write and flush: one request at a time, errors as numbers.
/// </summary>
internal sealed class DemoClient : IDisposable
{
    private const int TimeoutMs = 30_000;

    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly NetworkStream _stream;
    private readonly byte[] _header = new byte[TransmissionParser.HeaderBytes];
    private readonly byte[] _reply = new byte[SimpleReply.HeaderBytes];
    private ulong _cookie;

    /// <exception cref="IOException">Nobody serves there, or it is not an NBD server.</exception>
    public DemoClient(string socketPath, string export)
    {
        try
        {
            _socket.ReceiveTimeout = TimeoutMs;
            _socket.SendTimeout = TimeoutMs;
            _socket.Connect(new UnixDomainSocketEndPoint(socketPath));
            _stream = new NetworkStream(_socket, ownsSocket: true);
            Negotiate(export);
        }
        catch (SocketException e)
        {
            _socket.Dispose();
            throw new IOException($"{socketPath}: {e.Message}", e);
        }
    }

    /// <summary>0, or the error the server answered.</summary>
    /// <exception cref="IOException">The server is gone; the request's fate is unknown.</exception>
    public NbdError Read(long offset, Span<byte> into)
    {
        Send(NbdCommand.Read, offset, into.Length, default);
        NbdError error = ReceiveReply();
        if (error == NbdError.None)
        {
            _stream.ReadExactly(into);
        }
        return error;
    }

    public NbdError Write(long offset, ReadOnlySpan<byte> data)
    {
        Send(NbdCommand.Write, offset, data.Length, data);
        return ReceiveReply();
    }

    public NbdError Flush()
    {
        Send(NbdCommand.Flush, 0, 0, default);
        return ReceiveReply();
    }

    public void Dispose() => _stream.Dispose();

    private void Negotiate(string export)
    {
        Span<byte> greeting = stackalloc byte[18];
        _stream.ReadExactly(greeting);
        if (BinaryPrimitives.ReadUInt64BigEndian(greeting) != NbdMagic.Greeting)
        {
            throw new IOException("not an NBD server");
        }
        byte[] name = Encoding.UTF8.GetBytes(export);
        byte[] go = new byte[4 + 16 + 4 + name.Length + 2];
        BinaryPrimitives.WriteUInt32BigEndian(go,
            (uint)(NbdClientFlags.FixedNewstyle | NbdClientFlags.NoZeroes));
        BinaryPrimitives.WriteUInt64BigEndian(go.AsSpan(4), NbdMagic.Option);
        BinaryPrimitives.WriteUInt32BigEndian(go.AsSpan(12), (uint)NbdOption.Go);
        BinaryPrimitives.WriteUInt32BigEndian(go.AsSpan(16), (uint)(4 + name.Length + 2));
        BinaryPrimitives.WriteUInt32BigEndian(go.AsSpan(20), (uint)name.Length);
        name.CopyTo(go, 24);
        _stream.Write(go);
        Span<byte> reply = stackalloc byte[20];
        NbdOptionReply kind;
        do
        {
            _stream.ReadExactly(reply);
            kind = (NbdOptionReply)BinaryPrimitives.ReadUInt32BigEndian(reply[12..]);
            _stream.ReadExactly(new byte[BinaryPrimitives.ReadUInt32BigEndian(reply[16..])]);
        }
        while (kind == NbdOptionReply.Info);
        if (kind != NbdOptionReply.Ack)
        {
            throw new IOException($"the server refused the export: {kind}");
        }
    }

    private void Send(NbdCommand command, long offset, int length, ReadOnlySpan<byte> payload)
    {
        _cookie++;
        BinaryPrimitives.WriteUInt32BigEndian(_header, NbdMagic.Request);
        BinaryPrimitives.WriteUInt16BigEndian(_header.AsSpan(4), 0);
        BinaryPrimitives.WriteUInt16BigEndian(_header.AsSpan(6), (ushort)command);
        BinaryPrimitives.WriteUInt64BigEndian(_header.AsSpan(8), _cookie);
        BinaryPrimitives.WriteUInt64BigEndian(_header.AsSpan(16), (ulong)offset);
        BinaryPrimitives.WriteUInt32BigEndian(_header.AsSpan(24), (uint)length);
        _stream.Write(_header);
        _stream.Write(payload);
    }

    private NbdError ReceiveReply()
    {
        _stream.ReadExactly(_reply);
        bool isOurs = BinaryPrimitives.ReadUInt32BigEndian(_reply) == NbdMagic.SimpleReply
            && BinaryPrimitives.ReadUInt64BigEndian(_reply.AsSpan(8)) == _cookie;
        if (!isOurs)
        {
            throw new IOException("a reply that nobody asked for");
        }
        return (NbdError)BinaryPrimitives.ReadUInt32BigEndian(_reply.AsSpan(4));
    }
}
