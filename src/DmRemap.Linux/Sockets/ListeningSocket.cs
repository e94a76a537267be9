using System;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Sockets;

/// <summary>
/// A bound, listening socket: made before it is served and disposed of after its <see cref="SocketListener"/>
/// has closed, both on the control plane (these calls may block).
/// </summary>
public sealed partial class ListeningSocket : IDisposable
{
    private const int Backlog = 128;
    private const int NonBlocking = 0x800; // SOCK_NONBLOCK

    private readonly SafeFileHandle _handle;
    private readonly string _subject;
    private readonly byte[]? _unixAddress;
    private int _isFileRemoved;

    private ListeningSocket(SafeFileHandle handle, string subject, byte[]? unixAddress)
    {
        _handle = handle;
        _subject = subject;
        _unixAddress = unixAddress;
        // Until it is bound, what is at its path is not its own.
        _isFileRemoved = 1;
    }

    /// <summary>Of a Unix socket; else null.</summary>
    public string? Path => _unixAddress is null ? null : _subject;

    /// <summary>Of a TCP socket, as bound: its port is never 0.</summary>
    public IPEndPoint? EndPoint { get; private init; }

    /// <summary>Of a TCP socket, as bound (never 0); else 0.</summary>
    public int Port => EndPoint?.Port ?? 0;

    internal int FileDescriptor => (int)_handle.DangerousGetHandle();

    /// <summary>
    /// Listen on a Unix socket that only this user may connect to (mode 0600). The file of a dead server is
    /// replaced; a path where somebody answers is EADDRINUSE, and one that is no socket is never removed
    /// (EEXIST).
    /// </summary>
    /// <exception cref="SystemCallException">With the errno.</exception>
    public static ListeningSocket OpenUnix(string path) => Listening(PrepareUnix(path));

    /// <summary>As <see cref="PrepareTcpLoopback"/>, and listen.</summary>
    /// <exception cref="SystemCallException">With the errno.</exception>
    public static ListeningSocket OpenTcpLoopback(IPEndPoint endPoint) =>
        Listening(PrepareTcpLoopback(endPoint));

    /// <summary>
    /// Everything of <see cref="OpenUnix"/> that can be known to fail before there is a file: it is made by
    /// <see cref="Listen"/>, so nobody finds it before, and one that is given up leaves nothing behind.
    /// </summary>
    /// <exception cref="SystemCallException">With the errno.</exception>
    public static ListeningSocket PrepareUnix(string path)
    {
        byte[] address = UnixAddress(path);
        RemoveStale(path, address);
        string directory = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path)) ?? "/";
        int access = SocketNative.CheckAccess(
            SocketNative.AT_FDCWD, directory, SocketNative.W_OK | SocketNative.X_OK,
            SocketNative.AT_EACCESS);
        Check(access, "access", directory);
        return new ListeningSocket(Open(SocketNative.AF_UNIX, path), path, address);
    }

    /// <summary>
    /// Bound to TCP on this machine only: there is no encryption and no login. Port 0 picks a free one.
    /// Whoever connects before <see cref="Listen"/> is refused.
    /// </summary>
    /// <exception cref="SystemCallException">With the errno.</exception>
    public static ListeningSocket PrepareTcpLoopback(IPEndPoint endPoint) =>
        IPAddress.IsLoopback(endPoint.Address)
            ? PrepareTcp(endPoint)
            : throw new ArgumentException(
                $"{endPoint.Address} is not a loopback address", nameof(endPoint));

    /// <summary>Of any address: only for what protects itself.</summary>
    /// <exception cref="SystemCallException">With the errno.</exception>
    public static unsafe ListeningSocket PrepareTcp(IPEndPoint endPoint)
    {
        string subject = endPoint.ToString();
        int family = endPoint.AddressFamily == AddressFamily.InterNetworkV6
            ? SocketNative.AF_INET6
            : SocketNative.AF_INET;
        SocketAddress address = endPoint.Serialize();
        SafeFileHandle handle = Open(family, subject);
        try
        {
            int fd = (int)handle.DangerousGetHandle();
            SetOption(fd, SocketNative.SOL_SOCKET, SocketNative.SO_REUSEADDR, subject);
            // Accepted sockets inherit it. Replies are gathered by us; waiting for more only adds delay.
            SetOption(fd, SocketNative.IPPROTO_TCP, SocketNative.TCP_NODELAY, subject);
            fixed (byte* bytes = address.Buffer.Span)
            {
                Check(SocketNative.Bind(fd, bytes, (uint)address.Size), "bind", subject);
                uint size = (uint)address.Size;
                Check(SocketNative.GetName(fd, bytes, &size), "getsockname", subject);
            }
            return new ListeningSocket(handle, subject, null)
            {
                EndPoint = (IPEndPoint)endPoint.Create(address),
            };
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>Once: the way in is there from here on.</summary>
    /// <exception cref="SystemCallException">Another came first; with the errno.</exception>
    public unsafe void Listen()
    {
        if (_isAdopted)
        {
            return;
        }
        int fd = FileDescriptor;
        if (_unixAddress is not null)
        {
            // The mode of the socket's own inode is the mode its file gets: it is never wider, whatever the
            // umask, and the umask, which belongs to the whole process, is left alone.
            Check(SocketNative.ChangeMode(fd, 0x180 /* 0600 */), "fchmod", _subject);
            fixed (byte* bytes = _unixAddress)
            {
                Check(SocketNative.Bind(fd, bytes, (uint)_unixAddress.Length), "bind", _subject);
            }
            Volatile.Write(ref _isFileRemoved, 0);
        }
        Check(SocketNative.Listen(fd, Backlog), "listen", _subject);
    }

    /// <summary>
    /// Takes a Unix socket's file away, once, so that nobody finds what is no longer served: a file that
    /// comes to be at its path later is another server's. May block, on any thread.
    /// </summary>
    public void RemoveFile()
    {
        if (Path is null || Interlocked.Exchange(ref _isFileRemoved, 1) != 0)
        {
            return;
        }
        try
        {
            File.Delete(Path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // Its directory has gone, or is no longer ours. What is left is a dead socket, which the next
            // server replaces; the end of this one does not depend on it.
        }
    }

    /// <summary>
    /// Removes the file first, so that nobody connects to what is no longer served. From any thread.
    /// </summary>
    public void Dispose()
    {
        RemoveFile();
        _handle.Dispose();
    }

    private static ListeningSocket Listening(ListeningSocket prepared)
    {
        try
        {
            prepared.Listen();
            return prepared;
        }
        catch
        {
            prepared.Dispose();
            throw;
        }
    }

    private static unsafe void SetOption(int fd, int level, int name, string subject)
    {
        int on = 1;
        Check(SocketNative.SetOption(fd, level, name, &on, sizeof(int)), "setsockopt", subject);
    }

    private static SafeFileHandle Open(int family, string subject, int flags = 0)
    {
        int type = SocketNative.SOCK_STREAM | SocketNative.SOCK_CLOEXEC | flags;
        int fd = SocketNative.Socket(family, type, 0);
        Check(fd, "socket", subject);
        return new SafeFileHandle(fd, ownsHandle: true);
    }

    private static unsafe void RemoveStale(string path, byte[] address)
    {
        byte* status = stackalloc byte[SocketNative.StatusBytes];
        int found = SocketNative.GetStatus(
            SocketNative.AT_FDCWD, path, SocketNative.AT_SYMLINK_NOFOLLOW, SocketNative.STATX_TYPE, status);
        if (found < 0)
        {
            int reason = Marshal.GetLastPInvokeError();
            if (reason == Errno.ENOENT)
            {
                return;
            }
            throw new SystemCallException("statx", path, reason);
        }
        // A connection to a plain file is refused just as one to a dead server's socket.
        int mode = *(ushort*)(status + SocketNative.StatusModeOffset);
        if ((mode & SocketNative.S_IFMT) != SocketNative.S_IFSOCK)
        {
            throw new SystemCallException("bind", path, Errno.EEXIST);
        }
        // A server that hangs has a full backlog: do not hang with it, its EAGAIN says that it is there.
        using SafeFileHandle probe = Open(SocketNative.AF_UNIX, path, NonBlocking);
        fixed (byte* bytes = address)
        {
            int fd = (int)probe.DangerousGetHandle();
            int connected = SocketNative.Connect(fd, bytes, (uint)address.Length);
            int errno = connected < 0 ? Marshal.GetLastPInvokeError() : Errno.EADDRINUSE;
            if (errno != Errno.ECONNREFUSED)
            {
                bool isBusy = errno == Errno.EAGAIN;
                throw new SystemCallException("bind", path, isBusy ? Errno.EADDRINUSE : errno);
            }
        }
        File.Delete(path);
    }

    internal static byte[] UnixAddress(string path)
    {
        int length = Encoding.UTF8.GetByteCount(path);
        if (length >= SocketNative.UnixPathBytesMax)
        {
            throw new ArgumentException(
                $"the path is too long for a socket ({length} bytes; 107 at most): {path}",
                nameof(path));
        }
        // sockaddr_un: the family in two bytes of the machine's order, then the path and a zero.
        byte[] address = new byte[sizeof(ushort) + length + 1];
        BitConverter.TryWriteBytes(address, (ushort)SocketNative.AF_UNIX);
        Encoding.UTF8.GetBytes(path, address.AsSpan(sizeof(ushort)));
        return address;
    }

    private static void Check(int result, string call, string subject)
    {
        if (result < 0)
        {
            throw new SystemCallException(call, subject, Marshal.GetLastPInvokeError());
        }
    }
}
