using System;
using System.Buffers.Binary;
using System.IO;
using System.Net.Sockets;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>
/// A small NBD client of our own, written from the protocol text and sharing no code with the server: one
/// request at a time, errors as numbers, and a bare stream for whoever wants to misbehave.
/// </summary>
internal sealed class NbdTestClient : IDisposable
{
    public const uint OptionExportName = 1;
    public const uint OptionAbort = 2;
    public const uint OptionList = 3;
    public const uint OptionGo = 7;
    public const uint ReplyAck = 1;
    public const uint ReplyErrorUnsupported = 0x8000_0001;
    public const ushort CommandRead = 0;
    public const ushort CommandWrite = 1;
    public const ushort CommandDisconnect = 2;
    public const ushort CommandFlush = 3;
    public const ushort CommandTrim = 4;
    public const ushort CommandWriteZeroes = 6;
    public const ushort FlagFua = 1;
    public const uint ErrorIo = 5;
    public const uint ErrorInvalid = 22;

    private const ulong Magic = 0x4e42444d41474943;
    private const ulong OptionMagic = 0x49484156454F5054;
    private const ulong OptionReplyMagic = 0x3e889045565a9;
    private const uint RequestMagic = 0x25609513;
    private const uint ReplyMagic = 0x67446698;
    private static readonly TimeSpan s_answerMax = TimeSpan.FromSeconds(30);
    private readonly Socket _socket;
    private readonly NetworkStream _stream;
    private ulong _cookie;

    private NbdTestClient(Socket socket)
    {
        _socket = socket;
        _stream = new NetworkStream(socket, ownsSocket: true);
    }

    public long SizeBytes { get; private set; }

    public ushort TransmissionFlags { get; private set; }

    /// <summary>Connected, greeting read, nothing sent.</summary>
    public static async Task<NbdTestClient> ConnectAsync(string socketPath)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(socketPath));
            NbdTestClient client = new(socket);
            byte[] greeting = await client.ReceiveAsync(18);
            Assert.Equal(Magic, BinaryPrimitives.ReadUInt64BigEndian(greeting));
            Assert.Equal(OptionMagic, BinaryPrimitives.ReadUInt64BigEndian(greeting.AsSpan(8)));
            return client;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Ready for requests.</summary>
    public static async Task<NbdTestClient> OpenAsync(string socketPath, string exportName)
    {
        NbdTestClient client = await ConnectAsync(socketPath);
        try
        {
            await client.SendAsync(ClientFlags());
            await client.SendAsync(GoOption(exportName));
            await client.ReadGoRepliesAsync();
            return client;
        }
        catch
        {
            client.Dispose();
            throw;
        }
    }

    public static byte[] ClientFlags(uint flags = 3)
    {
        byte[] bytes = new byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, flags);
        return bytes;
    }

    public static byte[] Option(uint option, byte[] payload, uint? claimedLength = null)
    {
        byte[] bytes = new byte[16 + payload.Length];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, OptionMagic);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(8), option);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(12), claimedLength ?? (uint)payload.Length);
        payload.CopyTo(bytes.AsSpan(16));
        return bytes;
    }

    public static byte[] GoOption(string exportName)
    {
        byte[] name = Encoding.UTF8.GetBytes(exportName);
        byte[] payload = new byte[4 + name.Length + 2];
        BinaryPrimitives.WriteUInt32BigEndian(payload, (uint)name.Length);
        name.CopyTo(payload.AsSpan(4));
        return Option(OptionGo, payload);
    }

    public static byte[] Request(ushort command, ushort flags, ulong cookie, long offset, uint length)
    {
        byte[] bytes = new byte[28];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, RequestMagic);
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(4), flags);
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(6), command);
        BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(8), cookie);
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(16), offset);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(24), length);
        return bytes;
    }

    /// <summary>0, or the protocol's error number; the buffer is filled only on 0.</summary>
    public async Task<uint> ReadAsync(long offset, Memory<byte> buffer)
    {
        uint error = await AskAsync(CommandRead, 0, offset, (uint)buffer.Length, default);
        if (error == 0)
        {
            await ReceiveAsync(buffer);
        }

        return error;
    }

    public Task<uint> WriteAsync(long offset, ReadOnlyMemory<byte> data, ushort flags = 0) =>
        AskAsync(CommandWrite, flags, offset, (uint)data.Length, data);

    public Task<uint> FlushAsync() => AskAsync(CommandFlush, 0, 0, 0, default);

    public async Task<uint> AskAsync(
        ushort command, ushort flags, long offset, uint length, ReadOnlyMemory<byte> payload)
    {
        _cookie++;
        await SendAsync(Request(command, flags, _cookie, offset, length));
        if (payload.Length > 0)
        {
            await SendAsync(payload);
        }

        byte[] reply = await ReceiveAsync(16);
        Assert.Equal(ReplyMagic, BinaryPrimitives.ReadUInt32BigEndian(reply));
        Assert.Equal(_cookie, BinaryPrimitives.ReadUInt64BigEndian(reply.AsSpan(8)));
        return BinaryPrimitives.ReadUInt32BigEndian(reply.AsSpan(4));
    }

    /// <summary>One reply to an option: its type, and its payload.</summary>
    public async Task<(uint Type, byte[] Payload)> ReadOptionReplyAsync()
    {
        byte[] head = await ReceiveAsync(20);
        Assert.Equal(OptionReplyMagic, BinaryPrimitives.ReadUInt64BigEndian(head));
        uint type = BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(12));
        uint length = BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(16));
        Assert.InRange(length, 0u, 65_536u);
        return (type, await ReceiveAsync((int)length));
    }

    public async Task ReadGoRepliesAsync()
    {
        while (true)
        {
            (uint type, byte[] payload) = await ReadOptionReplyAsync();
            if (type == ReplyAck)
            {
                Assert.NotEqual(0, SizeBytes);
                return;
            }

            Assert.Equal(3u, type);
            if (BinaryPrimitives.ReadUInt16BigEndian(payload) == 0)
            {
                SizeBytes = BinaryPrimitives.ReadInt64BigEndian(payload.AsSpan(2));
                TransmissionFlags = BinaryPrimitives.ReadUInt16BigEndian(payload.AsSpan(10));
            }
        }
    }

    public async Task SendAsync(ReadOnlyMemory<byte> bytes)
    {
        using CancellationTokenSource deadline = new(s_answerMax);
        await _stream.WriteAsync(bytes, deadline.Token);
    }

    /// <summary>However long it takes.</summary>
    public async Task ReceiveAsync(Memory<byte> buffer, CancellationToken end) =>
        await _stream.ReadExactlyAsync(buffer, end);

    public async Task<byte[]> ReceiveAsync(int count)
    {
        byte[] bytes = new byte[count];
        await ReceiveAsync(bytes);
        return bytes;
    }

    /// <summary>
    /// True when the server closes within the time that an answer may take; what it still says is dropped.
    /// </summary>
    public async Task<bool> IsClosedByServerAsync()
    {
        using CancellationTokenSource deadline = new(s_answerMax);
        byte[] dropped = new byte[4096];
        try
        {
            while (await _stream.ReadAsync(dropped, deadline.Token) > 0)
            {
            }

            return true;
        }
        catch (IOException)
        {
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>True when nothing comes for this long: a request that is stuck below the server.</summary>
    public async Task<bool> IsSilentForAsync(TimeSpan time)
    {
        using CancellationTokenSource deadline = new(time);
        try
        {
            await _stream.ReadExactlyAsync(new byte[1], deadline.Token);
            return false;
        }
        catch (OperationCanceledException)
        {
            return true;
        }
    }

    public async Task DisconnectAsync() => await SendAsync(Request(CommandDisconnect, 0, 0, 0, 0));

    public void Dispose()
    {
        _stream.Dispose();
        _socket.Dispose();
    }

    private async Task ReceiveAsync(Memory<byte> buffer)
    {
        using CancellationTokenSource deadline = new(s_answerMax);
        await _stream.ReadExactlyAsync(buffer, deadline.Token);
    }
}
