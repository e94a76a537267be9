using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.IO;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;

namespace DmRemap.Interop.Tests.Conformance;

/// <summary>Bytes to and from any NBD server, and the few shapes that its answers have.</summary>
internal sealed class WireClient : IDisposable
{
    public const uint Ack = 1;
    public const uint Info = 3;
    public const uint MetaContext = 4;
    public const uint ErrorUnsupported = 0x8000_0001;
    public const uint ErrorPolicy = 0x8000_0002;
    public const uint ErrorInvalid = 0x8000_0003;
    public const uint ErrorTlsRequired = 0x8000_0005;
    public const uint FirstError = 0x8000_0000;

    public const string Closed = "the connection was closed";

    private static readonly TimeSpan s_answerMax = TimeSpan.FromSeconds(10);

    private Stream _stream;

    private WireClient(Stream stream)
    {
        _stream = stream;
    }

    /// <summary>Of the export, after GO.</summary>
    public ushort Flags { get; private set; }

    public long SizeBytes { get; private set; }

    public uint MinimumBlock { get; private set; } = 1;

    public static async Task<WireClient> ConnectAsync(string socketPath)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(socketPath));
        return new WireClient(new NetworkStream(socket, ownsSocket: true));
    }

    public async Task SendAsync(params byte[][] messages)
    {
        using CancellationTokenSource deadline = new(s_answerMax);
        try
        {
            foreach (byte[] message in messages)
            {
                await _stream.WriteAsync(message, deadline.Token);
            }
        }
        catch (IOException)
        {
            throw new Deviation(Closed);
        }
    }

    public async Task<byte[]> ReceiveAsync(int count)
    {
        using CancellationTokenSource deadline = new(s_answerMax);
        byte[] bytes = new byte[count];
        try
        {
            await _stream.ReadExactlyAsync(bytes, deadline.Token);
            return bytes;
        }
        catch (IOException)
        {
            throw new Deviation(Closed);
        }
        catch (OperationCanceledException)
        {
            throw new Deviation("no answer");
        }
    }

    /// <summary>What comes until the server closes.</summary>
    public async Task<byte[]> ReceiveUntilClosedAsync()
    {
        using CancellationTokenSource deadline = new(s_answerMax);
        using MemoryStream all = new();
        try
        {
            await _stream.CopyToAsync(all, deadline.Token);
        }
        catch (IOException)
        {
            // Reset is closed, too.
        }
        catch (OperationCanceledException)
        {
            throw new Deviation("the connection was kept");
        }
        return all.ToArray();
    }

    /// <summary>Reads the greeting, and answers it.</summary>
    public async Task<ushort> GreetAsync(uint clientFlags = 3)
    {
        byte[] greeting = await ReceiveAsync(18);
        await SendAsync(NbdTestClient.ClientFlags(clientFlags));
        return BinaryPrimitives.ReadUInt16BigEndian(greeting.AsSpan(16));
    }

    public Task OptionAsync(uint option, params byte[] data) => SendAsync(NbdTestClient.Option(option, data));

    public async Task<(uint Type, byte[] Data)> ReplyAsync(uint option)
    {
        byte[] head = await ReceiveAsync(20);
        Deviation.If(
            BinaryPrimitives.ReadUInt64BigEndian(head) != 0x3e889045565a9, "no reply magic");
        Deviation.If(
            BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(8)) != option, "a reply to another option");
        uint length = BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(16));
        Deviation.If(length > 65_536, $"a reply of {length} bytes");
        return (
            BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(12)), await ReceiveAsync((int)length));
    }

    /// <summary>All of them; the last is the final one.</summary>
    public async Task<List<(uint Type, byte[] Data)>> RepliesAsync(uint option)
    {
        List<(uint Type, byte[] Data)> all = [];
        do
        {
            all.Add(await ReplyAsync(option));
        }
        while (all[^1].Type != Ack && all[^1].Type < FirstError);
        return all;
    }

    public async Task ExpectReplyAsync(uint option, params uint[] types)
    {
        (uint type, _) = await ReplyAsync(option);
        Deviation.If(Array.IndexOf(types, type) < 0, $"reply {type:x}");
    }

    /// <summary>Into the transmission phase by GO, with these options before it.</summary>
    public async Task EnterAsync(bool isStructured = false, params string[] contexts)
    {
        await GreetAsync();
        await GoAsync(isStructured, contexts);
    }

    public async Task GoAsync(bool isStructured = false, params string[] contexts)
    {
        if (isStructured)
        {
            await OptionAsync(8);
            await ExpectReplyAsync(8, Ack);
        }
        if (contexts.Length > 0)
        {
            await OptionAsync(10, Contexts(contexts));
            await RepliesAsync(10);
        }
        await SendAsync(NbdTestClient.GoOption(""));
        List<(uint Type, byte[] Data)> replies = await RepliesAsync(NbdTestClient.OptionGo);
        Deviation.If(replies[^1].Type != Ack, $"GO was answered {replies[^1].Type:x}");
        foreach ((uint type, byte[] data) in replies)
        {
            if (type == Info && data is [0, 0, ..])
            {
                SizeBytes = BinaryPrimitives.ReadInt64BigEndian(data.AsSpan(2));
                Flags = BinaryPrimitives.ReadUInt16BigEndian(data.AsSpan(10));
            }
            else if (type == Info && data is [0, 3, ..])
            {
                MinimumBlock = BinaryPrimitives.ReadUInt32BigEndian(data.AsSpan(2));
            }
        }
    }

    /// <summary>The data of LIST and SET_META_CONTEXT for the default export.</summary>
    public static byte[] Contexts(params string[] queries)
    {
        using MemoryStream data = new();
        Span<byte> number = stackalloc byte[4];
        number.Clear();
        data.Write(number);
        BinaryPrimitives.WriteInt32BigEndian(number, queries.Length);
        data.Write(number);
        foreach (string query in queries)
        {
            BinaryPrimitives.WriteInt32BigEndian(number, query.Length);
            data.Write(number);
            data.Write(Encoding.ASCII.GetBytes(query));
        }
        return data.ToArray();
    }

    public Task RequestAsync(ushort command, ulong cookie, long offset, uint length, ushort flags = 0) =>
        SendAsync(NbdTestClient.Request(command, flags, cookie, offset, length));

    /// <summary>A simple reply's error; its cookie is as it was.</summary>
    public async Task<uint> SimpleAsync(ulong cookie)
    {
        byte[] head = await ReceiveAsync(16);
        Deviation.If(BinaryPrimitives.ReadUInt32BigEndian(head) != 0x67446698, "no simple reply");
        Deviation.If(BinaryPrimitives.ReadUInt64BigEndian(head.AsSpan(8)) != cookie, "another cookie");
        return BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(4));
    }

    /// <summary>The chunks of one reply, in the order in which they come.</summary>
    public async Task<List<WireChunk>> ChunksAsync(ulong cookie)
    {
        List<WireChunk> all = [];
        do
        {
            byte[] head = await ReceiveAsync(20);
            Deviation.If(BinaryPrimitives.ReadUInt32BigEndian(head) != 0x668e33ef, "no structured reply");
            Deviation.If(BinaryPrimitives.ReadUInt64BigEndian(head.AsSpan(8)) != cookie, "another cookie");
            int length = BinaryPrimitives.ReadInt32BigEndian(head.AsSpan(16));
            all.Add(new WireChunk(
                BinaryPrimitives.ReadUInt16BigEndian(head.AsSpan(4)),
                BinaryPrimitives.ReadUInt16BigEndian(head.AsSpan(6)), await ReceiveAsync(length)));
        }
        while (!all[^1].IsDone);
        return all;
    }

    /// <summary>The server still understands what is said to it.</summary>
    public async Task ExpectAliveAsync(ulong cookie = 0xa11e)
    {
        await RequestAsync(NbdTestClient.CommandRead, cookie, 0, 4096);
        Deviation.If(await SimpleAsync(cookie) != 0, "the next request fails");
        await ReceiveAsync(4096);
    }

    public async Task StartTlsAsync(string clientFolder)
    {
        X509ChainPolicy policy = new()
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
        };
        policy.CustomTrustStore.ImportFromPemFile(Path.Combine(clientFolder, "ca-cert.pem"));
        X509Certificate2 mine = X509Certificate2.CreateFromPemFile(
            Path.Combine(clientFolder, "client-cert.pem"), Path.Combine(clientFolder, "client-key.pem"));
        SslStream secured = new(_stream);
        await secured.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            CertificateChainPolicy = policy,
            ClientCertificateContext = SslStreamCertificateContext.Create(mine, null, offline: true),
        });
        _stream = secured;
    }

    public void Dispose() => _stream.Dispose();
}

/// <summary>One chunk of a structured reply.</summary>
internal sealed record WireChunk(ushort Flags, ushort Type, byte[] Data)
{
    public const ushort None = 0;
    public const ushort OffsetData = 1;
    public const ushort OffsetHole = 2;
    public const ushort BlockStatus = 5;

    public bool IsDone => (Flags & 1) != 0;

    public bool IsError => (Type & 0x8000) != 0;

    public bool IsContent => Type is OffsetData or OffsetHole;

    public uint Error => BinaryPrimitives.ReadUInt32BigEndian(Data);

    public long Offset => BinaryPrimitives.ReadInt64BigEndian(Data);

    public long ContentBytes =>
        Type == OffsetHole ? BinaryPrimitives.ReadUInt32BigEndian(Data.AsSpan(8)) : Data.Length - 8;
}
