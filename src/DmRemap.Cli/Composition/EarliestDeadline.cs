using System;
using System.Threading;
using System.Threading.Tasks;

namespace DmRemap.Cli.Composition;

/// <summary>
/// The deadline of something that several may ask for: the earliest counts. It passes a moment before what
/// was asked for, so that the answer is there by then.
/// </summary>
internal sealed class EarliestDeadline : IDisposable
{
    /// <summary>What making and sending the answer takes on a busy machine.</summary>
    private static readonly TimeSpan s_answering = TimeSpan.FromMilliseconds(20);

    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _passed;
    private DateTimeOffset _at = DateTimeOffset.MaxValue;

    public EarliestDeadline(TimeProvider time)
    {
        _time = time;
        _passed = new CancellationTokenSource(Timeout.InfiniteTimeSpan, time);
        Passed = Task.Delay(Timeout.InfiniteTimeSpan, _passed.Token);
    }

    /// <summary>Ends, cancelled, when the deadline has come.</summary>
    public Task Passed { get; }

    /// <summary>Zero when it has passed.</summary>
    public TimeSpan Left
    {
        get
        {
            TimeSpan left = _at - _time.GetUtcNow();
            return left > TimeSpan.Zero ? left : TimeSpan.Zero;
        }
    }

    /// <summary>Callers see to it that only one at a time comes.</summary>
    public void Tighten(TimeSpan deadline)
    {
        DateTimeOffset at = _time.GetUtcNow() + deadline;
        if (at < _at)
        {
            _at = at;
            TimeSpan wait = deadline - s_answering;
            _passed.CancelAfter(wait > TimeSpan.Zero ? wait : deadline);
        }
    }

    public void Dispose() => _passed.Dispose();
}
