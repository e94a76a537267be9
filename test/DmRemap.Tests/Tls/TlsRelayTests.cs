using System;
using System.IO;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Tls;
using DmRemap.Interop.Tests.Support;
using DmRemap.Tests.Linux;
using DmRemap.Tests.Support;
using Microsoft.Win32.SafeHandles;
using Xunit;

namespace DmRemap.Tests.Tls;

/// <summary>
/// A relay between a real client and the test, which is the data thread here: what each of them can do to the
/// other, and that nothing of it is left.
/// </summary>
public sealed class TlsRelayTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly TestCertificates _certificates;
    private readonly SslServerAuthenticationOptions _options;

    public TlsRelayTests()
    {
        _certificates = new TestCertificates(_directory.Path, "a");
        _options = TlsCredentials.Load("dev", _certificates.ServerFolder);
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _certificates.Dispose();
        _directory.Dispose();
    }

    /// <summary>Nothing may wait for a finalizer then: it may not come for hours.</summary>
    [Fact]
    public async Task Client_that_resets_before_its_first_record_leaves_nothing_open()
    {
        (Socket client, SafeFileHandle peer) = ConnectTcp();
        using Socket probe = new(new SafeSocketHandle(peer.DangerousGetHandle(), ownsHandle: false));
        client.LingerState = new LingerOption(enable: true, 0);
        client.Dispose();
        probe.Poll(LoopRunner.Patience, SelectMode.SelectRead);
        (Socket server, SafeFileHandle inside) = ConnectUnix();
        using (server)
        {
            Assert.Throws<IOException>(() => new TlsRelay(peer, inside, _options));
            Assert.Equal(0, await server.ReceiveAsync(new byte[1], Cancellation).AsTask()
                .WaitAsync(TimeSpan.FromSeconds(5), Cancellation));
        }
        Assert.True(peer.IsClosed);
        Assert.True(inside.IsClosed);
    }

    [Fact]
    public async Task Bytes_go_both_ways_and_the_last_reply_comes_before_the_end()
    {
        await using World world = await World.EnterAsync(this);
        await world.Client.WriteAsync(new byte[] { 1, 2, 3 }, Cancellation);
        byte[] got = new byte[3];
        await world.Server.ReadExactlyAsync(got, Cancellation);
        Assert.Equal([1, 2, 3], got);
        byte[] last = new byte[300_000];
        new Random(1).NextBytes(last);
        Task carrying = world.Server.WriteAsync(last, Cancellation).AsTask();
        byte[] taken = new byte[last.Length];
        await world.Client.ReadExactlyAsync(taken, Cancellation);
        await carrying;
        await world.Server.DisposeAsync();
        Assert.Equal(0, await world.Client.ReadAsync(got, Cancellation));
        Assert.Equal(last, taken);
        await world.Relay.WaitAsync(LoopRunner.Patience, Cancellation);
    }

    /// <summary>
    /// Half a record, or one that was changed on the way, must not keep the data thread waiting.
    /// </summary>
    [Theory]
    [InlineData("1703030028010203")]
    [InlineData("17030300140102030405060708090a0b0c0d0e0f1011121314")]
    [InlineData("474554202f2048545450")]
    [InlineData("1503030002" + "0228")]
    public async Task Records_that_are_none_end_the_connection(string record)
    {
        await using World world = await World.EnterAsync(this);
        await world.RawClient.SendAsync(Convert.FromHexString(record), Cancellation);
        world.RawClient.Shutdown(SocketShutdown.Send);
        Assert.Equal(
            0, await world.Server.ReadAsync(new byte[1], Cancellation).AsTask()
                .WaitAsync(LoopRunner.Patience, Cancellation));
        await world.Server.DisposeAsync();
        await world.Relay.WaitAsync(LoopRunner.Patience, Cancellation);
    }

    [Fact]
    public async Task Client_that_has_said_its_last_is_still_answered()
    {
        await using World world = await World.EnterAsync(this);
        await world.Client.ShutdownAsync();
        Assert.Equal(0, await world.Server.ReadAsync(new byte[1], Cancellation));
        await world.Server.WriteAsync(new byte[] { 9 }, Cancellation);
        await world.Server.DisposeAsync();
        byte[] answer = new byte[1];
        await world.Client.ReadExactlyAsync(answer, Cancellation);
        Assert.Equal(9, answer[0]);
        await world.Relay.WaitAsync(LoopRunner.Patience, Cancellation);
    }

    /// <summary>The relay holds two buffers; all that is more stays with the data thread.</summary>
    [Fact]
    public async Task Client_that_takes_nothing_stops_the_data_thread_and_not_the_memory()
    {
        await using World world = await World.EnterAsync(this);
        byte[] block = new byte[64 * 1024];
        int blocks = 0;
        Task write = Task.CompletedTask;
        while (write.IsCompleted && blocks < 2000)
        {
            write = world.Server.WriteAsync(block, Cancellation).AsTask();
            await Task.WhenAny(write, Task.Delay(TimeSpan.FromSeconds(1), Cancellation));
            blocks++;
        }
        Assert.False(write.IsCompleted, "2000 blocks of 64 KiB went somewhere");
        for (int left = blocks * block.Length; left > 0;)
        {
            left -= await world.Client.ReadAsync(block, Cancellation);
        }
        await write;
    }

    [Fact]
    public async Task Handshake_ends_when_the_data_thread_has_closed_or_the_server_stops()
    {
        using CancellationTokenSource ending = new();
        foreach (bool isStop in new[] { false, true })
        {
            (Socket client, SafeFileHandle peer) = ConnectTcp();
            (Socket server, SafeFileHandle inside) = ConnectUnix();
            using TlsRelay relay = new(peer, inside, _options);
            Task<string?> handshake = relay.HandshakeAsync(ending.Token);
            if (isStop)
            {
                await ending.CancelAsync();
            }
            else
            {
                server.Dispose();
            }
            Assert.NotNull(await handshake.WaitAsync(TimeSpan.FromSeconds(6), Cancellation));
            client.Dispose();
            server.Dispose();
        }
    }

    [Theory]
    [InlineData("client", true)]
    [InlineData("expired", false)]
    [InlineData("purpose", false)]
    [InlineData("namesake", false)]
    [InlineData("other", false)]
    [InlineData("none", false)]
    public async Task Only_a_valid_certificate_of_the_authority_for_clients_gets_in(string which, bool isIn)
    {
        using TestCertificates others = new(_directory.Path, "b");
        string? folder = which switch
        {
            "client" => _certificates.ClientFolder,
            "expired" => _certificates.ExpiredClientFolder(),
            "purpose" => _certificates.WrongPurposeFolder(),
            "namesake" => _certificates.NamesakeFolder(),
            "other" => others.ClientFolder,
            _ => null,
        };
        (Socket client, SafeFileHandle peer) = ConnectTcp();
        (Socket server, SafeFileHandle inside) = ConnectUnix();
        using TlsRelay relay = new(peer, inside, _options);
        Task<string?> handshake = relay.HandshakeAsync(CancellationToken.None);
        using SslStream secured = new(new NetworkStream(client, ownsSocket: true));
        try
        {
            await secured.AuthenticateAsClientAsync(ClientOptions(folder), Cancellation);
        }
        catch (Exception e) when (e is IOException or AuthenticationException)
        {
            Assert.False(isIn, e.Message);
        }
        string? problem = await handshake.WaitAsync(LoopRunner.Patience, Cancellation);
        Assert.Equal(isIn, problem is null);
        server.Dispose();
    }

    private SslClientAuthenticationOptions ClientOptions(string? folder)
    {
        X509ChainPolicy policy = new()
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
        };
        policy.CustomTrustStore.ImportFromPemFile(Path.Combine(_certificates.ServerFolder, "ca-cert.pem"));
        return new()
        {
            TargetHost = "localhost",
            CertificateChainPolicy = policy,
            ClientCertificates = folder is null
                ? []
                : [X509Certificate2.CreateFromPemFile(
                    Path.Combine(folder, "client-cert.pem"), Path.Combine(folder, "client-key.pem"))],
            LocalCertificateSelectionCallback = (_, _, mine, _, _) => mine.Count > 0 ? mine[0] : null!,
        };
    }

    private static (Socket Client, SafeFileHandle Peer) ConnectTcp()
    {
        using Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        client.Connect(listener.LocalEndPoint!);
        return (client, HandleOf(listener.Accept()));
    }

    private (Socket Server, SafeFileHandle Inside) ConnectUnix()
    {
        string path = _directory[Guid.NewGuid().ToString("N")];
        using Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        Socket server = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        server.Connect(new UnixDomainSocketEndPoint(path));
        return (server, HandleOf(listener.Accept()));
    }

    private static SafeFileHandle HandleOf(Socket socket)
    {
        SafeFileHandle handle = new(socket.SafeHandle.DangerousGetHandle(), ownsHandle: true);
        socket.SafeHandle.SetHandleAsInvalid();
        return handle;
    }

    /// <summary>A client that is inside, and the data thread's end.</summary>
    private sealed class World : IAsyncDisposable
    {
        private World(SslStream client, Socket rawClient, NetworkStream server, Task relay)
        {
            Client = client;
            RawClient = rawClient;
            Server = server;
            Relay = relay;
        }

        public SslStream Client { get; }

        /// <summary>Below the client's TLS.</summary>
        public Socket RawClient { get; }

        public NetworkStream Server { get; }

        /// <summary>Ends with it.</summary>
        public Task Relay { get; }

        public static async Task<World> EnterAsync(TlsRelayTests tests)
        {
            (Socket rawClient, SafeFileHandle peer) = ConnectTcp();
            (Socket server, SafeFileHandle inside) = tests.ConnectUnix();
            Task running = RunAsync(new TlsRelay(peer, inside, tests._options));
            SslStream client = new(new NetworkStream(rawClient, ownsSocket: false));
            await client.AuthenticateAsClientAsync(
                tests.ClientOptions(tests._certificates.ClientFolder), Cancellation);
            World world = new(client, rawClient, new NetworkStream(server, ownsSocket: true), running);
            // The client is ready before the server is.
            await client.WriteAsync(new byte[] { 42 }, Cancellation);
            await world.Server.ReadExactlyAsync(new byte[1], Cancellation);
            return world;
        }

        public async ValueTask DisposeAsync()
        {
            await Client.DisposeAsync();
            RawClient.Dispose();
            await Server.DisposeAsync();
            await Relay.WaitAsync(LoopRunner.Patience, Cancellation);
        }

        private static async Task RunAsync(TlsRelay relay)
        {
            using (relay)
            {
                Assert.Null(await relay.HandshakeAsync(CancellationToken.None));
                await relay.CarryAsync();
            }
        }
    }
}
