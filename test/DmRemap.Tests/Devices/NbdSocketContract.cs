using System;
using System.Net;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Devices;
using DmRemap.FrontEnds.Nbd;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Sockets;
using DmRemap.Nbd;
using DmRemap.Tests.Linux;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Devices;

/// <summary>Over real sockets: connecting, the control plane's session, and a server that stops.</summary>
public abstract class NbdSocketContract(LoopBackend backend) : IDisposable
{
    private const int Blocks = 2048;

    private readonly TemporaryDirectory _directory = new();
    private readonly LoopRunner _serverLoop = new(backend: backend);
    private readonly LoopRunner _clientLoop = new(backend: backend);
    private SocketListener? _listener;
    private ListeningSocket? _socket;
    private NbdServer? _server;

    public void Dispose()
    {
        GC.SuppressFinalize(this);
        StopServer();
        _clientLoop.Dispose();
        _serverLoop.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public void Session_says_what_the_export_is_and_reads_from_it()
    {
        NbdUri uri = Serve(unix: true);
        using NbdSession session = NbdSession.Open(uri);
        Assert.Equal(Blocks * 512, session.Export.SizeBytes);
        Assert.Equal(512, session.Export.MinimumBlockBytes);
        byte[] block = [.. new byte[512]];
        block.AsSpan().Fill(9);
        Assert.True(session.TryRead(0, block));
        Assert.False(block.AsSpan().ContainsAnyExcept((byte)0));
        Assert.False(session.TryRead(Blocks * 512L, block));
        Assert.True(session.TryRead(512, block));
    }

    [Fact]
    public void Session_refuses_by_what_is_wrong()
    {
        NbdUri uri = Serve(unix: true);
        NbdUri unknown = Parse($"nbd+unix:///nope?socket={uri.SocketPath}");
        Assert.Equal("DMR-NBD-NO-EXPORT", Refused(unknown));
        Assert.Equal("DMR-NBD-UNREACHABLE", Refused(Parse($"nbd+unix:///?socket={_directory["none"]}")));
        Assert.Equal(
            "DMR-NBD-UNREACHABLE", Refused(Parse($"nbd+unix:///?socket=/{new string('x', 200)}")));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Client_reads_and_writes_and_meets_a_server_again(bool unix)
    {
        NbdUri uri = Serve(unix);
        NbdClient client = Attach(uri);
        _clientLoop.WaitUntil(() => client.IsConnected && client.IsIdle, "the connection");
        BufferSlice data = AlignedMemory.Allocate(Limits.SliceBytes);
        new Random(5).NextBytes(data.Span);
        Extent extent = new(new BlockNumber(16), new BlockCount(256));
        Assert.Equal(
            IoStatus.Ok,
            _clientLoop.Do(client, IoOperation.Write, extent, data, IoFlags.ForceUnitAccess).Status);
        BufferSlice back = AlignedMemory.Allocate(Limits.SliceBytes);
        Assert.Equal(IoStatus.Ok, _clientLoop.Do(client, IoOperation.Read, extent, back).Status);
        Assert.True(back.Span.SequenceEqual(data.Span));

        StopServer();
        _clientLoop.WaitUntil(() => !client.IsConnected, "the loss");
        Assert.Equal(
            IoStatus.DeviceError, _clientLoop.Do(client, IoOperation.Read, extent, back).Status);
        Serve(unix, unix ? 0 : uri.Port);
        _clientLoop.WaitUntil(() => client.IsConnected, "the connection again");
        Assert.Equal(IoStatus.Ok, _clientLoop.Do(client, IoOperation.Read, extent, back).Status);

        _clientLoop.WaitUntil(() => client.IsIdle, "quiet");
        _clientLoop.Call(client.Retire);
        _clientLoop.WaitUntil(() => client.IsClosed, "the end of the connection");
        _serverLoop.WaitUntil(() => _server!.OpenConnections == 0, "the server's end of it");
    }

    private static NbdUri Parse(string text)
    {
        Assert.True(NbdUri.TryParse(text, out NbdUri? uri, out string problem), problem);
        return uri!;
    }

    private static string Refused(NbdUri uri) =>
        Assert.Throws<RefusalException>(() => NbdSession.Open(uri)).Id;

    private NbdUri Serve(bool unix, int port = 0)
    {
        _socket = unix
            ? ListeningSocket.OpenUnix(_directory["s"])
            : ListeningSocket.OpenTcpLoopback(new IPEndPoint(IPAddress.Loopback, port));
        _serverLoop.Call(() =>
        {
            MemoryDevice disk = new(_serverLoop.Loop, SimulatedDisk.MakeGeometry(Blocks));
            _server = new NbdServer(
                _serverLoop.Loop,
                new BufferPool(16, Limits.SliceBytes),
                disk,
                new NbdServerOptions { ExportName = "disk" });
            _listener = new SocketListener(new StreamPool(_serverLoop.Loop, 4), _socket, _server);
            _listener.Start();
        });
        return Parse(unix
            ? $"nbd+unix:///disk?socket={_directory["s"]}"
            : $"nbd://127.0.0.1:{_socket.Port}/disk");
    }

    private void StopServer()
    {
        if (_listener is null)
        {
            return;
        }
        using ManualResetEventSlim closed = new();
        _serverLoop.Call(() =>
        {
            _listener.Close(closed.Set);
            _server!.AbortAll();
        });
        LoopRunner.Wait(closed, "the end of the listener");
        _serverLoop.WaitUntil(() => _server!.OpenConnections == 0, "the end of its connections");
        _socket!.Dispose();
        _listener = null;
    }

    private NbdClient Attach(NbdUri uri)
    {
        ClientExport export;
        using (NbdSession session = NbdSession.Open(uri))
        {
            export = session.Export;
        }
        return _clientLoop.Call(() =>
        {
            KernelLoop loop = _clientLoop.Loop;
            NbdClient client = new(
                loop,
                new SocketConnector(loop, NbdSession.AddressOf(uri), uri.Text),
                new NbdClientOptions
                {
                    Name = uri.Text,
                    ExportName = uri.ExportName,
                    Export = export,
                    Geometry = export.ToGeometry(512, 0, NbdAccess.ReadWrite),
                },
                null);
            client.Start();
            return client;
        });
    }
}
