using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Scrubbing;

/// <summary>
/// The pauses between passes over what was given up as unreadable: 1, 2, 4 … minutes, at most a day. A new
/// loss has its first chance within an hour, however long the others have waited.
/// </summary>
public struct LossRetryPace
{
    private const int MinutesMax = 24 * 60;
    private const int DoublingsMax = 11;

    private int _passes;

    public static Duration LossPauseMax => Duration.FromSeconds(60 * 60);

    /// <summary>How long after a block was given up the next pass begins, at the latest.</summary>
    public readonly Duration OnLost()
    {
        Duration pause = PauseAfter(_passes);
        return pause < LossPauseMax ? pause : LossPauseMax;
    }

    /// <summary>How long after this pass the next one begins.</summary>
    public Duration OnPassEnded()
    {
        _passes = Math.Min(_passes + 1, DoublingsMax);
        return PauseAfter(_passes);
    }

    private static Duration PauseAfter(int passes) =>
        Duration.FromSeconds(60L * Math.Min(1 << passes, MinutesMax));
}
