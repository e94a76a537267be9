using System;
using System.ComponentModel;
using System.IO;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Linux.Sockets;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Cli.Tls;

/// <summary>
/// One connection's TLS: records on the client's side, plain bytes on the side of the data thread. It holds
/// two buffers and reads no further than it can write, so a side that takes nothing stops the other one.
/// </summary>
internal sealed class TlsRelay : IDisposable
{
    private const int BufferBytes = 64 * 1024;

    /// <summary>Times s_look: for how long a client may take nothing once the server has closed.</summary>
    private const int LooksMax = 6;

    private const int KeepAliveIdleSeconds = 60;
    private const int KeepAliveIntervalSeconds = 10;
    private const int KeepAliveProbes = 6;

    private static readonly TimeSpan s_look = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_handshakeMax = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_handshakeLook = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_goodbyeMax = TimeSpan.FromSeconds(1);

    private readonly SslServerAuthenticationOptions _options;
    private readonly Socket _inside;
    private readonly NetworkStream _plain;
    private readonly SslStream _secured;

    /// <summary>Both sockets are its own from here on, also when it throws.</summary>
    /// <exception cref="IOException">The client has gone already.</exception>
    public TlsRelay(SafeFileHandle peer, SafeFileHandle inside, SslServerAuthenticationOptions options)
    {
        _options = options;
        _inside = SocketOf(inside);
        Socket outside = SocketOf(peer);
        try
        {
            KeepAlive(outside);
            _plain = new NetworkStream(_inside, ownsSocket: true);
            _secured = new SslStream(new NetworkStream(outside, ownsSocket: true));
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            // Closed now and not by a finalizer, or the data thread would not hear of it for long.
            outside.Dispose();
            _inside.Dispose();
            throw new IOException(e.Message, e);
        }
    }

    /// <summary>The data thread has closed its end: nobody is left to be led to.</summary>
    private bool HasServerClosed => StreamDetour.HasHungUp((int)_inside.Handle);

    /// <summary>Null when the client is inside; else why it is not.</summary>
    public async Task<string?> HandshakeAsync(CancellationToken ending)
    {
        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(ending);
        deadline.CancelAfter(s_handshakeMax);
        try
        {
            Task handshake = _secured.AuthenticateAsServerAsync(_options, deadline.Token);
            while (await Task.WhenAny(handshake, Task.Delay(s_handshakeLook, deadline.Token)) != handshake)
            {
                if (deadline.IsCancellationRequested || HasServerClosed)
                {
                    await deadline.CancelAsync();
                    break;
                }
            }
            await handshake;
            return null;
        }
        catch (OperationCanceledException)
        {
            return "its TLS handshake took too long";
        }
        catch (Exception e)
            when (e is AuthenticationException or IOException or SocketException or Win32Exception
                or CryptographicException)
        {
            return (e.InnerException ?? e).Message;
        }
    }

    /// <summary>Until the data thread has closed its end, and the client has what it was told.</summary>
    public async Task CarryAsync()
    {
        Task inwards = CarryInwardsAsync();
        await CarryOutwardsAsync();
        Dispose();
        await inwards;
    }

    public void Dispose()
    {
        _secured.Dispose();
        _plain.Dispose();
    }

    private static Socket SocketOf(SafeFileHandle handle)
    {
        SafeSocketHandle owner = new(handle.DangerousGetHandle(), ownsHandle: true);
        // Before anything can fail: two owners would close it twice, the second time as somebody else's.
        handle.SetHandleAsInvalid();
        return new Socket(owner);
    }

    /// <summary>
    /// A client whose machine has died says nothing; the kernel then ends the connection, after two minutes.
    /// </summary>
    private static void KeepAlive(Socket outside)
    {
        if (outside.AddressFamily is not (AddressFamily.InterNetwork or AddressFamily.InterNetworkV6))
        {
            return;
        }
        outside.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, optionValue: true);
        outside.SetSocketOption(
            SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, KeepAliveIdleSeconds);
        outside.SetSocketOption(
            SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, KeepAliveIntervalSeconds);
        outside.SetSocketOption(
            SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, KeepAliveProbes);
    }

    /// <summary>What TLS that was broken off throws depends on where it was, and on OpenSSL.</summary>
    private static bool IsEndOfStream(Exception e) =>
        e is IOException or SocketException or ObjectDisposedException or AuthenticationException
            or CryptographicException;

    /// <summary>A client that has said its last is still answered: only this direction ends.</summary>
    private async Task CarryInwardsAsync()
    {
        byte[] buffer = new byte[BufferBytes];
        try
        {
            int bytes;
            while ((bytes = await _secured.ReadAsync(buffer)) > 0)
            {
                await _plain.WriteAsync(buffer.AsMemory(0, bytes));
            }
        }
        catch (Exception e) when (IsEndOfStream(e))
        {
            // The same as an end: whole requests are carried out, and a half one is not.
        }
        finally
        {
            // Whatever it was: else the data thread would wait for ever for a client that nobody reads.
            EndInwards();
        }
    }

    private void EndInwards()
    {
        try
        {
            _inside.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (IsEndOfStream(e))
        {
            // Both ends have gone already.
        }
    }

    private async Task CarryOutwardsAsync()
    {
        byte[] buffer = new byte[BufferBytes];
        try
        {
            int bytes;
            while ((bytes = await _plain.ReadAsync(buffer)) > 0)
            {
                await WriteAsync(buffer.AsMemory(0, bytes));
            }
            await _secured.ShutdownAsync().WaitAsync(s_goodbyeMax);
        }
        catch (Exception e) when (IsEndOfStream(e) || e is TimeoutException)
        {
            // Nobody is left who could be told.
        }
    }

    /// <summary>
    /// A client that takes nothing is waited for as long as the server waits for it, which closes its end.
    /// </summary>
    private async Task WriteAsync(ReadOnlyMemory<byte> bytes)
    {
        ValueTask write = _secured.WriteAsync(bytes);
        if (write.IsCompleted)
        {
            await write;
            return;
        }
        Task slow = write.AsTask();
        int looks = 0;
        while (looks < LooksMax)
        {
            try
            {
                await slow.WaitAsync(s_look);
                return;
            }
            catch (TimeoutException) when (!slow.IsCompleted)
            {
                looks = HasServerClosed ? looks + 1 : 0;
            }
        }
        throw new TimeoutException();
    }
}
