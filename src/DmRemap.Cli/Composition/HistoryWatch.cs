using System;
using System.Threading.Tasks;
using DmRemap.Core.Metadata;

namespace DmRemap.Cli.Composition;

/// <summary>
/// Every few seconds, where records were acknowledged since: this machine takes note of the last one. So a
/// journal that is destroyed in every place, or an image that was taken while the device was served, is
/// noticed after a crash too, but for what was acknowledged in the last of these intervals.
/// </summary>
internal sealed class HistoryWatch : IAsyncDisposable
{
    /// <summary>A state file is a small write to the system's disk: rarely, and only when there is news.
    /// </summary>
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(5);

    private readonly HostHistory _history;
    private readonly HistoryPoint _begun;
    private readonly Func<ulong> _sequence;
    private readonly PeriodicLook _looking;
    private bool _hasFailed;

    /// <param name="history">Where it is noted.</param>
    /// <param name="begun">What was durable when this start was complete.</param>
    /// <param name="sequence">Of the last record acknowledged; from any thread.</param>
    /// <param name="time">Of the intervals.</param>
    public HistoryWatch(
        HostHistory history, in HistoryPoint begun, Func<ulong> sequence, TimeProvider time)
    {
        _history = history;
        _begun = begun;
        _sequence = sequence;
        _looking = new PeriodicLook(Look, s_interval, time);
    }

    public ValueTask DisposeAsync() => _looking.DisposeAsync();

    private void Look()
    {
        // The generation of the start: later ones may not be durable yet.
        HistoryPoint now = _begun with { JournalSequence = _sequence() };
        if (_history.HasNoted(now))
        {
            return;
        }
        string? problem = _history.TryNote(now);
        if (problem is not null && !_hasFailed)
        {
            _history.Say(problem);
        }
        _hasFailed = problem is not null;
    }
}
