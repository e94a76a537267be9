using System;
using System.Buffers.Binary;
using System.IO;
using System.Net;
using System.Net.Sockets;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;
using DmRemap.Devices;
using DmRemap.Engine;
using DmRemap.FrontEnds.Nbd;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Sockets;
using DmRemap.Tests.Linux;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Nbd;

/// <summary>
/// A million requests through everything that is in their way: a socket, the protocol, the table (every
/// eighth one meets a remapped unit), files of the loop.
/// </summary>
public abstract class NbdSteadyLoadContract : IDisposable
{
    private const int Attempts = Allocations.Attempts + 1;
    private const int RequestsInAll = 1_000_000;
    private const int BatchRequests = 64;
    private const int Batches = (RequestsInAll / Attempts / BatchRequests) + 1;
    private const int RequestBytes = 4096;
    private const int ReplyBytes = 16;
    private const int Units = 1024;

    private readonly TemporaryDirectory _directory = new();
    private readonly LoopRunner _runner;
    private readonly LinuxFile _main;
    private readonly LinuxFile _spare;
    private readonly ListeningSocket _socket;
    private readonly NbdServer _server;

    protected NbdSteadyLoadContract(LoopBackend backend)
    {
        _runner = new LoopRunner(backend: backend);
        _main = Open("main", Units * RequestBytes);
        _spare = Open("spare", Units * RequestBytes);
        _socket = ListeningSocket.OpenTcpLoopback(new IPEndPoint(IPAddress.Loopback, 0));
        _server = _runner.Call(() =>
        {
            NbdServer server = new(
                _runner.Loop, new BufferPool(16, Limits.SliceBytes), BuildDevice(),
                new NbdServerOptions { ExportName = "disk", ConnectionsMax = 2 });
            new SocketListener(new StreamPool(_runner.Loop, 2), _socket, server).Start();
            return server;
        });
    }

    [Fact]
    public void A_million_requests_over_a_socket_allocate_nothing_on_the_data_thread()
    {
        using Socket client = Enter();
        byte[] requests = MakeBatch(out int repliesBytes);
        byte[] replies = new byte[repliesBytes];
        Func<long> allocated = GC.GetAllocatedBytesForCurrentThread;
        long least = Allocations.LeastBy(
            () =>
            {
                for (int batch = 0; batch < Batches; batch++)
                {
                    Exchange(client, requests, replies);
                }
            },
            () => _runner.Call(allocated));
        Assert.True(_runner.Call(() => _server.Counters.Requests) >= 2L * Batches * BatchRequests);
        // One byte each would be 166,000; what asking the thread for its counter costs there is not theirs.
        Assert.InRange(least, 0, 1_000);
    }

    public void Dispose()
    {
        GC.SuppressFinalize(this);
        _socket.Dispose();
        _runner.Dispose();
        _main.Dispose();
        _spare.Dispose();
        _directory.Dispose();
    }

    private static void Exchange(Socket client, byte[] requests, byte[] replies)
    {
        Assert.Equal(requests.Length, client.Send(requests));
        for (int received = 0; received < replies.Length;)
        {
            int bytes = client.Receive(replies.AsSpan(received));
            Assert.NotEqual(0, bytes);
            received += bytes;
        }
    }

    /// <summary>Reads and writes in turn, all over the device.</summary>
    private static byte[] MakeBatch(out int repliesBytes)
    {
        ConversationBuilder batch = new();
        repliesBytes = 0;
        for (ulong i = 0; i < BatchRequests; i++)
        {
            ulong offset = i * 37 % Units * RequestBytes;
            if ((i + (i / 8)) % 2 == 0)
            {
                batch.Read(i, offset, RequestBytes);
                repliesBytes += RequestBytes;
            }
            else
            {
                batch.Write(i, offset, new byte[RequestBytes]);
            }
            repliesBytes += ReplyBytes;
        }
        return batch.ToArray();
    }

    private Socket Enter()
    {
        Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        client.Connect(IPAddress.Loopback, _socket.Port);
        client.ReceiveTimeout = (int)LoopRunner.Patience.TotalMilliseconds;
        client.NoDelay = true;
        ReadExactly(client, new byte[18]);
        _ = client.Send(new ConversationBuilder().ClientFlags().Option(1).ToArray());
        byte[] terms = new byte[10];
        ReadExactly(client, terms);
        Assert.Equal(Units * RequestBytes, BinaryPrimitives.ReadInt64BigEndian(terms));
        return client;
    }

    private static void ReadExactly(Socket client, byte[] into)
    {
        for (int received = 0; received < into.Length;)
        {
            int bytes = client.Receive(into.AsSpan(received));
            Assert.NotEqual(0, bytes);
            received += bytes;
        }
    }

    private LinuxFile Open(string name, int bytes)
    {
        string path = _directory[name];
        File.WriteAllBytes(path, new byte[bytes]);
        LinuxFileOptions options = new()
        {
            Name = name,
            Kind = MemberKind.File,
            CacheMode = CacheMode.PageCache,
        };
        return _runner.Call(() => new LinuxFile(
            _runner.Loop, File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite),
            SimulatedDisk.MakeGeometry(bytes / 512), options));
    }

    /// <summary>Every eighth unit is on the spare.</summary>
    private RemapDevice BuildDevice()
    {
        UnitGeometry units =
            new(new BlockSize(512), RequestBytes, new BlockCount(Units * RequestBytes / 512), 0);
        RemapTable table = new(units);
        SpareAllocator allocator = new();
        allocator.AddSpare(0, Units);
        for (long unit = 0; unit < Units; unit += 8)
        {
            SpareLocation place = new(0, new UnitNumber(unit / 8));
            allocator.MarkUsed(place);
            table.Set(new RemapEntry
            {
                Unit = new UnitNumber(unit),
                State = UnitState.Remapped,
                Location = place,
                Blocks = BlockStates.AllOnPrimary.With(0, BlockState.OnSpare).With(5, BlockState.OnSpare),
            });
        }
        return new RemapDevice(new RemapDeviceParts
        {
            Loop = _runner.Loop,
            Primary = new Member(Member.Primary, "main", _main, new BlockNumber(0)),
            Spares = [new Member(0, "spare", _spare, new BlockNumber(0))],
            Table = table,
            Allocator = allocator,
            Log = new SimulatedLog(_runner.Loop),
        });
    }
}
