using System;
using System.Threading;
using System.Threading.Tasks;

namespace DmRemap.Tests.Cli;

/// <summary>Time that passes by hand: one timer, which is the look's.</summary>
internal sealed class HandTime : TimeProvider
{
    private TimerCallback? _callback;
    private object? _state;

    public void Tick() => _callback!(_state);

    public override ITimer CreateTimer(
        TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        _callback = callback;
        _state = state;
        return new NoTimer();
    }

    private sealed class NoTimer : ITimer
    {
        public bool Change(TimeSpan dueTime, TimeSpan period) => true;

        public void Dispose()
        {
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
