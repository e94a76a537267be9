using System;
using System.Net.Security;
using System.Runtime.InteropServices;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Sockets;
using DmRemap.Nbd;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Cli.Tls;

/// <summary>
/// Starts TLS on connections that ask for it. The data thread hands over the client's socket and goes on with
/// one end of a pair; a relay on the control plane sits between, so no key and no record is the data thread's
/// business.
/// </summary>
internal sealed class TlsDoor : IDisposable
{
    /// <summary>
    /// Relays at once: those of open connections, and some whose last bytes are still leaving.
    /// </summary>
    private const int RelaysMax = 2 * Limits.ConnectionsMax;

    private const int HandshakesMax = Limits.ConnectionsMax / 2;

    private static readonly TimeSpan s_saidInterval = TimeSpan.FromSeconds(10);

    private readonly string _device;
    private readonly string _directory;
    private readonly TimeProvider _time;
    private readonly Action<string> _say;
    private readonly PosixSignalRegistration _reload;
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _gate = new();
    private SslServerAuthenticationOptions _credentials;
    private int _relays;
    private int _handshakes;
    private bool _isEnding;
    private long? _saidAt;

    private TlsDoor(ServeOptions options, TimeProvider time, Action<string> say)
    {
        _device = options.Name;
        _directory = options.TlsDirectory!;
        _time = time;
        _say = say;
        Mode = options.Tls;
        _credentials = TlsCredentials.Load(_device, _directory);
        Warn();
        _reload = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
        {
            context.Cancel = true;
            Reload();
        });
    }

    public NbdTlsMode Mode { get; }

    /// <summary>Null when TLS is off.</summary>
    /// <exception cref="RefusalException">The certificates cannot be used (exit 2).</exception>
    public static TlsDoor? Open(ServeOptions options, TimeProvider time, Action<string> say) =>
        options.Tls == NbdTlsMode.Off ? null : new TlsDoor(options, time, say);

    /// <summary>On the loop's thread; never blocks. False: there is no room.</summary>
    public bool TryStart(IByteStream stream)
    {
        lock (_gate)
        {
            if (_isEnding || _relays == RelaysMax || _handshakes == HandshakesMax)
            {
                return false;
            }
            if (!StreamDetour.TryInsert(stream, out SafeFileHandle? peer, out SafeFileHandle? inside))
            {
                return false;
            }
            _relays++;
            _handshakes++;
            _ = Task.Run(() => RunAsync(peer!, inside!));
        }
        return true;
    }

    /// <summary>Nobody new; completes when the relays there are have ended.</summary>
    public Task EndAsync()
    {
        lock (_gate)
        {
            _isEnding = true;
            TellIfEnded();
        }
        return _ended.Task;
    }

    public void Dispose() => _reload.Dispose();

    /// <summary>However it ends, its places are free again: a peer must not be able to use them up.</summary>
    private async Task RunAsync(SafeFileHandle peer, SafeFileHandle inside)
    {
        string? problem = "its connection had ended";
        bool isInside = false;
        try
        {
            using TlsRelay relay = new(peer, inside, Volatile.Read(ref _credentials));
            problem = await relay.HandshakeAsync();
            EndHandshake();
            isInside = true;
            if (problem is null)
            {
                await relay.CarryAsync();
            }
        }
        finally
        {
            if (!isInside)
            {
                EndHandshake();
            }
            EndRelay(problem);
        }
    }

    private void EndHandshake()
    {
        lock (_gate)
        {
            _handshakes--;
        }
    }

    private void EndRelay(string? problem)
    {
        bool isToSay;
        lock (_gate)
        {
            _relays--;
            TellIfEnded();
            // Whoever connects again and again must not fill a log.
            isToSay = problem is not null
                && (_saidAt is null || _time.GetElapsedTime(_saidAt.Value) >= s_saidInterval);
            _saidAt = isToSay ? _time.GetTimestamp() : _saidAt;
        }
        // Not with the gate held: the data thread takes it, and output may block.
        if (isToSay)
        {
            _say($"DMR-EVENT-TLS-REFUSED {_device}: a client was not let in: {problem}");
        }
    }

    private void TellIfEnded()
    {
        if (_isEnding && _relays == 0)
        {
            _ended.TrySetResult();
        }
    }

    /// <summary>For connections to come; those there are keep what they have.</summary>
    private void Reload()
    {
        try
        {
            Volatile.Write(ref _credentials, TlsCredentials.Load(_device, _directory));
            _say($"DMR-EVENT-TLS-RELOADED {_device}: the certificates in {_directory} are read anew");
            Warn();
        }
        catch (RefusalException e)
        {
            _say($"DMR-EVENT-TLS-NOT-RELOADED {_device}: {e.Message} The former ones stay in use.");
        }
    }

    private void Warn()
    {
        if (TlsCredentials.IsKeyExposed(_directory))
        {
            _say($"DMR-TLS-KEY-READABLE {_device}: {TlsCredentials.KeyPath(_directory)} can be read by "
                + "everybody on this machine; chmod it to 0600");
        }
        if (!TlsCredentials.DemandsCertificates(_credentials))
        {
            _say($"DMR-TLS-NO-CA {_device}: there is no ca-cert.pem in {_directory}, so no certificate is "
                + "asked of clients: whoever reaches the server is served");
        }
    }
}
