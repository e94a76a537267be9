using System;
using System.Collections.Generic;
using System.Globalization;
using System.Net;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Sockets;

namespace DmRemap.Cli.Composition;

/// <summary>
/// The protocol of sd_listen_fds(3): LISTEN_FDS descriptors, from 3 on, are meant for the process that
/// LISTEN_PID names. Their names (LISTEN_FDNAMES) say nothing that is needed here.
/// </summary>
internal static class SocketActivation
{
    /// <summary>More is a mistake: each has its place on the ring.</summary>
    public const int SocketsMax = 16;

    private const int First = 3;

    /// <summary>The sockets passed to this process; none when it was started by itself.</summary>
    /// <exception cref="RefusalException">One that cannot be served (exit 2, 5).</exception>
    public static IReadOnlyList<ListeningSocket> Take(
        string device, Func<string, string?> environment, bool isProtected)
    {
        int count = Count(device, environment);
        List<ListeningSocket> sockets = [];
        for (int fd = First; fd < First + count; fd++)
        {
            ListeningSocket socket = ListeningSocket.TryAdopt(fd, out string problem)
                ?? throw new RefusalException(new Refusal(
                    "DMR-ACTIVATION-SOCKET",
                    ExitCode.Usage,
                    device,
                    $"Descriptor {fd} was passed to be served, but {problem}.",
                    "Pass listening stream sockets only (ListenStream= with Accept=no in systemd)."));
            if (!isProtected)
            {
                RequireLoopback(device, fd, socket);
            }
            sockets.Add(socket);
        }
        return sockets;
    }

    /// <summary>The variables are there, right or wrong, and meant for this process.</summary>
    public static bool IsMeant(Func<string, string?> environment) =>
        environment("LISTEN_FDS") is not null
            && environment("LISTEN_PID") == Environment.ProcessId.ToString(CultureInfo.InvariantCulture);

    /// <summary>0 when the variables are meant for another process, or are not there.</summary>
    internal static int Count(string device, Func<string, string?> environment)
    {
        if (!IsMeant(environment))
        {
            return 0;
        }
        string? fds = environment("LISTEN_FDS");
        bool isNumber = int.TryParse(fds, NumberStyles.None, CultureInfo.InvariantCulture, out int count);
        return isNumber && count <= SocketsMax
            ? count
            : throw new RefusalException(new Refusal(
                "DMR-ACTIVATION-INVALID",
                ExitCode.Usage,
                device,
                $"LISTEN_FDS is \"{fds}\": expected a number of at most {SocketsMax}.",
                "Look at whoever passes the sockets."));
    }

    private static void RequireLoopback(string device, int fd, ListeningSocket socket)
    {
        if (socket.EndPoint is IPEndPoint address && !IPAddress.IsLoopback(address.Address))
        {
            throw new RefusalException(new Refusal(
                MessageIds.ListenNotLoopback,
                ExitCode.RefusedForSafety,
                device,
                $"Descriptor {fd} listens on {address}, which can be reached from other machines, and the "
                    + "connection has no encryption or password.",
                "Pass a Unix socket or one of 127.0.0.1 or [::1], or use --tls require."));
        }
    }
}
