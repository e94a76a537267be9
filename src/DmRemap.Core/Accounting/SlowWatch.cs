using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Accounting;

/// <summary>
/// Is a device slow, as disks become before they fail? Its reads and writes against its own past, and an
/// operation that it has not answered for long. A few bad windows begin it, many good ones end it, and what
/// lies between changes nothing, so that it does not flap. While it is slow nothing is learned: a disk does
/// not get used to that.
/// <code>
///   usual ──(3 slow windows, or an operation out for 5 s)──▶ slow
///   slow ──(12 calm windows, or 60 that say nothing)──▶ usual
/// </code>
/// </summary>
public sealed class SlowWatch
{
    public const int SlowWindowsMin = 3;
    public const int CalmWindowsMin = 12;
    public const int QuietWindowsMin = 60;

    private int _slowWindows;
    private int _calmWindows;
    private int _quietWindows;

    /// <summary>An operation that is out for so long makes its device slow by itself.</summary>
    public static Duration OldestMax => Duration.FromMilliseconds(5000);

    public LatencyTrend Reads { get; } = new();

    public LatencyTrend Writes { get; } = new();

    public bool IsSlow { get; private set; }

    /// <summary>A window is over. True when it has become slow, or is so no longer.</summary>
    /// <param name="operations">All that it has done.</param>
    /// <param name="length">Of the window.</param>
    /// <param name="oldest">Since when the oldest that it has not answered is out; zero: none.</param>
    public bool Look(OperationLatencies operations, Duration length, Duration oldest)
    {
        Reads.Take(operations.Reads, length);
        Writes.Take(operations.Writes, length);
        bool isStuck = oldest >= OldestMax;
        bool isSlow = isStuck || Reads.IsSlow || Writes.IsSlow;
        bool isTelling = Reads.IsTelling || Writes.IsTelling;
        bool isCalm = !isSlow && isTelling
            && (Reads.IsCalm || !Reads.IsTelling) && (Writes.IsCalm || !Writes.IsTelling);
        if (isCalm && !IsSlow)
        {
            Reads.Learn();
            Writes.Learn();
        }
        _slowWindows = isSlow ? _slowWindows + 1 : isCalm ? 0 : _slowWindows;
        _calmWindows = isCalm ? _calmWindows + 1 : isSlow ? 0 : _calmWindows;
        _quietWindows = isTelling || isSlow ? 0 : _quietWindows + 1;
        bool was = IsSlow;
        if (!was)
        {
            IsSlow = isStuck || _slowWindows >= SlowWindowsMin;
        }
        else if (_calmWindows >= CalmWindowsMin || _quietWindows >= QuietWindowsMin)
        {
            IsSlow = false;
            _slowWindows = 0;
        }
        return was != IsSlow;
    }
}
