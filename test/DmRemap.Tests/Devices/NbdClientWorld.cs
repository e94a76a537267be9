using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Devices;
using DmRemap.Nbd;
using DmRemap.Tests.Nbd;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Devices;

/// <summary>A client over memory; the test is the server, and speaks in bytes.</summary>
internal sealed class NbdClientWorld : IStreamConnector, INbdClientWatcher, IIoOwner, ILoopMessage
{
    /// <summary>HAS_FLAGS, FLUSH, FUA, TRIM, WRITE_ZEROES.</summary>
    public const int AllFlags = 1 | 4 | 8 | 32 | 64;

    public const int BlockBytes = 512;
    public const long SizeBytes = 1 << 20;

    private readonly int _flags;
    private readonly long _sizeBytes;
    private IStreamConnectOwner? _asking;

    public NbdClientWorld(int flags = AllFlags, long sizeBytes = SizeBytes)
    {
        _flags = flags;
        _sizeBytes = sizeBytes;
        ClientExport export = new() { SizeBytes = sizeBytes, Flags = (NbdTransmissionFlags)flags };
        Client = new NbdClient(
            Loop,
            this,
            new NbdClientOptions
            {
                Name = "nbd://test",
                ExportName = "disk",
                Export = export,
                Geometry = export.ToGeometry(BlockBytes, 0, NbdAccess.ReadWrite),
            },
            this);
    }

    public SimulatedLoop Loop { get; } = new();

    public NbdClient Client { get; }

    /// <summary>The connection now, seen from the server: what the client sends is its output.</summary>
    public MemoryByteStream Stream { get; private set; } = null!;

    public int Attempts { get; private set; }

    /// <summary>Of attempts to connect; 0: they succeed.</summary>
    public int ConnectErrno { get; set; }

    public bool IsRetired { get; private set; }

    public List<string> Heard { get; } = [];

    public List<IoRequest> Completed { get; } = [];

    public void Connect(IStreamConnectOwner owner)
    {
        _asking = owner;
        Attempts++;
        Loop.Post(this);
    }

    public void Retire() => IsRetired = true;

    void ILoopMessage.Run()
    {
        IStreamConnectOwner owner = _asking!;
        _asking = null;
        if (ConnectErrno != 0)
        {
            owner.OnConnectFailed(ConnectErrno);
            return;
        }
        Stream = new MemoryByteStream(Loop) { Owner = owner };
        owner.OnConnected(Stream);
    }

    public void OnConnected(NbdClient client) => Heard.Add("connected");

    public void OnDisconnected(NbdClient client) => Heard.Add(client.Problem);

    /// <summary>What the owner does inside a completion.</summary>
    public Action<IoRequest>? WhenCompleted { get; set; }

    public void OnCompleted(IoRequest request)
    {
        Completed.Add(request);
        WhenCompleted?.Invoke(request);
    }

    public static ConversationBuilder Hello(int flags, long sizeBytes) =>
        new ConversationBuilder()
            .OptionReply(
                7, 3,
                new ConversationBuilder().UInt16(0).UInt64((ulong)sizeBytes).UInt16(flags).ToArray())
            .OptionReply(7, 1);

    /// <summary>Everything that happens at once; timers stay.</summary>
    public void Settle() => Loop.RunFor(Duration.Zero);

    /// <summary>Connected, its first flush (where there is one) answered.</summary>
    public NbdClientWorld Started()
    {
        Client.Start();
        SayHello();
        Assert.True(Client.IsConnected);
        if ((_flags & 4) != 0)
        {
            Answer(Expect(NbdCommand.Flush, 0, 0));
        }
        return this;
    }

    public void SayHello(int? flags = null, long? sizeBytes = null)
    {
        Settle();
        // What the client says in the handshake has tests of its own.
        Stream.ClearOutput();
        Stream.Write(new ConversationBuilder().Greeting().ToArray());
        Settle();
        Stream.ClearOutput();
        Stream.Write(Hello(flags ?? _flags, sizeBytes ?? _sizeBytes).ToArray());
        Settle();
    }

    public IoRequest Submit(
        IoOperation operation, long firstBlock, long blocks, IoFlags flags = IoFlags.None, byte seed = 1)
    {
        IoRequest request = Begin(operation, firstBlock, blocks, flags, seed);
        Settle();
        return request;
    }

    /// <summary>As Submit, and nothing of what follows has happened yet.</summary>
    public IoRequest Begin(
        IoOperation operation, long firstBlock, long blocks, IoFlags flags = IoFlags.None, byte seed = 1)
    {
        bool hasData = operation is IoOperation.Read or IoOperation.Write;
        BufferSlice buffer =
            hasData ? AlignedMemory.Allocate((int)(blocks * BlockBytes)) : default;
        if (operation == IoOperation.Write)
        {
            buffer.Span.Fill(seed);
        }
        IoRequest request = new();
        Extent extent = new(new BlockNumber(firstBlock), new BlockCount(blocks));
        request.Prepare(this, operation, extent, buffer, flags);
        Client.Submit(request);
        return request;
    }

    /// <summary>
    /// The next command that the client has sent must be this one; its cookie. Payload is taken with it.
    /// </summary>
    public ulong Expect(NbdCommand command, long offset, int length, int flags = 0)
    {
        Settle();
        ReadOnlySpan<byte> said = Stream.Output;
        Assert.True(said.Length >= ClientTransmission.HeaderBytes, $"{command} was not sent");
        ulong cookie = BinaryPrimitives.ReadUInt64BigEndian(said[8..]);
        byte[] expected = new ConversationBuilder()
            .Request(command, cookie, (ulong)offset, (uint)length, flags).ToArray();
        Assert.Equal(
            Convert.ToHexString(expected), Convert.ToHexString(said[..ClientTransmission.HeaderBytes]));
        int all = ClientTransmission.HeaderBytes + (command == NbdCommand.Write ? length : 0);
        byte[] rest = said[all..].ToArray();
        Stream.ClearOutput();
        Stream.Unsay(rest);
        return cookie;
    }

    public void ExpectNothing()
    {
        Settle();
        Assert.Equal(0, Stream.Said);
    }

    public void Answer(ulong cookie, uint error = 0, byte[]? data = null)
    {
        Stream.Write(new ConversationBuilder().Reply(cookie, error, data).ToArray());
        Settle();
    }

    public static void AssertOk(IoRequest request)
    {
        Assert.False(request.IsSubmitted);
        Assert.Equal(IoStatus.Ok, request.Status);
    }

    /// <summary>Gone, as the classifier understands it: never the medium.</summary>
    public static void AssertGone(IoRequest request)
    {
        Assert.False(request.IsSubmitted);
        Assert.Equal(IoStatus.DeviceError, request.Status);
        Assert.Equal(
            ErrorClass.Gone,
            ErrorClassifier.Classify(
                request, MemberKind.Nbd, Duration.FromSeconds(30)));
    }
}
