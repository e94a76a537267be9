using System;
using System.ComponentModel;
using System.IO;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
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

    private static readonly TimeSpan s_look = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_handshakeMax = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_goodbyeMax = TimeSpan.FromSeconds(1);

    private readonly SslServerAuthenticationOptions _options;
    private readonly Socket _inside;
    private readonly NetworkStream _plain;
    private readonly SslStream _secured;

    public TlsRelay(SafeFileHandle peer, SafeFileHandle inside, SslServerAuthenticationOptions options)
    {
        _options = options;
        _inside = SocketOf(inside);
        _plain = new NetworkStream(_inside, ownsSocket: true);
        Socket outside = SocketOf(peer);
        // A client whose machine has died says nothing; the kernel then ends the connection by itself.
        outside.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, optionValue: true);
        _secured = new SslStream(new NetworkStream(outside, ownsSocket: true));
    }

    /// <summary>Null when the client is inside; else why it is not.</summary>
    public async Task<string?> HandshakeAsync()
    {
        using CancellationTokenSource deadline = new(s_handshakeMax);
        try
        {
            await _secured.AuthenticateAsServerAsync(_options, deadline.Token);
            return null;
        }
        catch (OperationCanceledException)
        {
            return "its TLS handshake took too long";
        }
        catch (Exception e)
            when (e is AuthenticationException or IOException or SocketException or Win32Exception)
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
        Socket socket = new(new SafeSocketHandle(handle.DangerousGetHandle(), ownsHandle: true));
        handle.SetHandleAsInvalid();
        return socket;
    }

    private static bool IsEndOfStream(Exception e) =>
        e is IOException or SocketException or ObjectDisposedException or AuthenticationException;

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
                looks = StreamDetour.HasHungUp((int)_inside.Handle) ? looks + 1 : 0;
            }
        }
        throw new TimeoutException();
    }
}
