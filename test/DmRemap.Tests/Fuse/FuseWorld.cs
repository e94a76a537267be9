using System;
using System.Collections.Generic;
using System.IO;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using DmRemap.Core.Abstractions;
using DmRemap.Devices;
using DmRemap.FrontEnds.Fuse;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Native;
using DmRemap.Tests.Linux;
using DmRemap.Tests.Support;
using Microsoft.Win32.SafeHandles;
using Xunit;

namespace DmRemap.Tests.Fuse;

/// <summary>
/// The server on a real loop, with the test as the kernel: a pair of sockets that keep messages whole stands
/// for /dev/fuse.
/// </summary>
internal sealed class FuseWorld : IFuseWatcher, IDisposable
{
    public const int BlockBytes = 512;
    public const int Blocks = 8192;

    private readonly TemporaryDirectory _directory = new();
    private readonly byte[] _reply = new byte[2 * 1024 * 1024];
    private int _connections;

    public FuseWorld(LoopBackend backend, bool holdsBack = false, Duration readDeadline = default)
    {
        Runner = new LoopRunner(backend: backend);
        Memory = new MemoryDevice(Runner.Loop, new DeviceGeometry
        {
            LogicalBlockSize = new BlockSize(BlockBytes),
            PhysicalBlockBytes = 4096,
            Blocks = new BlockCount(Blocks),
            CanDiscard = true,
            CanWriteZeroes = true,
        });
        Faults = new FaultInjecting(Runner.Loop, Memory);
        Held = new HeldDevice(Faults) { IsHolding = holdsBack };
        Server = new FuseServer(Runner.Loop, Held, this, 0, 0, 1_700_000_000, readDeadline);
        Connect();
    }

    public LoopRunner Runner { get; }

    public MemoryDevice Memory { get; }

    public FaultInjecting Faults { get; }

    public HeldDevice Held { get; }

    public FuseServer Server { get; }

    public Socket Kernel { get; private set; } = null!;

    public bool IsServing { get; private set; }

    /// <summary>Null while it is open.</summary>
    public string? Problem { get; private set; }

    public void Connect()
    {
        string path = Path.Combine(_directory.Path, $"kernel{_connections++}");
        using Socket listener = MakeSocket();
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        Kernel = MakeSocket();
        Kernel.ReceiveTimeout = (int)LoopRunner.Patience.TotalMilliseconds;
        Kernel.SendTimeout = (int)LoopRunner.Patience.TotalMilliseconds;
        Kernel.Connect(new UnixDomainSocketEndPoint(path));
        using Socket accepted = listener.Accept();
        int fd = SocketNative.Control(
            (int)accepted.Handle, SocketNative.F_DUPFD_CLOEXEC, 3);
        int flags = SocketNative.Control(fd, SocketNative.F_GETFL, 0);
        _ = SocketNative.Control(fd, SocketNative.F_SETFL, flags | SocketNative.O_NONBLOCK);
        SafeFileHandle ours = new(fd, ownsHandle: true);
        Problem = null;
        Assert.True(Runner.Call(() => Server.TryOpen(Runner.Loop, ours)));
    }

    public void Agree()
    {
        Send(FuseMessages.Init(1));
        Assert.Equal((80, 0, 1UL), FuseMessages.Header(Receive()));
        Assert.True(IsServing);
    }

    public void Send(byte[] message) => Assert.Equal(message.Length, Kernel.Send(message));

    /// <summary>The next reply, whole; valid until the next call.</summary>
    public ReadOnlySpan<byte> Receive()
    {
        int bytes = Kernel.Receive(_reply);
        ReadOnlySpan<byte> reply = _reply.AsSpan(0, bytes);
        Assert.Equal(bytes, FuseMessages.Header(reply).Bytes);
        return reply;
    }

    public int Ask(byte[] message)
    {
        Send(message);
        (_, int error, ulong unique) = FuseMessages.Header(Receive());
        Assert.Equal(MemoryMarshal.Read<ulong>(message.AsSpan(8)), unique);
        return error;
    }

    void IFuseWatcher.OnServing() => IsServing = true;

    void IFuseWatcher.OnClosed(string problem)
    {
        IsServing = false;
        Problem = problem;
    }

    public void WaitForClose() => Runner.WaitUntil(() => Problem is not null, "the end of the connection");

    public void Dispose()
    {
        Runner.Call(Held.ReleaseAll);
        Runner.Call(Server.Abort);
        Runner.WaitUntil(() => Server.IsIdle, "the last request");
        Kernel.Dispose();
        Runner.WaitUntil(() => Runner.Loop.OutstandingOperations == 0, "the last operation");
        Runner.Dispose();
        _directory.Dispose();
    }

    private static Socket MakeSocket() =>
        new(AddressFamily.Unix, SocketType.Seqpacket, ProtocolType.Unspecified);

    /// <summary>A device that keeps requests until it is told to carry them out.</summary>
    public sealed class HeldDevice(IBlockDevice below) : IBlockDevice
    {
        private readonly Queue<IoRequest> _held = [];

        public DeviceGeometry Geometry => below.Geometry;

        public bool IsHolding { get; set; }

        public int Count => _held.Count;

        public int LargestBytes { get; private set; }

        public void Submit(IoRequest request)
        {
            LargestBytes = Math.Max(LargestBytes, request.Buffer.Length);
            if (IsHolding)
            {
                _held.Enqueue(request);
            }
            else
            {
                below.Submit(request);
            }
        }

        public void ReleaseAll()
        {
            IsHolding = false;
            while (_held.TryDequeue(out IoRequest? request))
            {
                below.Submit(request);
            }
        }
    }
}
