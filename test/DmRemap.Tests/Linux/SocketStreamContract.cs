using System;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Native;
using DmRemap.Linux.Sockets;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Linux;

public abstract class SocketStreamContract : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("dmremap-stream-").FullName;
    private readonly LoopRunner _runner;
    private readonly ListeningSocket _socket;
    private readonly StreamPool _pool;
    private readonly Acceptor _acceptor = new();
    private readonly SocketListener _listener;
    private bool _isListenerClosed;

    protected SocketStreamContract(LoopBackend backend)
    {
        _runner = new LoopRunner(backend: backend);
        _socket = ListeningSocket.OpenUnix(Path.Combine(_directory, "s"));
        _pool = _runner.Call(() => new StreamPool(_runner.Loop, connectionsMax: 4));
        _listener = _runner.Call(() => new SocketListener(_pool, _socket, _acceptor));
        _runner.Call(_listener.Start);
    }

    public void Dispose()
    {
        GC.SuppressFinalize(this);
        if (!_isListenerClosed)
        {
            CloseListener();
        }
        _runner.WaitUntil(() => _runner.Loop.OutstandingOperations == 0, "the last operation");
        _runner.Dispose();
        _socket.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public void What_is_sent_comes_back_over_a_unix_socket()
    {
        using Socket client = Connect();
        byte[] sent = Pattern(100_000, seed: 1);
        Thread sender = new(() => SendAll(client, sent));
        sender.Start();
        Assert.Equal(sent, ReceiveAll(client, sent.Length));
        sender.Join();
    }

    [Fact]
    public void What_is_sent_comes_back_over_tcp()
    {
        using ListeningSocket socket = ListeningSocket.OpenTcpLoopback(new IPEndPoint(IPAddress.Loopback, 0));
        // Accepted sockets inherit it from the listening one.
        using (Socket listening = new(new SafeSocketHandle(socket.FileDescriptor, ownsHandle: false)))
        {
            Assert.True(listening.NoDelay);
        }
        SocketListener listener = _runner.Call(() => new SocketListener(_pool, socket, _acceptor));
        _runner.Call(listener.Start);
        using (TcpClient client = new("127.0.0.1", socket.Port))
        {
            byte[] sent = Pattern(3_000, seed: 2);
            SendAll(client.Client, sent);
            Assert.Equal(sent, ReceiveAll(client.Client, sent.Length));
        }
        using ManualResetEventSlim closed = new();
        _runner.Call(() => listener.Close(closed.Set));
        LoopRunner.Wait(closed, "the listener's end");
    }

    [Fact]
    public void Gathered_send_larger_than_the_sockets_buffer_arrives_whole_and_in_order()
    {
        using Socket client = Connect();
        Echo owner = WaitForOwner();
        BufferSlice memory = AlignedMemory.Allocate(Limits.SendPartsMax * 65_536);
        byte[] expected = Pattern(memory.Length, seed: 3);
        expected.CopyTo(memory.Span);
        _runner.Call(() =>
        {
            SendParts parts = default;
            for (int i = 0; i < Limits.SendPartsMax; i++)
            {
                parts.Add(memory.Slice(i * 65_536, 65_536));
            }
            owner.SendOwn(in parts);
        });
        Assert.Equal(expected, ReceiveAll(client, expected.Length));
        _runner.WaitUntil(() => owner.OwnSends == 1, "the end of the send");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Sends_of_random_parts_that_end_short_go_on_where_they_ended(int seed)
    {
        Random random = new(seed);
        using Socket client = Connect();
        client.ReceiveBufferSize = 4096;
        Echo owner = WaitForOwner();
        for (int round = 0; round < 20; round++)
        {
            SendParts parts = default;
            using MemoryStream expected = new();
            int count = random.Next(1, Limits.SendPartsMax + 1);
            for (int i = 0; i < count; i++)
            {
                BufferSlice part = AlignedMemory.Allocate(random.Next(1, 20_000));
                random.NextBytes(part.Span);
                expected.Write(part.Span);
                parts.Add(part);
            }
            _runner.Call(() => owner.SendOwn(in parts));
            byte[] received = ReceiveAll(client, (int)expected.Length);
            Assert.True(expected.ToArray().AsSpan().SequenceEqual(received), $"seed={seed}");
            _runner.WaitUntil(() => owner.OwnSends == round + 1, "the end of the send");
        }
    }

    [Fact]
    public void End_of_the_peer_is_received_as_zero_bytes_and_then_closed_once()
    {
        Socket client = Connect();
        Echo owner = WaitForOwner();
        client.Dispose();
        _runner.WaitUntil(() => owner.Closed == 1, "the close");
        Assert.Equal(0, owner.LastReceived);
        Assert.Equal(4, _runner.Call(() => _pool.FreeCount));
    }

    [Fact]
    public void Close_ends_a_waiting_receive_and_a_stuck_send_and_only_closed_is_told()
    {
        using Socket client = Connect();
        Echo owner = WaitForOwner();
        BufferSlice memory = AlignedMemory.Allocate(8 * 1024 * 1024);
        _runner.Call(() =>
        {
            SendParts parts = default;
            parts.Add(memory);
            owner.SendOwn(in parts);
        });
        _runner.Call(() =>
        {
            owner.Stream.Close();
            owner.Stream.Close();
            Assert.Equal(0, owner.Closed);
        });
        _runner.WaitUntil(() => owner.Closed == 1, "the close");
        Assert.Equal(0, owner.OwnSends);
        Assert.Equal(0, owner.Received);
    }

    [Fact]
    public void Send_to_a_peer_that_is_gone_is_an_error_and_no_signal()
    {
        Socket client = Connect();
        Echo owner = WaitForOwner();
        _runner.Call(() => owner.ClosesAtEnd = false);
        client.Dispose();
        _runner.WaitUntil(() => owner.LastReceived == 0, "the peer's end");
        _runner.Call(() =>
        {
            SendParts parts = default;
            parts.Add(AlignedMemory.Allocate(4096));
            owner.SendOwn(in parts);
        });
        _runner.WaitUntil(() => owner.OwnSends == 1, "the send's error");
        Assert.Equal(-Errno.EPIPE, owner.LastSent);
        _runner.Call(owner.Stream.Close);
        _runner.WaitUntil(() => owner.Closed == 1, "the close");
    }

    [Fact]
    public void A_thousand_connections_one_after_another_leave_no_descriptor_and_no_slot()
    {
        for (int i = 0; i < 1_000; i++)
        {
            // The end of the former ones is another thread's work.
            _runner.WaitUntil(() => _pool.FreeCount > 0, "a free stream");
            using Socket client = Connect();
            SendAll(client, [1]);
            Assert.Equal([1], ReceiveAll(client, 1));
            if (i == 10)
            {
                _runner.WaitUntil(() => _acceptor.Closed >= 10, "the first connections' end");
                _descriptorsBefore = CountDescriptors();
            }
        }
        _runner.WaitUntil(() => _acceptor.Closed == 1_000, "the last connection's end");
        Assert.Equal(4, _runner.Call(() => _pool.FreeCount));
        Assert.InRange(CountDescriptors(), 1, _descriptorsBefore);
    }

    [Fact]
    public void One_connection_more_than_the_pool_holds_is_closed_at_once_and_the_next_is_served()
    {
        Socket[] clients = [Connect(), Connect(), Connect(), Connect()];
        _runner.WaitUntil(() => _pool.FreeCount == 0, "the last free stream");
        using (Socket extra = Connect())
        {
            Assert.Equal(0, extra.Receive(new byte[1]));
        }
        Assert.Equal(1, _runner.Call(() => _listener.Refused));
        foreach (Socket client in clients)
        {
            client.Dispose();
        }
        _runner.WaitUntil(() => _pool.FreeCount == 4, "the streams' return");
        using Socket next = Connect();
        SendAll(next, [9]);
        Assert.Equal([9], ReceiveAll(next, 1));
    }

    [Fact]
    public void Connection_that_the_acceptor_refuses_is_closed()
    {
        _runner.Call(() => _acceptor.Refuses = true);
        using Socket client = Connect();
        Assert.Equal(0, client.Receive(new byte[1]));
        _runner.WaitUntil(() => _pool.FreeCount == 4, "the stream's return");
    }

    [Fact]
    public void Accept_that_keeps_failing_is_tried_again_at_intervals()
    {
        // After shutdown a Unix socket refuses every accept at once, like a process without free descriptors.
        Assert.Equal(0, SocketNative.Shutdown(_socket.FileDescriptor, SocketNative.SHUT_RDWR));
        long start = TimeProvider.System.GetTimestamp();
        _runner.WaitUntil(() => _listener.Errors >= 4, "the fourth error");
        // The first error comes at once, each of the others after a pause of 100 ms.
        Assert.True(TimeProvider.System.GetElapsedTime(start) >= TimeSpan.FromMilliseconds(250));
    }

    [Fact]
    public void Closed_listener_leaves_its_connections_alone()
    {
        using Socket client = Connect();
        WaitForOwner();
        CloseListener();
        SendAll(client, [5]);
        Assert.Equal([5], ReceiveAll(client, 1));
    }

    [Fact]
    public void Receiving_and_sending_allocate_nothing_on_the_loop()
    {
        using Socket client = Connect();
        Echo owner = WaitForOwner();
        byte[] buffer = new byte[64];
        long allocated = Allocations.LeastBy(
            () =>
            {
                for (int i = 0; i < 2_000; i++)
                {
                    client.Send(buffer);
                    Assert.Equal(64, client.Receive(buffer));
                }
            },
            () => _runner.Call(GC.GetAllocatedBytesForCurrentThread));
        // The measuring calls themselves are on the loop's thread; what 2,000 echoes allocate would be more.
        Assert.InRange(allocated, 0, 1_000);
        Assert.True(owner.Received >= 4_000);
    }

    private int _descriptorsBefore;

    private static int CountDescriptors() => Directory.GetFileSystemEntries("/proc/self/fd").Length;

    private static byte[] Pattern(int bytes, int seed)
    {
        byte[] pattern = new byte[bytes];
        new Random(seed).NextBytes(pattern);
        return pattern;
    }

    private static void SendAll(Socket client, byte[] bytes)
    {
        for (int sent = 0; sent < bytes.Length;)
        {
            sent += client.Send(bytes.AsSpan(sent));
        }
    }

    private static byte[] ReceiveAll(Socket client, int bytes)
    {
        byte[] received = new byte[bytes];
        for (int done = 0; done < bytes;)
        {
            int part = client.Receive(received.AsSpan(done));
            Assert.NotEqual(0, part);
            done += part;
        }
        return received;
    }

    private Socket Connect()
    {
        Socket client = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
        {
            ReceiveTimeout = (int)LoopRunner.Patience.TotalMilliseconds,
            SendTimeout = (int)LoopRunner.Patience.TotalMilliseconds,
        };
        client.Connect(new UnixDomainSocketEndPoint(_socket.Path!));
        return client;
    }

    private Echo WaitForOwner()
    {
        _runner.WaitUntil(() => _acceptor.Last is not null, "the connection");
        return _acceptor.Last!;
    }

    private void CloseListener()
    {
        using ManualResetEventSlim closed = new();
        _runner.Call(() => _listener.Close(closed.Set));
        LoopRunner.Wait(closed, "the listener's end");
        _isListenerClosed = true;
    }

    private sealed class Acceptor : IStreamAcceptor
    {
        public bool Refuses { get; set; }

        public Echo? Last { get; private set; }

        public int Closed { get; set; }

        public IByteStreamOwner? OnAccepted(IByteStream stream)
        {
            if (Refuses)
            {
                return null;
            }
            Last = new Echo(this, stream);
            return Last;
        }
    }

    /// <summary>Sends back what it receives; can be told to send something of its own instead.</summary>
    private sealed class Echo : IByteStreamOwner
    {
        private readonly Acceptor _acceptor;
        private readonly BufferSlice _buffer = AlignedMemory.Allocate(4096);
        private bool _isSendingOwn;

        public Echo(Acceptor acceptor, IByteStream stream)
        {
            _acceptor = acceptor;
            Stream = stream;
            stream.Receive(_buffer);
        }

        public IByteStream Stream { get; }

        public bool ClosesAtEnd { get; set; } = true;

        public int Received { get; private set; }

        public int LastReceived { get; private set; } = -1;

        public int LastSent { get; private set; } = 1;

        public int OwnSends { get; private set; }

        public int Closed { get; private set; }

        public void SendOwn(in SendParts parts)
        {
            _isSendingOwn = true;
            Stream.Send(in parts);
        }

        public void OnReceived(int bytesOrNegativeErrno)
        {
            Received++;
            LastReceived = bytesOrNegativeErrno;
            if (bytesOrNegativeErrno > 0)
            {
                SendParts parts = default;
                parts.Add(_buffer.Slice(0, bytesOrNegativeErrno));
                Stream.Send(in parts);
            }
            else if (ClosesAtEnd)
            {
                Stream.Close();
            }
        }

        public void OnSent(int zeroOrNegativeErrno)
        {
            LastSent = zeroOrNegativeErrno;
            if (_isSendingOwn)
            {
                _isSendingOwn = false;
                OwnSends++;
            }
            else if (zeroOrNegativeErrno == 0)
            {
                Stream.Receive(_buffer);
            }
            else
            {
                Stream.Close();
            }
        }

        public void OnClosed()
        {
            Closed++;
            _acceptor.Closed++;
        }
    }
}
