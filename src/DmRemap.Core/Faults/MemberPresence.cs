using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults;

/// <summary>
/// Is a member's disk there? It is gone from the first error that says so (F-17) until it answers again, or a
/// person says that it is back. Whether requests are kept meanwhile is the policy's to say, and for how long:
/// counted from when it went, and a disk that comes for a moment and goes again has not come back for that.
/// <code>
///   here ── gone ──▶ keeping ── patience is over, or the device stops ──▶ failing
///    ▲                  │                                                   │
///    └──── answers ─────┴──────────────────── answers ◀─────────────────────┘
/// </code>
/// </summary>
public sealed class MemberPresence(OnGone policy)
{
    private Instant _since;
    private Instant _backAt;
    private bool _wasGone;
    private bool _isEnding;

    /// <summary>Between two looks whether a disk is back.</summary>
    public static Duration LookPause => Duration.FromSeconds(1);

    /// <summary>A disk that goes again before it was here for so long was never back.</summary>
    public static Duration Settling => Duration.FromSeconds(10);

    public bool IsGone { get; private set; }

    /// <summary>Since when, while it is gone.</summary>
    public Instant Since => _since;

    /// <summary>It was there, and answered as a disk does that is not.</summary>
    public void OnGone(Instant now)
    {
        Invariant.Check(!IsGone);
        bool wasHere = !_wasGone || now - _backAt >= Settling;
        _since = wasHere ? now : _since;
        _wasGone = true;
        IsGone = true;
    }

    /// <summary>It answered as the disk it was, or a person says that it is back.</summary>
    public void OnBack(Instant now)
    {
        Invariant.Check(IsGone);
        IsGone = false;
        _backAt = now;
    }

    /// <summary>Are requests for it kept now?</summary>
    public bool Keeps(Instant now) =>
        IsGone && policy.Keeps && !_isEnding
        && (policy.Patience is not Duration patience || now - _since < patience);

    /// <summary>How much longer they are kept; null: they are not, or until it is back.</summary>
    public Duration? Left(Instant now) =>
        Keeps(now) && policy.Patience is Duration patience
            ? new Duration(patience.Nanoseconds - (now - _since).Nanoseconds)
            : null;

    /// <summary>The device ends: nothing is kept any more.</summary>
    public void EndKeeping() => _isEnding = true;
}
