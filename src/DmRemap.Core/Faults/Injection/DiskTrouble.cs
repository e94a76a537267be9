using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults.Injection;

/// <summary>
/// What is the matter with a disk as a whole: it is away, answers nothing for a while, is cut off from its
/// host, or slow. Until an instant: an instant that has passed means no more.
/// </summary>
public sealed class DiskTrouble
{
    /// <summary>For ever, as far as a process is concerned: a century.</summary>
    public static Duration Endless => Duration.FromSeconds(100L * 365 * 24 * 3600);

    /// <summary>Every request fails at once with ENODEV.</summary>
    public bool IsGone { get; set; }

    /// <summary>Requests are held until then, and then done.</summary>
    public Instant StalledUntil { get; private set; }

    /// <summary>Requests are held until then, and then fail with EIO, whatever the sector.</summary>
    public Instant ResettingUntil { get; private set; }

    /// <summary>Until then each request takes longer.</summary>
    public Instant SlowUntil { get; private set; }

    public Duration SlowBy { get; private set; }

    public void Stall(Instant now, Duration length) => StalledUntil = Later(StalledUntil, now + length);

    public void Reset(Instant now, Duration length) => ResettingUntil = Later(ResettingUntil, now + length);

    public void Slow(Instant now, Duration length, Duration by)
    {
        SlowUntil = Later(SlowUntil, now + length);
        SlowBy = by;
    }

    /// <summary>All is well with the disk as a whole.</summary>
    public void End(Instant now)
    {
        IsGone = false;
        StalledUntil = Earlier(StalledUntil, now);
        ResettingUntil = Earlier(ResettingUntil, now);
        SlowUntil = Earlier(SlowUntil, now);
    }

    /// <summary>False: nothing is the matter, now or later, unless it is told.</summary>
    public bool IsAny(Instant now) =>
        IsGone || now < StalledUntil || now < ResettingUntil || now < SlowUntil;

    private static Instant Later(Instant one, Instant other) =>
        new(Math.Max(one.Nanoseconds, other.Nanoseconds));

    private static Instant Earlier(Instant one, Instant other) =>
        new(Math.Min(one.Nanoseconds, other.Nanoseconds));
}
