using System;
using System.Collections.Generic;
using DmRemap.Engine;

namespace DmRemap.Cli.Composition;

/// <summary>
/// What happens once for each request of a client is said so many times in a minute and no more: a client
/// that goes on writing where nothing is left would fill the log, which may lie in memory. One thread.
/// </summary>
internal sealed class RepeatedEvents(TimeProvider time)
{
    /// <summary>Of one kind, of one member, in one window.</summary>
    public const int LinesMax = 10;

    private static readonly TimeSpan s_window = TimeSpan.FromMinutes(1);

    private readonly Dictionary<(EngineEventKind Kind, int Member), Window> _windows = [];

    /// <summary>The event's line with what is to be added to it; null: it is not printed.</summary>
    public string? Judge(in EngineEvent happened, Func<EngineEvent, string> describe)
    {
        if (happened.Kind is not (EngineEventKind.Exhausted or EngineEventKind.MemberError))
        {
            return describe(happened);
        }
        (EngineEventKind Kind, int Member) key = (happened.Kind, happened.Member);
        if (!_windows.TryGetValue(key, out Window? window) || time.GetElapsedTime(window.Began) >= s_window)
        {
            int unsaid = window is null ? 0 : Math.Max(0, window.Count - LinesMax);
            _windows[key] = new Window(time.GetTimestamp()) { Count = 1 };
            string before = unsaid == 0 ? "" : $" ({unsaid} more like this were not printed before it)";
            return describe(happened) + before;
        }
        window.Count++;
        return window.Count > LinesMax ? null
            : describe(happened)
                + (window.Count < LinesMax ? "" : "; more like this in the same minute are not printed");
    }

    private sealed class Window(long began)
    {
        public long Began { get; } = began;

        public int Count { get; set; }
    }
}
