using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults;

/// <summary>
/// What becomes of requests for a disk that is gone: failed at once (the default of the type), or kept until
/// it is back, for so long at most.
/// </summary>
public readonly record struct OnGone
{
    private OnGone(bool keeps, Duration? patience)
    {
        Keeps = keeps;
        Patience = patience;
    }

    public static OnGone Fail => default;

    /// <summary>For as long as it takes.</summary>
    public static OnGone Hold => new(true, null);

    /// <summary>
    /// Two minutes: a cable put back, a link that was reset or a server that is restarted takes less, and a
    /// file system that sees one error of a disk that is gone for a moment may give up for good.
    /// </summary>
    public static OnGone Default => HoldFor(Duration.FromSeconds(120));

    public bool Keeps { get; }

    /// <summary>Since the disk was gone; null: endless.</summary>
    public Duration? Patience { get; }

    public static OnGone HoldFor(Duration patience)
    {
        Invariant.Check(Duration.Zero < patience);
        return new OnGone(true, patience);
    }
}
