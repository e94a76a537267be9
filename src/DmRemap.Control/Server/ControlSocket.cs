using System;
using System.IO;
using System.Net.Sockets;
using System.Text;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Server;

/// <summary>
/// The listening Unix socket. It is bound and opened for listening under another name and then renamed, so
/// that a client sees either nothing, or the stale socket of a dead daemon, or a socket that answers; and it
/// never has wider permissions than 0600.
/// </summary>
internal static class ControlSocket
{
    private const int Backlog = 32;

    /// <exception cref="RefusalException">DMR-CONTROL-SOCKET-IN-USE (exit 4), DMR-CONTROL-SOCKET-FAILED (exit
    /// 1 or 8).</exception>
    public static Socket Listen(string path, string device)
    {
        RefuseLiveSocket(path, device);
        string temporary = path[..^1] + "~";
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            File.Delete(temporary);
            socket.Bind(new UnixDomainSocketEndPoint(temporary));
            File.SetUnixFileMode(temporary, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            socket.Listen(Backlog);
            File.Move(temporary, path, overwrite: true);
            return socket;
        }
        catch (Exception error) when (IsSystemError(error))
        {
            socket.Dispose();
            throw new RefusalException(Failed(path, device, error), error);
        }
    }

    /// <summary>
    /// False when the path could not be removed; the socket behind it is closed by its owner.
    /// </summary>
    public static bool TryRemove(string path)
    {
        try
        {
            File.Delete(path);
            return true;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static bool IsSystemError(Exception error) => error is
        IOException or UnauthorizedAccessException or SocketException or ArgumentException;

    private static void RefuseLiveSocket(string path, string device)
    {
        if (!File.Exists(path))
        {
            return;
        }
        // Only a socket may be replaced, and those have no content.
        if (new FileInfo(path).Length != 0)
        {
            throw new RefusalException(InUse(path, device, "is a file with content, not a socket"));
        }
        using Socket probe = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        // A daemon that hangs has a full backlog: do not hang with it, its EAGAIN says that it is there.
        probe.Blocking = false;
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException error) when (error.SocketErrorCode == SocketError.ConnectionRefused)
        {
            return;
        }
        catch (SocketException error)
        {
            throw new RefusalException(
                InUse(path, device, $"cannot be tried ({error.SocketErrorCode})"), error);
        }
        throw new RefusalException(InUse(path, device, "is served by a running process"));
    }

    private static Refusal InUse(string path, string device, string why) => new(
        MessageIds.SocketInUse,
        ExitCode.InUse,
        device,
        $"The control socket {path} {why}.",
        $"Stop that instance (dmremap stop {device}; where it is attached, dmremap detach {device} first), or"
            + " set DMREMAP_RUN_DIR to another directory.");

    private static Refusal Failed(string path, string device, Exception error) => new(
        MessageIds.SocketFailed,
        error is UnauthorizedAccessException or SocketException { SocketErrorCode: SocketError.AccessDenied }
            ? ExitCode.NotPermitted
            : ExitCode.Failed,
        device,
        $"The control socket {path} ({Encoding.UTF8.GetByteCount(path)} bytes) cannot be made: "
            + $"{error.Message}",
        "Make its directory writable, or set DMREMAP_RUN_DIR to a short path to a directory of yours.");
}
