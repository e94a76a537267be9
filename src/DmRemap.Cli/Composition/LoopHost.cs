using System;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Uring;

namespace DmRemap.Cli.Composition;

/// <summary>
/// The loop's thread as the control plane sees it: run this there, and tell me when it has.
/// </summary>
internal sealed class LoopHost : IDisposable
{
    private static readonly TimeSpan s_endTimeout = TimeSpan.FromSeconds(5);

    private readonly TaskCompletionSource _started = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <exception cref="RefusalException">io_uring is demanded, and not to be had here (exit 9).</exception>
    public LoopHost(string device, LoopBackend backend = LoopBackend.Automatic)
    {
        try
        {
            Loop = KernelLoop.Create(new KernelLoopOptions { Name = "dmremap-data" }, backend);
        }
        catch (IoUringUnavailableException e)
        {
            throw new RefusalException(
                new Refusal(
                    MessageIds.NoIoUring,
                    ExitCode.MissingHere,
                    device,
                    $"io_uring is not available to this process: {e.Message.TrimEnd('.')}.",
                    "Leave --backend out, and epoll is used instead; or allow io_uring (sysctl "
                        + "kernel.io_uring_disabled=0; in a container, a seccomp profile that permits it)."),
                e);
        }
        Loop.Start(_ => _started.SetResult());
    }

    public KernelLoop Loop { get; }

    public Task Started => _started.Task;

    /// <summary>
    /// Run on the loop's thread. Ends with TimeoutException when that takes nothing more: it has ended, or
    /// has not looked at its messages for very long.
    /// </summary>
    public Task RunAsync(Action action) => RunAsync(() =>
    {
        action();
        return true;
    });

    public Task<T> RunAsync<T>(Func<T> function)
    {
        Message<T> message = new(function);
        if (!Loop.Post(message))
        {
            message.Completion.SetException(
                new TimeoutException("the data thread has ended or does not answer"));
        }
        return message.Completion.Task;
    }

    /// <summary>
    /// Leave the loop. False: it has not ended in time (it never blocks, so this says that something is
    /// wrong).
    /// </summary>
    public bool End()
    {
        Loop.Stop();
        return Loop.Join(s_endTimeout);
    }

    public void Dispose()
    {
        if (End())
        {
            Loop.Dispose();
        }
    }

    private sealed class Message<T>(Func<T> function) : ILoopMessage
    {
        public TaskCompletionSource<T> Completion { get; } =
            new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Run()
        {
            try
            {
                Completion.SetResult(function());
            }
            catch (RefusalException e)
            {
                Completion.SetException(e);
            }
        }
    }
}
