using DmRemap.Core.Abstractions;

namespace DmRemap.Engine.Background;

/// <summary>
/// The second pass of F-35: while what was given up is read again, the main device's drive may take as long
/// as it likes over a sector, and at all other times it gives up soon. The drive is told from outside the
/// loop, which takes a while; a read waits for that, but not for ever. Loop thread only, but for
/// <see cref="IsWanted"/>.
/// </summary>
public sealed class PatientPass(bool isUsed)
{
    private static readonly Duration s_wait = Duration.FromSeconds(30);

    private volatile bool _isWanted;
    private Instant _since;

    /// <summary>Any thread may look.</summary>
    public bool IsWanted => _isWanted;

    /// <summary>
    /// The drive was told, as far as it can be; set by who tells it, and taken back before that.
    /// </summary>
    public bool IsGranted { get; set; }

    /// <summary>May a block that was given up be read now? Asks for the drive's patience if not.</summary>
    internal bool MayRead(Instant now)
    {
        if (!isUsed)
        {
            return true;
        }
        if (!_isWanted)
        {
            _since = now;
            _isWanted = true;
        }
        // A drive that nobody can tell anything is read as it is.
        return IsGranted || now - _since >= s_wait;
    }

    /// <summary>Nothing of the kind is left to be read for now.</summary>
    internal void End() => _isWanted = false;
}
