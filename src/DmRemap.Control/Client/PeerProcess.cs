using System;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace DmRemap.Control.Client;

/// <summary>Who is at the other end of a Unix socket, as the kernel knows it.</summary>
internal static class PeerProcess
{
    private const int SolSocket = 1;
    private const int PeerCredentials = 17;

    /// <summary>pid, uid, gid: struct ucred.</summary>
    private const int CredentialsBytes = 12;

    /// <summary>Null: it is not told, or lives where this process sees no numbers.</summary>
    public static int? Of(Socket connected)
    {
        Span<byte> credentials = stackalloc byte[CredentialsBytes];
        try
        {
            int bytes = connected.GetRawSocketOption(SolSocket, PeerCredentials, credentials);
            int process = MemoryMarshal.Read<int>(credentials);
            return bytes == CredentialsBytes && process > 0 ? process : null;
        }
        catch (SocketException)
        {
            return null;
        }
    }
}
