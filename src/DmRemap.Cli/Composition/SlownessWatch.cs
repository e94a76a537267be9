using System;
using System.Collections.Generic;
using System.Threading.Tasks;
using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Accounting;
using DmRemap.Engine;

namespace DmRemap.Cli.Composition;

/// <summary>
/// Looks every few seconds whether a member has become slow, and says so when it has, and when it is no
/// longer. What decides is <see cref="SlowWatch"/>; the looking itself is some microseconds of the loop's
/// time.
/// </summary>
internal sealed class SlownessWatch : ILoopMessage, IAsyncDisposable
{
    private const double NanosecondsPerUs = 1000;
    private const long NanosecondsPerMs = 1_000_000;

    private static readonly TimeSpan s_window = TimeSpan.FromSeconds(5);

    private readonly Dictionary<Member, Watched> _members = [];
    private readonly LoopHost _host;
    private readonly AssembledDevice _assembled;
    private readonly Action<string> _say;
    private readonly PeriodicLook _looking;
    private Instant _lastLook;

    public SlownessWatch(LoopHost host, AssembledDevice assembled, TimeProvider time, Action<string> say)
    {
        _host = host;
        _assembled = assembled;
        _say = say;
        _lastLook = host.Loop.Now;
        // A loop that takes no more messages has ended, or is told again.
        _looking = new PeriodicLook(() => host.Loop.Post(this), s_window, time);
    }

    public ValueTask DisposeAsync() => _looking.DisposeAsync();

    /// <summary>Null while it is not slow. On the loop's thread.</summary>
    public MemberSlow? Of(Member member)
    {
        if (!_members.TryGetValue(member, out Watched? watched) || !watched.Watch.IsSlow)
        {
            return null;
        }
        LatencyTrend trend = TrendOf(watched.Watch);
        return new MemberSlow(
            (_host.Loop.Now - watched.Since).Nanoseconds / NanosecondsPerMs,
            Microseconds(trend.Median), Microseconds(trend.UsualMedian),
            Microseconds(trend.Tail), Microseconds(trend.UsualTail));
    }

    /// <summary>A look, on the loop's thread.</summary>
    void ILoopMessage.Run()
    {
        Duration length = _host.Loop.Now - _lastLook;
        if (length <= Duration.Zero)
        {
            return;
        }
        _lastLook = _host.Loop.Now;
        foreach (Member member in _assembled.Device.Members)
        {
            if (member.IsRemoved || member.IsAbsent)
            {
                _members.Remove(member);
                continue;
            }
            if (!_members.TryGetValue(member, out Watched? watched))
            {
                watched = new Watched();
                _members.Add(member, watched);
            }
            // One that is gone is not slow: that is said by another name.
            Duration oldest = member.IsGone ? Duration.Zero : OldestOf(member);
            if (watched.Watch.Look(member.Latencies, length, oldest))
            {
                watched.Since = _host.Loop.Now;
                _say(Describe(member, watched.Watch, oldest));
            }
        }
    }

    private Duration OldestOf(Member member) =>
        member.Device is IOutstandingIo io && io.TryGetOldest(out Instant since)
            ? _host.Loop.Now - since
            : Duration.Zero;

    private static string Describe(Member member, SlowWatch watch, Duration oldest)
    {
        string name = member.IsPrimary ? "main" : member.Name;
        if (!watch.IsSlow)
        {
            return $"DMR-EVENT-SLOW-ENDED {name}: it answers as it used to";
        }
        LatencyTrend trend = TrendOf(watch);
        string what = oldest >= SlowWatch.OldestMax
            ? $"an operation is out for {Amounts.Time(oldest.Nanoseconds / NanosecondsPerMs / 1000)}"
            : $"half of its {(ReferenceEquals(trend, watch.Reads) ? "reads" : "writes")} take "
                + $"{Amounts.ShortTime(Microseconds(trend.Median))} or more (usually "
                + $"{Amounts.ShortTime(Microseconds(trend.UsualMedian))}), one in a hundred "
                + $"{Amounts.ShortTime(Microseconds(trend.Tail))} or more (usually "
                + $"{Amounts.ShortTime(Microseconds(trend.UsualTail))})";
        return $"DMR-EVENT-SLOW {name}: {what}; disks become so before they fail: copy what matters off it, "
            + "and look at the kernel's log";
    }

    /// <summary>Of the two kinds the one that is slow; of both, reads.</summary>
    private static LatencyTrend TrendOf(SlowWatch watch) =>
        watch.Writes.IsSlow && !watch.Reads.IsSlow ? watch.Writes : watch.Reads;

    private static double Microseconds(Duration duration) =>
        Math.Round(duration.Nanoseconds / NanosecondsPerUs, 1);

    private sealed class Watched
    {
        public SlowWatch Watch { get; } = new();

        public Instant Since { get; set; }
    }
}
