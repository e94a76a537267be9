using System;
using System.Runtime.ExceptionServices;
using System.Threading;
using DmRemap.Core.Abstractions;

namespace DmRemap.Linux.Members;

/// <summary>
/// Tries to claim a member until it is free. Each try runs on a thread of its own, since opening a file may
/// wait for a disk that does not answer; a try that is given up closes what it gets, whenever it gets it.
/// </summary>
internal static class ClaimWait
{
    private const int PatienceMs = 2000;
    private const int FirstPauseMs = 20;
    private const int PauseMsMax = 500;

    public static MemberFile Run(
        string path, MemberOptions options, Action<string> onWaiting, CancellationToken cancellation)
    {
        Waiting waiting = new(onWaiting);
        int pauseMs = FirstPauseMs;
        while (true)
        {
            cancellation.ThrowIfCancellationRequested();
            ClaimResult result = RunOnce(path, options, waiting, cancellation);
            if (result.Member is not null)
            {
                return result.Member;
            }
            if (result.HasLivingHolder)
            {
                throw new RefusalException(result.ToRefusal());
            }
            waiting.Say($"waiting for {path}: {result.DescribeHolders()}");
            if (cancellation.WaitHandle.WaitOne(pauseMs))
            {
                cancellation.ThrowIfCancellationRequested();
            }
            pauseMs = int.Min(pauseMs * 2, PauseMsMax);
        }
    }

    private static ClaimResult RunOnce(
        string path, MemberOptions options, Waiting waiting, CancellationToken cancellation)
    {
        Attempt attempt = new(path, options);
        attempt.Start();
        WaitHandle[] events = [attempt.Done, cancellation.WaitHandle];
        while (true)
        {
            int signalled = WaitHandle.WaitAny(events, PatienceMs);
            if (signalled == 0)
            {
                return attempt.TakeResult();
            }
            if (signalled == 1)
            {
                attempt.Abandon();
                cancellation.ThrowIfCancellationRequested();
            }
            waiting.Say($"waiting for {path}: it does not answer an open; its disk or file system is stuck,"
                + " perhaps with a dead instance's write");
        }
    }

    /// <summary>Says each reason once, until it changes.</summary>
    private sealed class Waiting(Action<string> onWaiting)
    {
        private string _last = string.Empty;

        public void Say(string reason)
        {
            if (reason != _last)
            {
                _last = reason;
                onWaiting(reason);
            }
        }
    }

    private sealed class Attempt(string path, MemberOptions options)
    {
        private const int Running = 0;
        private const int Finished = 1;
        private const int Abandoned = 2;

        private int _state;
        private ClaimResult? _result;
        private ExceptionDispatchInfo? _error;

        public ManualResetEvent Done { get; } = new(false);

        public void Start()
        {
            // Not a pool thread: it may stay in the kernel for as long as the disk does.
            Thread thread = new(Run) { IsBackground = true, Name = "claim" };
            thread.Start();
        }

        public ClaimResult TakeResult()
        {
            _error?.Throw();
            return _result!;
        }

        public void Abandon()
        {
            if (Interlocked.CompareExchange(ref _state, Abandoned, Running) == Finished)
            {
                _result?.Member?.Dispose();
            }
        }

        private void Run()
        {
            try
            {
                _result = MemberFile.TryClaim(path, options);
            }
            catch (Exception error)
            {
                _error = ExceptionDispatchInfo.Capture(error);
            }
            if (Interlocked.CompareExchange(ref _state, Finished, Running) == Abandoned)
            {
                _result?.Member?.Dispose();
            }
            Done.Set();
        }
    }
}
