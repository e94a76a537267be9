using System;
using System.Threading;
using System.Threading.Tasks;

namespace DmRemap.Cli.Composition;

/// <summary>
/// Something that is looked at now and then, and may block: one look at a time, on a thread of the pool.
/// </summary>
internal sealed class PeriodicLook : IAsyncDisposable
{
    private static readonly TimeSpan s_endTimeout = TimeSpan.FromMilliseconds(100);

    private readonly Action _look;
    private readonly CancellationTokenSource _ending = new();
    private readonly PeriodicTimer _timer;
    private readonly Task _looking;

    /// <summary>`look` throws nothing.</summary>
    public PeriodicLook(Action look, TimeSpan interval, TimeProvider time)
    {
        _look = look;
        _timer = new PeriodicTimer(interval, time);
        _looking = LookOnAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync();
        // A look at a stuck disk may never end: it is left behind, and ends with the process.
        await Task.WhenAny(_looking, Task.Delay(s_endTimeout));
        _timer.Dispose();
        _ending.Dispose();
    }

    private async Task LookOnAsync()
    {
        // Once: a look that outlives the end finds its source disposed of.
        CancellationToken ending = _ending.Token;
        try
        {
            while (await _timer.WaitForNextTickAsync(ending))
            {
                _look();
            }
        }
        catch (OperationCanceledException)
        {
            // The end of the device.
        }
    }
}
