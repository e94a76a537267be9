using System.Net;
using System.Net.Sockets;
using System.Text;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Sockets;

/// <summary>Where to connect to: a Unix socket's path, or a host and port.</summary>
/// <param name="SocketPath">Empty for TCP.</param>
/// <param name="Host">A name or an address; empty for a Unix socket.</param>
/// <param name="Port">Of TCP.</param>
public sealed record StreamAddress(string SocketPath, string Host, int Port)
{
    public bool IsUnix => SocketPath.Length > 0;

    /// <summary>
    /// The addresses to try, in order; none for a name that leads nowhere. May wait for a name server.
    /// </summary>
    internal (int Family, byte[] Address)[] Resolve()
    {
        if (IsUnix)
        {
            return Encoding.UTF8.GetByteCount(SocketPath) < SocketNative.UnixPathBytesMax
                ? [(SocketNative.AF_UNIX, ListeningSocket.UnixAddress(SocketPath))]
                : [];
        }
        IPAddress[] found;
        try
        {
            found = IPAddress.TryParse(Host, out IPAddress? literal)
                ? [literal]
                : Dns.GetHostAddresses(Host);
        }
        catch (SocketException)
        {
            return [];
        }
        (int, byte[])[] addresses = new (int, byte[])[found.Length];
        for (int i = 0; i < found.Length; i++)
        {
            SocketAddress address = new IPEndPoint(found[i], Port).Serialize();
            int family = found[i].AddressFamily == AddressFamily.InterNetworkV6
                ? SocketNative.AF_INET6
                : SocketNative.AF_INET;
            addresses[i] = (family, address.Buffer[..address.Size].ToArray());
        }
        return addresses;
    }
}
