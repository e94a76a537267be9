using System;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Uring;
using Xunit;

namespace DmRemap.Tests.Linux;

/// <summary>
/// A running loop for a test's thread to talk to; skips the test where io_uring is not permitted.
/// </summary>
internal sealed class LoopRunner : IDisposable
{
    /// <summary>Long enough for a busy machine; a test that needs it has failed.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private Exception? _fatal;

    public LoopRunner(
        int submissionEntries = Limits.SubmissionQueueEntries, LoopBackend backend = LoopBackend.IoUring)
    {
        KernelLoopOptions options = new()
        {
            Name = "test loop",
            SubmissionEntries = submissionEntries,
            OnFatal = exception => _fatal = exception,
        };
        Loop = Make(options, backend);
        Loop.Start(_ => { });
    }

    public KernelLoop Loop { get; }

    public Exception? Fatal => _fatal;

    public static KernelLoop Make(
        KernelLoopOptions? options = null, LoopBackend backend = LoopBackend.IoUring)
    {
        try
        {
            return KernelLoop.Create(options, backend);
        }
        catch (IoUringUnavailableException exception)
        {
            Assert.Skip(exception.Message);
            throw;
        }
    }

    public static void Wait(ManualResetEventSlim signal, string what) =>
        Assert.True(signal.Wait(Patience, TestContext.Current.CancellationToken), $"{what} never came");

    /// <summary>Run this on the loop's thread and wait for it.</summary>
    public void Call(Action body)
    {
        using ManualResetEventSlim done = new();
        Exception? thrown = null;
        bool isPosted = Loop.Post(new Message(() =>
        {
            try
            {
                body();
            }
            catch (Exception exception)
            {
                thrown = exception;
            }
            done.Set();
        }));
        Assert.True(isPosted);
        Wait(done, "the call on the loop");
        if (thrown is not null)
        {
            throw new InvalidOperationException("on the loop's thread", thrown);
        }
    }

    public T Call<T>(Func<T> body)
    {
        T result = default!;
        Call(() => { result = body(); });
        return result;
    }

    /// <summary>Ask again and again on the loop's thread until it is so.</summary>
    public void WaitUntil(Func<bool> condition, string what)
    {
        DateTimeOffset start = TimeProvider.System.GetUtcNow();
        while (!Call(condition))
        {
            Assert.True(TimeProvider.System.GetUtcNow() - start < Patience, $"{what} never came");
            Thread.Yield();
        }
    }

    /// <summary>Submit one request and wait for it; the request is new.</summary>
    public IoRequest Do(
        IBlockDevice device,
        IoOperation operation,
        Extent extent,
        BufferSlice buffer,
        IoFlags flags = IoFlags.None)
    {
        using ManualResetEventSlim done = new();
        IoRequest request = new();
        Call(() =>
        {
            request.Prepare(new SignallingOwner(done), operation, extent, buffer, flags);
            device.Submit(request);
        });
        Wait(done, $"the completion of {operation} at block {extent.Start.Value}");
        return request;
    }

    public void Dispose()
    {
        Loop.Stop();
        Assert.True(Loop.Join(Patience), "the loop did not end");
        Loop.Dispose();
        Assert.Null(_fatal);
    }

    public sealed class Message(Action body) : ILoopMessage
    {
        public void Run() => body();
    }

    private sealed class SignallingOwner(ManualResetEventSlim done) : IIoOwner
    {
        public void OnCompleted(IoRequest request) => done.Set();
    }
}
