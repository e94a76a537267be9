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
/// <para>
/// Two that start at the same moment would both find nobody there. So the right to the path is taken first,
/// and kept until the socket has been removed again: nobody replaces a socket that lives, or removes one
/// that is not his own.
/// </para>
/// </summary>
internal sealed class ControlSocket : IDisposable
{
    private const int Backlog = 32;

    private readonly PathLock _right;
    private readonly string _path;

    private ControlSocket(PathLock right, string path, Socket listener)
    {
        _right = right;
        _path = path;
        Listener = listener;
    }

    public Socket Listener { get; }

    /// <exception cref="RefusalException">DMR-CONTROL-SOCKET-IN-USE (exit 4), DMR-CONTROL-SOCKET-FAILED (exit
    /// 1 or 8).</exception>
    public static ControlSocket Listen(string path, string device) => Listen(path, device, null);

    /// <param name="path">Of the socket.</param>
    /// <param name="device">Named in refusals.</param>
    /// <param name="onFree">Called when nobody was found there, and before anything is made.</param>
    internal static ControlSocket Listen(string path, string device, Action? onFree)
    {
        PathLock? right;
        try
        {
            right = PathLock.TryTake(LockPath(path));
        }
        catch (Exception error) when (IsSystemError(error))
        {
            throw new RefusalException(Failed(path, device, error), error);
        }
        if (right is null)
        {
            throw new RefusalException(InUse(path, device, "is served by a running process"));
        }
        try
        {
            // By a process that does not know the right, or whose file somebody removed.
            RefuseLiveSocket(path, device);
            onFree?.Invoke();
            return new ControlSocket(right, path, Bind(path, device));
        }
        catch (RefusalException)
        {
            right.Dispose();
            throw;
        }
    }

    /// <summary>A path that cannot be removed stays; nobody answers there.</summary>
    public void Dispose()
    {
        // The path first: a client that connects to it in between is answered or refused, never left
        // waiting. The right last: whoever gets it finds nothing that is still to be removed.
        TryRemove();
        Listener.Dispose();
        _right.Dispose();
    }

    private static string LockPath(string path) => Path.ChangeExtension(path, ".lock");

    private static Socket Bind(string path, string device)
    {
        // No longer than the path, which may be as long as a socket's can be.
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

    private void TryRemove()
    {
        try
        {
            // Where a person has removed the lock, what lies at the path may be another's.
            if (_right.IsThere)
            {
                File.Delete(_path);
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // Said nowhere: the socket behind it is closed next.
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
