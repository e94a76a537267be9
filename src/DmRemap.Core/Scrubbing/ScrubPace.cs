using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Scrubbing;

/// <summary>
/// How fast a scrub reads. Alone, at its rate. While clients have requests at the device it waits, for each
/// step up to nine times as long again, so that it also comes to an end on a device that is never idle.
/// </summary>
public struct ScrubPace(long bytesPerSecond)
{
    public const long RateDefault = 16L << 20;
    public const long RateMin = 64L << 10;
    public const long RateMax = 100L << 30;

    private const int PostponementsMax = 9;

    private readonly long _bytesPerSecond = bytesPerSecond;
    private int _postponements;

    /// <summary>From the beginning of a step to the next look whether one may begin.</summary>
    public readonly Duration Interval(long stepBytes) =>
        new((long)((System.Int128)stepBytes * 1_000_000_000 / _bytesPerSecond));

    /// <summary>False: not now, look again after another interval.</summary>
    public bool MayBegin(bool isDeviceBusy)
    {
        if (isDeviceBusy && _postponements < PostponementsMax)
        {
            _postponements++;
            return false;
        }
        _postponements = 0;
        return true;
    }
}
