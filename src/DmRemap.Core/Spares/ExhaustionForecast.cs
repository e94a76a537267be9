using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Spares;

/// <summary>
/// When will the spares have no unit left, if units go on moving as they did in the last day? Bad sectors
/// come in bursts, so that a few moves say nothing, nor do the first minutes: without <see cref="MovesMin"/>
/// of them and <see cref="BaseMin"/> of time there is no forecast. Of this process's life only.
/// </summary>
public sealed class ExhaustionForecast(Instant began)
{
    /// <summary>Fewer moves in the window give no rate.</summary>
    public const int MovesMin = 10;

    private const int BucketSeconds = 3600;
    private const int Buckets = 24;
    private const long NanosecondsPerSecond = 1_000_000_000;

    private readonly int[] _moves = new int[Buckets];
    private long _bucket = began.Nanoseconds / NanosecondsPerSecond / BucketSeconds;

    /// <summary>A shorter time gives no rate either.</summary>
    public static Duration BaseMin => Duration.FromSeconds(600);

    /// <summary>A unit got a spare unit.</summary>
    /// <param name="now">Not before the last call's.</param>
    public void OnMoved(Instant now)
    {
        Advance(now);
        _moves[_bucket % Buckets]++;
    }

    /// <summary>Units that moved in the last day, or since the beginning where that is later.</summary>
    public long MovesInWindow(Instant now)
    {
        Advance(now);
        long moves = 0;
        foreach (int count in _moves)
        {
            moves += count;
        }
        return moves;
    }

    /// <summary>Units an hour; 0 where there are too few to tell.</summary>
    public double MovesPerHour(Instant now)
    {
        long moves = MovesInWindow(now);
        return moves < MovesMin || now - began < BaseMin
            ? 0
            : moves * (double)BucketSeconds / SecondsInWindow(now);
    }

    /// <summary>Null where it is too early to tell, too few units moved, or none is left.</summary>
    /// <param name="allocatable">Units that the spares can still lend.</param>
    /// <param name="now">Not before the last call's.</param>
    public long? SecondsLeft(long allocatable, Instant now)
    {
        double rate = MovesPerHour(now);
        return rate <= 0 || allocatable <= 0
            ? null
            : (long)Math.Min(allocatable / rate * BucketSeconds, long.MaxValue / 2);
    }

    /// <summary>What the buckets cover.</summary>
    private long SecondsInWindow(Instant now)
    {
        long second = now.Nanoseconds / NanosecondsPerSecond;
        long oldest = (_bucket - Buckets + 1) * BucketSeconds;
        return second - Math.Max(oldest, began.Nanoseconds / NanosecondsPerSecond);
    }

    private void Advance(Instant now)
    {
        long bucket = now.Nanoseconds / NanosecondsPerSecond / BucketSeconds;
        for (long step = Math.Min(bucket - _bucket, Buckets); step > 0; step--)
        {
            _moves[(bucket - step + 1) % Buckets] = 0;
        }
        _bucket = Math.Max(bucket, _bucket);
    }
}
