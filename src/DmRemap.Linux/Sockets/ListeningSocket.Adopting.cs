using System;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Sockets;

/// <summary>Sockets that another process has opened and passed on, as a service manager does.</summary>
public sealed partial class ListeningSocket
{
    private const int AddressBytesMax = 128;

    /// <summary>It listens already, and its file is somebody else's.</summary>
    private readonly bool _isAdopted;

    private ListeningSocket(SafeFileHandle handle, string subject, bool isUnix)
        : this(handle, subject, isUnix ? [] : null) => _isAdopted = true;

    /// <summary>
    /// Take over a descriptor that listens. Null, and why, when it does not, or carries something other than
    /// a byte stream. Nobody else in this process may close it.
    /// </summary>
    public static ListeningSocket? TryAdopt(int fd, out string problem)
    {
        problem = "";
        if (OptionOf(fd, SocketNative.SO_TYPE) is not int type)
        {
            bool isOpen = Marshal.GetLastPInvokeError() != Errno.EBADF;
            problem = isOpen ? "it is not a socket" : "it is not open";
        }
        else if (type != SocketNative.SOCK_STREAM)
        {
            problem = "it is not a stream socket";
        }
        else if (OptionOf(fd, SocketNative.SO_ACCEPTCONN) is not 1)
        {
            problem = "it does not listen (a connection of its own for each process is Accept=yes)";
        }
        else if (OptionOf(fd, SocketNative.SO_DOMAIN)
            is not (SocketNative.AF_UNIX or SocketNative.AF_INET or SocketNative.AF_INET6))
        {
            problem = "it is neither a Unix socket nor one of TCP";
        }
        return problem.Length == 0 ? Adopt(fd) : null;
    }

    private static unsafe ListeningSocket Adopt(int fd)
    {
        _ = SocketNative.Control(fd, SocketNative.F_SETFD, SocketNative.FD_CLOEXEC);
        // A ring waits by itself, and does not for a descriptor that asks not to be waited for.
        int flags = SocketNative.Control(fd, SocketNative.F_GETFL, 0);
        _ = SocketNative.Control(fd, SocketNative.F_SETFL, flags & ~SocketNative.O_NONBLOCK);
        SafeFileHandle handle = new(fd, ownsHandle: true);
        byte* bytes = stackalloc byte[AddressBytesMax];
        uint size = AddressBytesMax;
        Check(SocketNative.GetName(fd, bytes, &size), "getsockname", $"descriptor {fd}");
        ReadOnlySpan<byte> address = new(bytes, (int)Math.Min(size, AddressBytesMax));
        if (MemoryMarshal.Read<ushort>(address) == SocketNative.AF_UNIX)
        {
            return new ListeningSocket(handle, UnixPath(address[sizeof(ushort)..]), isUnix: true);
        }
        int on = 1;
        _ = SocketNative.SetOption(
            fd, SocketNative.IPPROTO_TCP, SocketNative.TCP_NODELAY, &on, sizeof(int));
        AddressFamily family = MemoryMarshal.Read<ushort>(address) == SocketNative.AF_INET6
            ? AddressFamily.InterNetworkV6
            : AddressFamily.InterNetwork;
        SocketAddress bound = new(family, address.Length);
        address[sizeof(ushort)..].CopyTo(bound.Buffer.Span[sizeof(ushort)..]);
        bool isVersion6 = family == AddressFamily.InterNetworkV6;
        IPEndPoint any = new(isVersion6 ? IPAddress.IPv6Any : IPAddress.Any, 0);
        IPEndPoint endPoint = (IPEndPoint)any.Create(bound);
        return new ListeningSocket(handle, endPoint.ToString(), isUnix: false) { EndPoint = endPoint };
    }

    /// <summary>A name in the abstract namespace begins with a zero, shown as "@".</summary>
    private static string UnixPath(ReadOnlySpan<byte> path)
    {
        bool isAbstract = !path.IsEmpty && path[0] == 0;
        string text = Encoding.UTF8.GetString(path).TrimEnd('\0');
        return isAbstract ? $"@{text.TrimStart('\0')}" : text;
    }

    private static unsafe int? OptionOf(int fd, int name)
    {
        int value = 0;
        uint size = sizeof(int);
        int result = SocketNative.GetOption(fd, SocketNative.SOL_SOCKET, name, &value, &size);
        return result < 0 ? null : value;
    }
}
