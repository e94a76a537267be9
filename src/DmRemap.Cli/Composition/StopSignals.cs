using System;
using System.Runtime.InteropServices;
using System.Threading.Tasks;

namespace DmRemap.Cli.Composition;

/// <summary>
/// SIGTERM and SIGINT: the first ends a start that waits, or asks for a stop; the second is in a hurry.
/// </summary>
internal sealed class StopSignals : IDisposable
{
    private static readonly TimeSpan s_sameSignal = TimeSpan.FromSeconds(0.5);

    private readonly TaskCompletionSource _first =
        new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _second =
        new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly PosixSignalRegistration[] _registrations;

    public StopSignals(Action onFirst, TimeProvider time)
    {
        long firstAt = 0;
        void Handle(PosixSignalContext context)
        {
            context.Cancel = true;
            if (_first.TrySetResult())
            {
                firstAt = time.GetTimestamp();
                onFirst();
                return;
            }
            // Whoever signals a process and its group sends the same signal twice at once: that is one
            // wish.
            if (time.GetElapsedTime(firstAt) >= s_sameSignal)
            {
                _second.TrySetResult();
            }
        }

        _registrations =
        [
            PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle),
            PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle),
        ];
    }

    public Task First => _first.Task;

    public Task Second => _second.Task;

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }
    }
}
