using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Net;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Parsing;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Flushing;
using DmRemap.Core.Healing;
using DmRemap.Core.Spares;
using DmRemap.Linux.Loop;
using DmRemap.Nbd;

namespace DmRemap.Cli.Commands;

internal sealed class ServeCommand
{
    private const int MetadataDeadlineSecondsMin = 1;
    private const long NanosecondsPerSecond = 1_000_000_000;

    private readonly Argument<string> _name = CommonOptions.Name();

    private readonly Option<string?> _socket = new("--socket")
    {
        Description = "The NBD socket; otherwise NAME.nbd in the run directory.",
        HelpName = "PATH",
    };

    private readonly Option<IPEndPoint?> _listen = new("--listen")
    {
        Description = "Serve NBD on this address too: of loopback, or any with --tls require. Port 0 takes a "
            + "free one.",
        HelpName = "HOST:PORT",
        CustomParser = ParseListen,
    };

    private readonly Option<bool> _stdio = new("--stdio")
    {
        Description = "Serve one client on standard input and output (one socket), and end with it.",
    };

    private readonly Option<NbdTlsMode> _tls = new("--tls")
    {
        Description = "Encryption of NBD: offered, or required of every client. Needs --tls-dir.",
        HelpName = "off|allow|require",
        CustomParser = ParseTls,
    };

    private readonly Option<string?> _tlsDirectory = new("--tls-dir")
    {
        Description = "server-cert.pem, server-key.pem; with ca-cert.pem, clients need a certificate of it.",
        HelpName = "DIR",
    };

    private readonly Option<bool> _tlsAnyClient = new("--tls-any-client")
    {
        Description = "With --tls require and no ca-cert.pem: serve every client that other machines have.",
    };

    private readonly Option<bool> _readOnly = new("--read-only")
    {
        Description = "Refuse every write of clients. The main device is not written; metadata on the spares "
            + "still is.",
    };

    private readonly Option<string?> _faults = new("--faults")
    {
        Description = "Make sectors of the main device fail as this file of rules says, to rehearse.",
        HelpName = "FILE",
    };

    private readonly Option<bool> _degraded = new("--degraded")
    {
        Description = "Start although spares are missing; what only they hold fails with I/O errors.",
    };

    private readonly Option<bool> _trustCopies = new("--trust-copies")
    {
        Description = "With --degraded, of a device with two copies: read the second copies of what is on "
            + "missing spares also where the last stop was not clean. They have all that was flushed; what "
            + "was written just before may be older in them.",
    };

    private readonly Option<string[]> _without = new("--without")
    {
        Description = "With --degraded: leave this spare out; may be repeated.",
        HelpName = "PATH",
    };

    private readonly Option<double> _metadataDeadline = new("--metadata-deadline")
    {
        Description = $"Seconds after which a metadata write is given up ({MetadataDeadlineSecondsMin} to "
            + $"{ControlProtocol.DeadlineSecondsMax}, default "
            + $"{ServeOptions.MetadataDeadlineSecondsDefault}).",
        HelpName = "S",
        CustomParser = ParseMetadataDeadline,
        DefaultValueFactory = _ => ServeOptions.MetadataDeadlineSecondsDefault,
    };

    private readonly Option<int> _readRetries = new("--read-retries")
    {
        Description = $"How often a sector that does not read is tried again at once, beyond the three times "
            + $"that it is read anyway (0 to {Limits.ReadRetriesMax}, default {Limits.ReadRetriesDefault}). "
            + "Whoever asked for it waits, at most half a minute of new tries.",
        HelpName = "N",
        CustomParser = ParseReadRetries,
        DefaultValueFactory = _ => Limits.ReadRetriesDefault,
    };

    private readonly Option<bool> _noProbe = new("--no-probe")
    {
        Description = "Do not read around sectors that turn out bad, to find weak ones there.",
    };

    private readonly Option<bool> _noWeakCopies = new("--no-weak-copies")
    {
        Description = "Leave sectors that read only after failing where they are, as long as they do.",
    };

    private readonly Option<OnGone?> _onGone = new("--on-gone")
    {
        Description = "What becomes of requests for a disk that is gone: wait for its return, so many "
            + "seconds at most, or fail at once with an I/O error (default hold:"
            + $"{OnGone.Default.Patience!.Value.Nanoseconds / NanosecondsPerSecond}). The seconds count from "
            + "when it first went, until it has been back for "
            + $"{MemberPresence.Settling.Nanoseconds / NanosecondsPerSecond} seconds on end.",
        HelpName = OnGoneText.Form,
        CustomParser = ParseOnGone,
    };

    private readonly Option<HealPolicy?> _heal = new("--heal")
    {
        Description = "Rewrite in place, in the background, what moved because the disk failed there, and "
            + "use the place again once it has kept it: a pass every so many seconds (default on:"
            + $"{HealPolicy.IntervalDefault.Nanoseconds / NanosecondsPerSecond}).",
        HelpName = HealText.Form,
        CustomParser = ParseHeal,
    };

    private readonly Option<SparePlacement> _placement = new("--placement")
    {
        Description = "From which of several spares a unit comes: the first that has one, the one with the "
            + "most left, or the one of which the smallest part has failed (default first-fit).",
        HelpName = PlacementText.Form,
        CustomParser = ParsePlacement,
    };

    private readonly Option<ErrorRecoveryPolicy> _erc = new("--erc")
    {
        Description = "How long an ATA drive may try over a sector (SCT ERC, by smartctl): as it is, so many "
            + $"seconds (1 to {ErrorRecoveryPolicy.SecondsMax}), or reads as long as the drive likes, with "
            + "the kernel's time-out raised to match; 7+max: 7 seconds, and as long as it likes while what "
            + "was lost is tried again. Put back at the end (default keep).",
        HelpName = ErrorRecoveryPolicyText.Form,
        CustomParser = ParseErc,
    };

    private readonly Option<double> _readDeadline = new("--read-deadline")
    {
        Description = "Seconds after which a client's read that has no answer fails with an I/O error "
            + "(default none). Writes and flushes wait for their disk as ever.",
        HelpName = ReadDeadlineText.Form,
        CustomParser = ParseReadDeadline,
    };

    private readonly Option<WriteCachePolicy> _writeCache = new("--write-cache")
    {
        Description = "The main disk's own write cache, out of which errors come too late to be remapped: "
            + "switch it off in the drive; force every write through it (fua), always or (auto, the "
            + "default) from the first bad sector on; or leave all as it is.",
        HelpName = WriteCacheText.Form,
        CustomParser = ParseWriteCache,
    };

    private readonly Option<LoopBackend> _backend = new("--backend")
    {
        Description = "How I/O reaches the kernel; otherwise io_uring where it is permitted, else epoll.",
        HelpName = "io_uring|epoll",
        CustomParser = ParseBackend,
    };

    private readonly Option<bool> _acceptRollback = CommonOptions.AcceptRollback();
    private readonly Option<bool> _acceptChangedMain = CommonOptions.AcceptChangedMain();

    public static Command Build(CliServices services, CommonOptions common)
    {
        ServeCommand parts = new();
        Command command = new(
            "serve", "Serve a device over NBD, in the foreground, until SIGTERM, SIGINT or `stop`.")
        {
            parts._name, parts._socket, parts._listen, parts._stdio, parts._tls, parts._tlsDirectory,
            parts._tlsAnyClient, parts._readOnly, parts._faults, parts._degraded, parts._trustCopies,
            parts._without,
            parts._metadataDeadline, parts._readRetries, parts._noProbe, parts._noWeakCopies, parts._onGone,
            parts._readDeadline, parts._writeCache, parts._heal, parts._placement, parts._erc, parts._backend,
            parts._acceptRollback, parts._acceptChangedMain,
        };
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    public static IPEndPoint? ParseListen(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!ListenText.TryParse(text, out IPEndPoint? address))
        {
            result.AddError($"--listen {text}: expected {ListenText.Form}.");
        }
        return address;
    }

    private static NbdTlsMode ParseTls(ArgumentResult result)
    {
        switch (result.Tokens[0].Value)
        {
            case "off":
                return NbdTlsMode.Off;
            case "allow":
                return NbdTlsMode.Allow;
            case "require":
                return NbdTlsMode.Require;
            default:
                result.AddError($"--tls {result.Tokens[0].Value}: expected off, allow or require.");
                return NbdTlsMode.Off;
        }
    }

    public static LoopBackend ParseBackend(ArgumentResult result)
    {
        switch (result.Tokens[0].Value)
        {
            case "io_uring":
                return LoopBackend.IoUring;
            case "epoll":
                return LoopBackend.Epoll;
            default:
                result.AddError($"--backend {result.Tokens[0].Value}: expected io_uring or epoll.");
                return LoopBackend.Automatic;
        }
    }

    private static OnGone? ParseOnGone(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!OnGoneText.TryParse(text, out OnGone policy))
        {
            result.AddError($"--on-gone {text}: expected {OnGoneText.Form}, at least one second.");
        }
        return policy;
    }

    private static SparePlacement ParsePlacement(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!PlacementText.TryParse(text, out SparePlacement placement))
        {
            result.AddError($"--placement {text}: expected {PlacementText.Form}.");
        }
        return placement;
    }

    private static HealPolicy? ParseHeal(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!HealText.TryParse(text, out HealPolicy policy))
        {
            result.AddError($"--heal {text}: expected {HealText.Form}, at least one second.");
        }
        return policy;
    }

    private static ErrorRecoveryPolicy ParseErc(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!ErrorRecoveryPolicyText.TryParse(text, out ErrorRecoveryPolicy policy))
        {
            result.AddError($"--erc {text}: expected {ErrorRecoveryPolicyText.Form}, 1 to "
                + $"{ErrorRecoveryPolicy.SecondsMax} seconds.");
        }
        return policy;
    }

    private static double ParseReadDeadline(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!ReadDeadlineText.TryParse(text, out double seconds))
        {
            result.AddError($"--read-deadline {text}: expected {ReadDeadlineText.Form}, "
                + $"{ReadDeadlineText.SecondsMin} to {ReadDeadlineText.SecondsMax} seconds.");
        }
        return seconds;
    }

    private static WriteCachePolicy ParseWriteCache(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!WriteCacheText.TryParse(text, out WriteCachePolicy policy))
        {
            result.AddError($"--write-cache {text}: expected {WriteCacheText.Form}.");
        }
        return policy;
    }

    private static int ParseReadRetries(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        bool isNumber = int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int retries);
        if (!isNumber || retries > Limits.ReadRetriesMax)
        {
            result.AddError($"--read-retries {text}: expected 0 to {Limits.ReadRetriesMax}.");
        }
        return retries;
    }

    private static double ParseMetadataDeadline(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        bool isNumber = double.TryParse(
            text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double seconds);
        bool isInside =
            seconds >= MetadataDeadlineSecondsMin && seconds <= ControlProtocol.DeadlineSecondsMax;
        if (!isNumber || !isInside)
        {
            result.AddError(
                $"--metadata-deadline {text}: expected seconds, {MetadataDeadlineSecondsMin} to "
                    + $"{ControlProtocol.DeadlineSecondsMax}.");
        }
        return seconds;
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        ServeOptions options = new()
        {
            Name = parsed.GetRequiredValue(_name),
            SocketPath = parsed.GetValue(_socket),
            Listen = parsed.GetValue(_listen),
            Stdio = parsed.GetValue(_stdio),
            Tls = parsed.GetValue(_tls),
            TlsDirectory = parsed.GetValue(_tlsDirectory),
            AdmitsAnyTlsClient = parsed.GetValue(_tlsAnyClient),
            ReadOnly = parsed.GetValue(_readOnly),
            Backend = parsed.GetValue(_backend),
            AcceptsRollback = parsed.GetValue(_acceptRollback),
            AcceptsChangedMain = parsed.GetValue(_acceptChangedMain),
            FaultsPath = parsed.GetValue(_faults),
            Degraded = parsed.GetValue(_degraded),
            TrustsCopies = parsed.GetValue(_trustCopies),
            Without = parsed.GetValue(_without) is { Length: > 0 } paths ? paths : [],
            MetadataDeadlineSeconds = parsed.GetValue(_metadataDeadline),
            ReadRetries = parsed.GetValue(_readRetries),
            ProbesNeighbourhood = !parsed.GetValue(_noProbe),
            CopiesWeak = !parsed.GetValue(_noWeakCopies),
            OnGone = parsed.GetValue(_onGone) ?? OnGone.Default,
            Heal = parsed.GetValue(_heal) ?? HealPolicy.Default,
            Placement = parsed.GetValue(_placement),
            ErrorRecovery = parsed.GetValue(_erc),
            WriteCache = parsed.GetValue(_writeCache),
            ReadDeadlineSeconds = parsed.GetValue(_readDeadline),
        };
        DeviceName.Require(options.Name);
        if (options.Tls != NbdTlsMode.Require)
        {
            RequireLoopback(options.Name, options.Listen);
        }
        RequireTlsDirectory(options);
        RequireStdioAlone(options, parsed.GetValue(common.Json));
        RequireDegraded(options);
        CommandOutput output = common.OutputFor(services, parsed, options.Name);
        return (int)await services.Server.ServeAsync(options, output, cancellation);
    }

    private static void RequireDegraded(ServeOptions options)
    {
        if (options.TrustsCopies && !options.Degraded)
        {
            throw new RefusalException(new Refusal(
                MessageIds.Usage,
                ExitCode.Usage,
                options.Name,
                "--trust-copies is for spares that are missing, and the device is degraded then.",
                "Give --degraded too if that is what you want."));
        }
        if (options.Without.Count > 0 && !options.Degraded)
        {
            throw new RefusalException(new Refusal(
                MessageIds.Usage,
                ExitCode.Usage,
                options.Name,
                "--without leaves a spare out, and the device is degraded then.",
                "Give --degraded too if that is what you want."));
        }
    }

    private static void RequireStdioAlone(ServeOptions options, bool isJson)
    {
        bool hasOther = options.SocketPath is not null || options.Listen is not null || isJson;
        if (options.Stdio && hasOther)
        {
            throw new RefusalException(new Refusal(
                MessageIds.Usage,
                ExitCode.Usage,
                options.Name,
                "--stdio serves the client on standard input and output, and nothing else is there: neither "
                    + "--socket nor --listen, and no --json.",
                "Leave --stdio or the other out."));
        }
    }

    private static void RequireTlsDirectory(ServeOptions options)
    {
        if ((options.Tls == NbdTlsMode.Off) != (options.TlsDirectory is null))
        {
            throw new RefusalException(new Refusal(
                MessageIds.Usage,
                ExitCode.Usage,
                options.Name,
                "--tls allow, or require, and --tls-dir belong together.",
                "Give the directory with server-cert.pem and server-key.pem as --tls-dir, or neither."));
        }
        if (options.AdmitsAnyTlsClient && options.Tls != NbdTlsMode.Require)
        {
            throw new RefusalException(new Refusal(
                MessageIds.Usage,
                ExitCode.Usage,
                options.Name,
                "--tls-any-client says who may come in where TLS is required, and it is not.",
                "Give --tls require too, or leave it out."));
        }
    }

    /// <summary>NBD has neither encryption nor a password, unless TLS brings them.</summary>
    public static void RequireLoopback(string name, IPEndPoint? address)
    {
        if (address is not null && !IPAddress.IsLoopback(address.Address))
        {
            throw new RefusalException(new Refusal(
                MessageIds.ListenNotLoopback,
                ExitCode.RefusedForSafety,
                name,
                $"{address} can be reached from other machines, and the connection has no encryption or "
                    + "password.",
                "Listen on 127.0.0.1 or [::1]; where another machine needs it, use --tls require, or a "
                    + "tunnel (ssh -L)."));
        }
    }
}
