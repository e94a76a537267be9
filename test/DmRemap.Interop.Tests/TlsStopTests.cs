using System;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// Stop while a client's replies are in the server's TLS, where the kernel cannot deliver them.
/// </summary>
public sealed class TlsStopTests
{
    private const long MiB = DeviceUnderTest.MiB;
    private const int ReadBytes = 32 * 1024;
    private const int ReplyBytes = 16 + ReadBytes;
    private const int SmallSegmentBytes = 536;
    private const int TcpMaxSegment = 2;

    /// <summary>Longer than a close may take, shorter than the deadline.</summary>
    private static readonly TimeSpan s_pause = TimeSpan.FromSeconds(2.5);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Client_that_takes_its_time_has_its_last_reply_before_the_server_ends()
    {
        byte[] content = Content.Of(8 * MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(content);
        using TestCertificates certificates = new(device.Folder, "a");
        (SslStream client, int replies) = await AskAsync(device, certificates);
        await using SslStream disposed = client;
        Task<CommandResult> stopping = device.RunAsync("stop", "dev", "--deadline", "20");
        await Task.Delay(s_pause, Cancellation);
        byte[] reply = new byte[ReplyBytes];
        for (int i = 0; i < replies; i++)
        {
            await client.ReadExactlyAsync(reply, Cancellation);
            Content.AssertEqual(content.AsSpan(0, ReadBytes), reply.AsSpan(16), $"reply {i} of {replies}");
        }
        Assert.Equal(0, await client.ReadAsync(reply, Cancellation));
        (await stopping).Expect(0);
        Assert.Equal(0, await device.Server.WaitForEndAsync(TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public async Task Client_that_takes_nothing_is_cut_off_by_the_deadline()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        using TestCertificates certificates = new(device.Folder, "a");
        (SslStream client, int replies) = await AskAsync(device, certificates);
        await using SslStream disposed = client;
        Stopwatch elapsed = Stopwatch.StartNew();
        // Its data is safe, and it has not taken what it was told: clean for the device.
        (await device.RunAsync("stop", "dev", "--deadline", "2")).Expect(0);
        Assert.Equal(0, await device.Server.WaitForEndAsync(TimeSpan.FromSeconds(10)));
        Assert.InRange(elapsed.Elapsed.TotalSeconds, 1.5, 8);
        byte[] reply = new byte[replies * ReplyBytes];
        await Assert.ThrowsAnyAsync<IOException>(
            () => client.ReadExactlyAsync(reply, Cancellation).AsTask());
    }

    /// <summary>
    /// A client that has asked for a little more than the kernel takes for it: what is more is inside TLS,
    /// and the data thread is done with it. Gives the number of replies.
    /// </summary>
    private static async Task<(SslStream Client, int Replies)> AskAsync(
        DeviceUnderTest device, TestCertificates certificates)
    {
        await device.CreateAsync();
        RunningProgram server = device.StartServe(
            "--listen", "127.0.0.1:0", "--tls", "require", "--tls-dir", certificates.ServerFolder);
        string line = await server.WaitForLineAsync(
            line => line.StartsWith("also nbds:", StringComparison.Ordinal), TimeSpan.FromSeconds(30));
        int port = new Uri(line["also ".Length..]).Port;
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
        {
            ReceiveBufferSize = 4096,
        };
        // Else the loopback's segments of 64 KiB make the kernel buffer megabytes.
        socket.SetRawSocketOption(
            (int)SocketOptionLevel.Tcp, TcpMaxSegment, BitConverter.GetBytes(SmallSegmentBytes));
        await socket.ConnectAsync("127.0.0.1", port, Cancellation);
        int own = ((IPEndPoint)socket.LocalEndPoint!).Port;
        SslStream client = await EnterAsync(new NetworkStream(socket, ownsSocket: true), certificates);
        int replies = 0;
        int full = 0;
        for (long before = -1; full < 3;)
        {
            await client.WriteAsync(
                NbdTestClient.Request(NbdTestClient.CommandRead, 0, 1, 0, ReadBytes), Cancellation);
            replies++;
            await UntilAsync(async () =>
                await device.StatusNumberAsync("counters", "bytesRead") == (long)replies * ReadBytes);
            long queued = QueuedBytes(port, own);
            full = queued == before ? full + 1 : 0;
            before = queued;
        }
        return (client, replies);
    }

    /// <summary>What the kernel still has to send, from this port to that one.</summary>
    private static long QueuedBytes(int from, int to)
    {
        string ends = $"0100007F:{from:X4} 0100007F:{to:X4} ";
        string line = File.ReadLines("/proc/net/tcp").First(
            line => line.Contains(ends, StringComparison.Ordinal));
        string queues = line[(line.IndexOf(ends, StringComparison.Ordinal) + ends.Length)..].Split(' ')[1];
        return long.Parse(queues.Split(':')[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        for (int i = 0; i < 300 && !await condition(); i++)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(20), Cancellation);
        }
    }

    private static async Task<SslStream> EnterAsync(NetworkStream plain, TestCertificates certificates)
    {
        byte[] answer = new byte[20];
        await plain.ReadExactlyAsync(answer.AsMemory(0, 18), Cancellation);
        await plain.WriteAsync(NbdTestClient.ClientFlags(), Cancellation);
        await plain.WriteAsync(NbdTestClient.Option(5, []), Cancellation);
        await plain.ReadExactlyAsync(answer, Cancellation);
        SslStream client = new(plain);
        X509ChainPolicy policy = new()
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
        };
        string folder = certificates.ClientFolder;
        policy.CustomTrustStore.ImportFromPemFile(Path.Combine(folder, "ca-cert.pem"));
        await client.AuthenticateAsClientAsync(
            new SslClientAuthenticationOptions
            {
                TargetHost = "localhost",
                CertificateChainPolicy = policy,
                ClientCertificateContext = SslStreamCertificateContext.Create(
                    X509Certificate2.CreateFromPemFile(
                        Path.Combine(folder, "client-cert.pem"), Path.Combine(folder, "client-key.pem")),
                    null, offline: true),
            },
            Cancellation);
        await client.WriteAsync(NbdTestClient.GoOption(DeviceUnderTest.Name), Cancellation);
        for (uint type = 0; type != NbdTestClient.ReplyAck;)
        {
            await client.ReadExactlyAsync(answer, Cancellation);
            type = System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(answer.AsSpan(12));
            await client.ReadExactlyAsync(new byte[answer[19]], Cancellation);
        }
        return client;
    }
}
