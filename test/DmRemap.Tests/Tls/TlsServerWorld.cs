using System;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Tls;
using DmRemap.Core.Abstractions;
using DmRemap.Devices;
using DmRemap.FrontEnds.Nbd;
using DmRemap.Interop.Tests.Support;
using DmRemap.Linux.Sockets;
using DmRemap.Nbd;
using DmRemap.Tests.Linux;
using DmRemap.Tests.Nbd;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Tls;

/// <summary>
/// A server on a real loop and a port of this machine, with room for few clients and less patience than in
/// production. TLS is allowed, so it serves both kinds.
/// </summary>
internal sealed class TlsServerWorld : IDisposable
{
    public const int Places = 8;

    private const int Blocks = 2048;

    private readonly TemporaryDirectory _directory = new();
    private readonly TestCertificates _certificates;
    private readonly LoopRunner _loop = new();
    private readonly ListeningSocket _socket;
    private readonly TlsDoor _door;
    private readonly SslClientAuthenticationOptions _clientOptions;
    private SocketListener? _listener;
    private bool _isStopped;

    public TlsServerWorld()
    {
        _certificates = new TestCertificates(_directory.Path, "a");
        _door = TlsDoor.Open(
            new ServeOptions
            {
                Name = "disk",
                Tls = NbdTlsMode.Allow,
                TlsDirectory = _certificates.ServerFolder,
            },
            TimeProvider.System, _ => { })!;
        _clientOptions = MakeClientOptions();
        _socket = ListeningSocket.OpenTcpLoopback(new IPEndPoint(IPAddress.Loopback, 0));
        Server = _loop.Call(() =>
        {
            NbdServer server = new(
                _loop.Loop,
                new BufferPool(2 * Places, Limits.SliceBytes),
                new MemoryDevice(_loop.Loop, SimulatedDisk.MakeGeometry(Blocks)),
                new NbdServerOptions
                {
                    ExportName = "disk",
                    ConnectionsMax = Places,
                    Tls = NbdTlsMode.Allow,
                    StartTls = _door.TryStart,
                    StallDeadline = Duration.FromSeconds(2),
                    CrowdedHandshakeDeadline = Duration.FromSeconds(1),
                });
            _listener = new SocketListener(new StreamPool(_loop.Loop, Places), _socket, server);
            _listener.Start();
            return server;
        });
    }

    public NbdServer Server { get; }

    public int OpenConnections => _loop.Call(() => Server.OpenConnections);

    public int Relays => _door.Relays;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    /// <summary>Of this process; files come and go as the runtime loads its own.</summary>
    public static int Sockets() =>
        new DirectoryInfo("/proc/self/fd").EnumerateFileSystemInfos().Count(
            entry => entry.LinkTarget?.StartsWith("socket:", StringComparison.Ordinal) == true);

    public async Task<Socket> ConnectAsync()
    {
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, _socket.Port, Cancellation);
        return socket;
    }

    /// <summary>Inside TLS, ready for requests.</summary>
    public async Task<TlsTestClient> EnterAsync(bool isTls = true)
    {
        Socket socket = await ConnectAsync();
        return new TlsTestClient(await NegotiateAsync(new NetworkStream(socket, ownsSocket: true), isTls));
    }

    /// <summary>Again while there is no place.</summary>
    public async Task<TlsTestClient> EnterPatientlyAsync(TimeSpan timeMax)
    {
        DateTimeOffset end = TimeProvider.System.GetUtcNow() + timeMax;
        while (true)
        {
            try
            {
                return await EnterAsync();
            }
            catch (Exception e)
                when (e is IOException or SocketException && TimeProvider.System.GetUtcNow() < end)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(50), Cancellation);
            }
        }
    }

    /// <summary>What a client sends until its first reply has come.</summary>
    public async Task<long> CountBytesAsync(bool isTls)
    {
        using Socket socket = await ConnectAsync();
        await using DyingStream stream = new(new NetworkStream(socket), long.MaxValue);
        await AskAsync(stream, isTls);
        return stream.Written;
    }

    public async Task DieAfterAsync(bool isTls, long bytes, bool isReset)
    {
        using Socket socket = await ConnectAsync();
        await using DyingStream stream = new(new NetworkStream(socket), bytes);
        try
        {
            await AskAsync(stream, isTls);
        }
        catch (DyingStream.DeadException)
        {
            // As it was to be.
        }
        catch (Exception e) when (e.InnerException is DyingStream.DeadException)
        {
            // Inside TLS.
        }
        if (isReset)
        {
            socket.LingerState = new LingerOption(enable: true, 0);
        }
    }

    public async Task UntilAsync(Func<bool> condition)
    {
        DateTimeOffset end = TimeProvider.System.GetUtcNow() + LoopRunner.Patience;
        while (!condition())
        {
            Assert.True(
                TimeProvider.System.GetUtcNow() < end,
                $"it never came; {OpenConnections} connections, {Relays} relays");
            await Task.Delay(TimeSpan.FromMilliseconds(5), Cancellation);
        }
    }

    /// <summary>No more replies leave: whoever takes none has all that fits.</summary>
    public async Task UntilStillAsync()
    {
        long before = -1;
        while (before != Server.Counters.BytesRead)
        {
            before = Server.Counters.BytesRead;
            await Task.Delay(TimeSpan.FromMilliseconds(200), Cancellation);
        }
    }

    /// <summary>In good order; completes when the last reply inside TLS has been taken.</summary>
    public Task StopAsync()
    {
        Stop();
        return _door.EndAsync();
    }

    public void Dispose()
    {
        Stop();
        _loop.Call(Server.AbortAll);
        _loop.WaitUntil(() => Server.OpenConnections == 0, "the end of the connections");
        _loop.Dispose();
        _door.Dispose();
        _socket.Dispose();
        _certificates.Dispose();
        _directory.Dispose();
    }

    private void Stop()
    {
        if (_isStopped)
        {
            return;
        }
        _isStopped = true;
        using ManualResetEventSlim closed = new();
        _loop.Call(() =>
        {
            _listener!.Close(closed.Set);
            Server.Shutdown(null);
        });
        LoopRunner.Wait(closed, "the end of listening");
    }

    private async Task AskAsync(Stream stream, bool isTls)
    {
        using TlsTestClient client = new(await NegotiateAsync(stream, isTls));
        Assert.Equal(512, (await client.ReadAsync(1, 0, 512)).Length);
    }

    /// <summary>Answers are waited for, so that the server has taken what was sent before.</summary>
    private async Task<Stream> NegotiateAsync(Stream stream, bool isTls)
    {
        using CancellationTokenSource deadline = new(LoopRunner.Patience);
        byte[] answer = new byte[20];
        await stream.ReadExactlyAsync(answer.AsMemory(0, 18), deadline.Token);
        await stream.WriteAsync(new ConversationBuilder().ClientFlags().ToArray(), deadline.Token);
        if (isTls)
        {
            await stream.WriteAsync(new ConversationBuilder().Option(5).ToArray(), deadline.Token);
            await stream.ReadExactlyAsync(answer, deadline.Token);
            SslStream secured = new(stream);
            await secured.AuthenticateAsClientAsync(_clientOptions, deadline.Token);
            stream = secured;
        }
        await stream.WriteAsync(new ConversationBuilder().Go("disk").ToArray(), deadline.Token);
        uint type = 0;
        while (type != 1)
        {
            await stream.ReadExactlyAsync(answer, deadline.Token);
            type = System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(answer.AsSpan(12));
            byte[] data = new byte[System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(
                answer.AsSpan(16))];
            await stream.ReadExactlyAsync(data, deadline.Token);
        }
        return stream;
    }

    private SslClientAuthenticationOptions MakeClientOptions()
    {
        X509ChainPolicy policy = new()
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
        };
        string folder = _certificates.ClientFolder;
        policy.CustomTrustStore.ImportFromPemFile(Path.Combine(folder, "ca-cert.pem"));
        X509Certificate2 mine = X509Certificate2.CreateFromPemFile(
            Path.Combine(folder, "client-cert.pem"), Path.Combine(folder, "client-key.pem"));
        return new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            CertificateChainPolicy = policy,
            ClientCertificateContext = SslStreamCertificateContext.Create(mine, null, offline: true),
        };
    }
}
