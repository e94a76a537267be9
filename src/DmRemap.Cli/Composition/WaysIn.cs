using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Tls;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Sockets;
using DmRemap.Nbd;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Cli.Composition;

/// <summary>Where clients come from: decided, or refused, before anything is claimed.</summary>
internal sealed record WaysIn
{
    /// <summary>Of our own socket; null where others were passed.</summary>
    public string? SocketPath { get; init; }

    public IPEndPoint? Listen { get; init; }

    /// <summary>The only client, connected already; null where clients come by sockets.</summary>
    public SafeFileHandle? Client { get; init; }

    /// <summary>They listen already, and belong to whoever started this process.</summary>
    public IReadOnlyList<ListeningSocket> Passed { get; init; } = [];

    /// <summary>Null: without TLS.</summary>
    public TlsDoor? Tls { get; init; }

    /// <summary>The directories in which sockets are found.</summary>
    public IEnumerable<string> Directories =>
        Passed.Select(socket => socket.Path)
            .Append(SocketPath)
            .Where(path => path is not null && !path.StartsWith('@'))
            .Select(path => Path.GetDirectoryName(Path.GetFullPath(path!)) ?? "/")
            .Distinct();

    /// <exception cref="RefusalException">Exit 2 or 5.</exception>
    public static WaysIn Find(
        ServeOptions options, HostDirectories directories, Func<string, string?> environment)
    {
        IReadOnlyList<ListeningSocket> passed = SocketActivation.Take(
            options.Name, environment, options.Tls == NbdTlsMode.Require);
        if (passed.Count > 0)
        {
            RequireNoOther(options);
            return new WaysIn { Passed = passed };
        }
        if (options.Stdio)
        {
            return new WaysIn { Client = TakeStandardSocket(options.Name) };
        }
        string socketPath = options.SocketPath ?? directories.NbdSocketPath(options.Name);
        NbdSocketPath.Require(socketPath, options.Name);
        return new WaysIn { SocketPath = socketPath, Listen = options.Listen };
    }

    /// <summary>
    /// Encryption keeps out who listens on the way; only an authority keeps out who connects.
    /// </summary>
    /// <exception cref="RefusalException">Exit 5.</exception>
    public void RequireKnownClients(ServeOptions options)
    {
        IPEndPoint? exposed = Passed.Select(socket => socket.EndPoint).Append(Listen)
            .FirstOrDefault(address => address is not null && !IPAddress.IsLoopback(address.Address));
        if (exposed is null || options.AdmitsAnyTlsClient || Tls is null or { DemandsCertificates: true })
        {
            return;
        }
        throw new RefusalException(new Refusal(
            "DMR-TLS-ANY-CLIENT",
            ExitCode.RefusedForSafety,
            options.Name,
            $"{exposed} can be reached from other machines, and there is no ca-cert.pem in "
                + $"{options.TlsDirectory}: whoever connects could read and write the device.",
            "Put the authority of your clients' certificates there as ca-cert.pem; if everybody may come in, "
                + "say --tls-any-client."));
    }

    /// <summary>
    /// What nbdkit and qemu-nbd do: sockets that are passed replace all others, and whoever asks for others
    /// at the same time is told so.
    /// </summary>
    private static void RequireNoOther(ServeOptions options)
    {
        if (options.SocketPath is not null || options.Listen is not null || options.Stdio)
        {
            throw new RefusalException(new Refusal(
                MessageIds.Usage,
                ExitCode.Usage,
                options.Name,
                "Sockets were passed to this process (LISTEN_FDS), and --socket, --listen or --stdio "
                    + "asks for others.",
                "Leave these options out: the sockets are chosen by whoever passes them."));
        }
    }

    private static SafeFileHandle TakeStandardSocket(string device) =>
        StandardSocket.TryTake(out string problem)
            ?? throw new RefusalException(new Refusal(
                "DMR-STDIO-NO-SOCKET",
                ExitCode.Usage,
                device,
                $"--stdio: {problem}.",
                "Let a client start the program with a socket on both, as libnbd's connect_command does; "
                    + "else leave --stdio out."));
}
