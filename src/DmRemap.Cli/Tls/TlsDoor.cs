using System;
using System.IO;
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

    private static readonly TimeSpan s_saidInterval = TimeSpan.FromSeconds(10);

    private readonly string _device;
    private readonly string _directory;
    private readonly TimeProvider _time;
    private readonly Action<string> _say;
    private readonly PosixSignalRegistration _reload;
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _ending = new();

    private readonly Lock _gate = new();

    /// <summary>Held while files are read, so never with _gate.</summary>
    private readonly Lock _reloading = new();
    private SslServerAuthenticationOptions _credentials;
    private int _relays;
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

    /// <summary>Of each client; else whoever reaches the server is served.</summary>
    public bool DemandsCertificates => TlsCredentials.DemandsCertificates(Volatile.Read(ref _credentials));

    /// <summary>Connections between their STARTTLS and their last byte.</summary>
    internal int Relays
    {
        get
        {
            lock (_gate)
            {
                return _relays;
            }
        }
    }

    /// <summary>Null when TLS is off.</summary>
    /// <exception cref="RefusalException">The certificates cannot be used (exit 2).</exception>
    public static TlsDoor? Open(ServeOptions options, TimeProvider time, Action<string> say) =>
        options.Tls == NbdTlsMode.Off ? null : new TlsDoor(options, time, say);

    /// <summary>On the loop's thread; never blocks. False: there is no room.</summary>
    public bool TryStart(IByteStream stream)
    {
        lock (_gate)
        {
            if (_isEnding || _relays == RelaysMax)
            {
                return false;
            }
            if (!StreamDetour.TryInsert(stream, out SafeFileHandle? peer, out SafeFileHandle? inside))
            {
                return false;
            }
            _relays++;
            _ = Task.Run(() => RunAsync(peer!, inside!));
        }
        return true;
    }

    /// <summary>
    /// Nobody new, and nobody who is not inside yet; completes when the relays there are have ended.
    /// </summary>
    public async Task EndAsync()
    {
        lock (_gate)
        {
            _isEnding = true;
            TellIfEnded();
        }
        await _ending.CancelAsync();
        await _ended.Task;
    }

    public void Dispose() => _reload.Dispose();

    /// <summary>For connections to come; those there are keep what they have.</summary>
    internal void Reload()
    {
        string said;
        // One after the other, or the later of two could leave what the earlier one has read.
        lock (_reloading)
        {
            said = Replace();
        }
        _say(said);
        Warn();
    }

    private string Replace()
    {
        try
        {
            SslServerAuthenticationOptions anew = TlsCredentials.Load(_device, _directory);
            if (DemandsCertificates && !TlsCredentials.DemandsCertificates(anew))
            {
                return NotReloaded(
                    $"There is no ca-cert.pem in {_directory} any more: everybody would be let in.");
            }
            Volatile.Write(ref _credentials, anew);
            return $"DMR-EVENT-TLS-RELOADED {_device}: the certificates in {_directory} are read anew";
        }
        catch (RefusalException e)
        {
            return NotReloaded(e.Message);
        }
    }

    private string NotReloaded(string why) =>
        $"DMR-EVENT-TLS-NOT-RELOADED {_device}: {why} The former ones stay in use.";

    /// <summary>However it ends, its place is free again: a peer must not be able to use them up.</summary>
    private async Task RunAsync(SafeFileHandle peer, SafeFileHandle inside)
    {
        string? problem = "its connection had ended";
        try
        {
            using TlsRelay relay = new(peer, inside, Volatile.Read(ref _credentials));
            problem = await relay.HandshakeAsync(_ending.Token);
            if (problem is null)
            {
                await relay.CarryAsync();
            }
        }
        catch (IOException)
        {
            // Gone before its first record.
        }
        finally
        {
            EndRelay(problem);
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
                && !_isEnding
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

    private void Warn()
    {
        if (IsKeyExposed())
        {
            _say($"DMR-TLS-KEY-READABLE {_device}: {TlsCredentials.KeyPath(_directory)} can be read by "
                + "everybody on this machine; chmod it to 0600");
        }
        if (!DemandsCertificates)
        {
            _say($"DMR-TLS-NO-CA {_device}: there is no ca-cert.pem in {_directory}, so no certificate is "
                + "asked of clients: whoever reaches the server is served");
        }
    }

    private bool IsKeyExposed()
    {
        try
        {
            return TlsCredentials.IsKeyExposed(_directory);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Gone since it was read: a signal's handler must not end the process for that.
            return false;
        }
    }
}
