using System;
using System.Globalization;
using System.IO;
using System.Net.Sockets;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;
using DmRemap.Linux.Sockets;
using DmRemap.Nbd;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Devices;

/// <summary>
/// A connection for the control plane: it asks what an export is and reads a little of it, and blocks while
/// it does, each time for some seconds at most. The data path has <see cref="NbdClient"/>.
/// </summary>
public sealed class NbdSession : IDisposable
{
    private const int TimeoutMs = 10_000;

    private readonly NbdUri _uri;
    private readonly Socket _socket;
    private readonly ClientTransmission _commands = new(1);

    private NbdSession(NbdUri uri, Socket socket)
    {
        _uri = uri;
        _socket = socket;
        _socket.ReceiveTimeout = TimeoutMs;
        _socket.SendTimeout = TimeoutMs;
    }

    public ClientExport Export { get; private set; } = null!;

    /// <summary>Where to connect to.</summary>
    public static StreamAddress AddressOf(NbdUri uri) => new(uri.SocketPath, uri.Host, uri.Port);

    /// <exception cref="RefusalException">
    /// DMR-NBD-UNREACHABLE, DMR-NBD-NO-EXPORT (exit 3), DMR-NBD-REFUSED (exit 5), DMR-NBD-PROTOCOL (exit 1).
    /// </exception>
    public static NbdSession Open(NbdUri uri)
    {
        int errno = ConnectedSocket.TryConnect(AddressOf(uri), out SafeFileHandle? connected);
        if (errno != 0)
        {
            throw new RefusalException(Unreachable(uri, $"it cannot be connected to ({Errno.Name(errno)})"));
        }
        NbdSession session = new(uri, Adopt(connected!));
        try
        {
            session.Negotiate();
            return session;
        }
        catch (RefusalException)
        {
            session.Dispose();
            throw;
        }
        catch (Exception error) when (error is SocketException or EndOfStreamException)
        {
            session.Dispose();
            throw new RefusalException(Unreachable(uri, "it does not answer as a server would"), error);
        }
    }

    /// <summary>False when the server answers with an error, or not at all.</summary>
    public bool TryRead(long offset, Span<byte> into)
    {
        Span<byte> message = stackalloc byte[ClientTransmission.HeaderBytes];
        try
        {
            _commands.Clear();
            _commands.Begin(0, NbdCommand.Read, NbdCommandFlags.None, offset, into.Length, message);
            Send(message);
            Span<byte> reply = message[..SimpleReply.HeaderBytes];
            Receive(reply);
            bool isData = _commands.Take(reply, out _, out _, out _) == ReplyVerdict.Data;
            if (isData)
            {
                Receive(into);
            }
            return isData;
        }
        catch (Exception error) when (error is SocketException or EndOfStreamException)
        {
            return false;
        }
    }

    public void Dispose()
    {
        Span<byte> message = stackalloc byte[ClientTransmission.HeaderBytes];
        try
        {
            ClientTransmission.WriteDisconnect(message);
            Send(message);
        }
        catch (SocketException)
        {
            // It has ended already.
        }
        _socket.Dispose();
    }

    private static Socket Adopt(SafeFileHandle connected)
    {
        SafeSocketHandle handle = new(connected.DangerousGetHandle(), ownsHandle: true);
        connected.SetHandleAsInvalid();
        return new Socket(handle);
    }

    private static Refusal Unreachable(NbdUri uri, string what) => new(
        "DMR-NBD-UNREACHABLE",
        ExitCode.NoSuchDevice,
        uri.Text,
        $"There is no NBD server at {uri.Text}: {what}.",
        "Start the server, or check the URI; nothing was changed.");

    private void Negotiate()
    {
        ClientHandshake handshake = new(_uri.ExportName);
        handshake.Start();
        byte[] received = new byte[ClientHandshake.InputBytesMax];
        byte[] output = new byte[ClientHandshake.OutputBytesMax];
        int count = 0;
        while (true)
        {
            int consumed = handshake.Step(received.AsSpan(0, count), output, out int written);
            received.AsSpan(consumed, count - consumed).CopyTo(received);
            count -= consumed;
            if (handshake.Phase == ClientHandshakePhase.Failed)
            {
                throw new RefusalException(Explain(handshake));
            }
            if (handshake.Phase == ClientHandshakePhase.Transmission)
            {
                break;
            }
            if (written > 0)
            {
                Send(output.AsSpan(0, written));
            }
            if (consumed == 0)
            {
                count += ReceiveSome(received.AsSpan(count));
            }
        }
        Export = handshake.Export!;
    }

    private Refusal Explain(ClientHandshake failed)
    {
        (string id, ExitCode exit, string action) = failed.Failure switch
        {
            ClientHandshakeFailure.NoSuchExport => (
                "DMR-NBD-NO-EXPORT", ExitCode.NoSuchDevice,
                "Check the export's name, the part of the URI after the server; `nbdinfo --list` shows "
                    + "them."),
            ClientHandshakeFailure.Refused => (
                "DMR-NBD-REFUSED", ExitCode.RefusedForSafety,
                "Change the server's settings; nothing was changed here."),
            _ => ("DMR-NBD-PROTOCOL", ExitCode.Failed,
                "Check that the URI leads to an NBD server of today (fixed newstyle)."),
        };
        string text = string.Create(
            CultureInfo.InvariantCulture, $"{_uri.Text} cannot be used: {failed.Problem}.");
        return new Refusal(id, exit, _uri.Text, text, action);
    }

    private void Send(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[_socket.Send(bytes)..];
        }
    }

    private void Receive(Span<byte> into)
    {
        while (!into.IsEmpty)
        {
            into = into[ReceiveSome(into)..];
        }
    }

    private int ReceiveSome(Span<byte> into)
    {
        int count = _socket.Receive(into);
        return count > 0 ? count : throw new EndOfStreamException();
    }
}
