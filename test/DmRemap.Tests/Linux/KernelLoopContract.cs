using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.IO;
using System.IO.Pipes;
using System.Net.Sockets;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Native;
using Xunit;

namespace DmRemap.Tests.Linux;

public abstract class KernelLoopContract(LoopBackend backend)
{
    private static readonly ConcurrentBag<object> s_readForEver = [];

    [Fact]
    public void Messages_from_many_threads_all_run_on_the_loop_in_each_threads_order()
    {
        const int Threads = 4;
        const int Each = 2_500;
        using LoopRunner runner = new(backend: backend);
        int[] next = new int[Threads];
        bool isInOrder = true;
        Thread[] threads = new Thread[Threads];
        for (int t = 0; t < Threads; t++)
        {
            int number = t;
            threads[t] = new Thread(() =>
            {
                for (int i = 0; i < Each; i++)
                {
                    int expected = i;
                    LoopRunner.Message message = new(() =>
                    {
                        isInOrder &= next[number] == expected && runner.Loop.IsLoopThread;
                        next[number]++;
                    });
                    while (!runner.Loop.Post(message))
                    {
                        Thread.Yield();
                    }
                }
            });
            threads[t].Start();
        }
        foreach (Thread thread in threads)
        {
            thread.Join();
        }
        runner.Call(() => { });
        Assert.All(next, count => Assert.Equal(Each, count));
        Assert.True(isInOrder);
    }

    [Fact]
    public void Message_wakes_a_sleeping_loop_every_time()
    {
        using LoopRunner runner = new(backend: backend);
        for (int i = 0; i < 1_000; i++)
        {
            runner.Call(() => { });
        }
    }

    [Fact]
    public void Idle_loop_sleeps()
    {
        using LoopRunner runner = new(backend: backend);
        using ManualResetEventSlim done = new();
        long before = 0;
        long after = 0;
        runner.Call(() =>
        {
            before = runner.Loop.Turns;
            LoopTimer timer = new(new TimerAction(_ =>
            {
                after = runner.Loop.Turns;
                done.Set();
            }));
            runner.Loop.Schedule(timer, runner.Loop.Now + Duration.FromMilliseconds(50));
        });
        LoopRunner.Wait(done, "the timer");
        // The call's own turns, the timer's, and a few signals; one that does not sleep makes tens of
        // thousands.
        Assert.InRange(after - before, 1, 100);
    }

    [Fact]
    public void Timers_fire_in_order_of_time_and_never_early()
    {
        using LoopRunner runner = new(backend: backend);
        using ManualResetEventSlim done = new();
        List<int> fired = [];
        bool isEarly = false;
        runner.Call(() =>
        {
            Instant now = runner.Loop.Now;
            foreach (int milliseconds in (int[])[30, 10, 20, 40, 0])
            {
                LoopTimer timer = new(new TimerAction(timer =>
                {
                    isEarly |= runner.Loop.Now < timer.Due;
                    fired.Add(milliseconds);
                    if (milliseconds == 40)
                    {
                        done.Set();
                    }
                }));
                runner.Loop.Schedule(timer, now + Duration.FromMilliseconds(milliseconds));
            }
        });
        LoopRunner.Wait(done, "the last timer");
        Assert.Equal([0, 10, 20, 30, 40], fired);
        Assert.False(isEarly);
    }

    [Fact]
    public void Cancelled_timer_does_not_fire_and_a_moved_one_fires_once()
    {
        using LoopRunner runner = new(backend: backend);
        using ManualResetEventSlim done = new();
        int cancelled = 0;
        int moved = 0;
        runner.Call(() =>
        {
            Instant now = runner.Loop.Now;
            LoopTimer first = new(new TimerAction(_ => cancelled++));
            LoopTimer second = new(new TimerAction(_ => moved++));
            runner.Loop.Schedule(first, now + Duration.FromMilliseconds(1));
            runner.Loop.Schedule(second, now + Duration.FromMilliseconds(1));
            runner.Loop.Schedule(second, now + Duration.FromMilliseconds(5));
            runner.Loop.Cancel(first);
            LoopTimer last = new(new TimerAction(_ => done.Set()));
            runner.Loop.Schedule(last, now + Duration.FromMilliseconds(10));
        });
        LoopRunner.Wait(done, "the last timer");
        Assert.Equal(0, cancelled);
        Assert.Equal(1, moved);
    }

    [Fact]
    public void Timer_that_sets_itself_to_now_lets_the_loop_go_on()
    {
        using LoopRunner runner = new(backend: backend);
        int fired = 0;
        LoopTimer? timer = null;
        timer = new LoopTimer(new TimerAction(_ =>
        {
            fired++;
            runner.Loop.Schedule(timer!, runner.Loop.Now);
        }));
        runner.Call(() => runner.Loop.Schedule(timer, runner.Loop.Now));
        runner.WaitUntil(() => fired > 3, "the timer");
        runner.Call(() => runner.Loop.Cancel(timer));
    }

    [Fact]
    public void Delivery_comes_later_and_one_asked_for_in_a_delivery_after_all_that_were_there()
    {
        using LoopRunner runner = new(backend: backend);
        using ManualResetEventSlim done = new();
        List<char> order = [];
        OwnerAction last = new(_ =>
        {
            order.Add('c');
            done.Set();
        });
        OwnerAction first = new(delivered =>
        {
            SubmitOk(runner.Loop, delivered, last);
            order.Add('a');
        });
        OwnerAction second = new(_ => order.Add('b'));
        runner.Call(() =>
        {
            SubmitOk(runner.Loop, new IoRequest(), first);
            SubmitOk(runner.Loop, new IoRequest(), second);
            Assert.Empty(order);
        });
        LoopRunner.Wait(done, "the third delivery");
        Assert.Equal("abc", string.Concat(order));
    }

    [Fact]
    public void Deliveries_without_end_keep_no_timer_and_no_message_waiting()
    {
        using LoopRunner runner = new(backend: backend);
        int fired = 0;
        bool isOver = false;
        OwnerAction endless = null!;
        endless = new OwnerAction(delivered =>
        {
            if (!isOver)
            {
                SubmitOk(runner.Loop, delivered, endless);
            }
        });
        LoopTimer timer = new(new TimerAction(_ => fired++));
        runner.Call(() => SubmitOk(runner.Loop, new IoRequest(), endless));
        runner.Call(() => runner.Loop.Schedule(timer, runner.Loop.Now));
        runner.WaitUntil(() => fired == 1, "the timer");
        runner.Call(() => isOver = true);
    }

    [Fact]
    public void Exception_that_escapes_ends_the_loop_and_is_reported()
    {
        Exception? reported = null;
        using KernelLoop loop =
            LoopRunner.Make(new KernelLoopOptions { OnFatal = exception => reported = exception }, backend);
        loop.Start(_ => { });
        Assert.True(loop.Post(new LoopRunner.Message(() => throw new InvalidOperationException("boom"))));
        Assert.True(loop.Join(LoopRunner.Patience));
        Assert.Equal("boom", reported?.Message);
        Assert.False(loop.Post(new LoopRunner.Message(() => { })));
    }

    [Fact]
    public void Message_taken_before_the_stop_runs_and_one_after_it_is_refused()
    {
        using KernelLoop loop = LoopRunner.Make(backend: backend);
        int ran = 0;
        loop.Start(started =>
        {
            started.Stop();
            for (int i = 0; i < 100; i++)
            {
                Assert.True(started.Post(new LoopRunner.Message(() => ran++)));
            }
        });
        Assert.True(loop.Join(LoopRunner.Patience));
        Assert.Equal(100, ran);
        Assert.False(loop.Post(new LoopRunner.Message(() => ran++)));
        loop.Stop();
    }

    [Fact]
    public void Stop_with_a_read_outstanding_ends_and_says_what_the_kernel_owns()
    {
        // Never closed: the read may begin after the end of the loop, and would read another file.
        AnonymousPipeServerStream writer = new(PipeDirection.Out);
        AnonymousPipeClientStream reader = new(PipeDirection.In, writer.ClientSafePipeHandle);
        s_readForEver.Add(writer);
        s_readForEver.Add(reader);
        KernelLoop loop = LoopRunner.Make(backend: backend);
        Recorder? target = null;
        loop.Start(started =>
        {
            target = new Recorder(started, started.CreateOwner("pipe"));
            int fd = (int)reader.SafePipeHandle.DangerousGetHandle();
            started.SubmitRead(target, fd, AlignedMemory.Allocate(16), 0);
        });
        loop.Stop();
        Assert.True(loop.Join(LoopRunner.Patience));
        Assert.Equal(1, loop.OutstandingOperations);
        OperationOwner owner = Assert.Single(loop.Owners);
        Assert.Equal("pipe", owner.Name);
        Assert.Equal(1, owner.Outstanding);
        Assert.Equal(0, target!.Completions);
        loop.Dispose();
    }

    [Fact]
    public void Cancelled_operation_completes_once_and_its_target_can_be_used_again()
    {
        using AnonymousPipeServerStream writer = new(PipeDirection.Out);
        using AnonymousPipeClientStream reader = new(PipeDirection.In, writer.ClientSafePipeHandle);
        using LoopRunner runner = new(backend: backend);
        int fd = (int)reader.SafePipeHandle.DangerousGetHandle();
        Recorder target = runner.Call(() => new Recorder(runner.Loop, runner.Loop.CreateOwner("pipe")));
        Recorder cancel = runner.Call(() => new Recorder(runner.Loop, target.Owner));
        BufferSlice buffer = AlignedMemory.Allocate(16);
        runner.Call(() =>
        {
            runner.Loop.SubmitRead(target, fd, buffer, 0);
            runner.Loop.SubmitCancel(cancel, target);
        });
        runner.WaitUntil(() => target.Completions == 1 && cancel.Completions == 1, "the cancelled read");
        Assert.Equal(-125, target.Result);

        runner.Call(() => runner.Loop.SubmitRead(target, fd, buffer, 0));
        writer.WriteByte(42);
        runner.WaitUntil(() => target.Completions == 2, "the read");
        Assert.Equal(1, target.Result);
        Assert.Equal(42, buffer.Span[0]);
        Assert.Equal(0, runner.Loop.OutstandingOperations);
        runner.Call(() =>
        {
            target.Unregister();
            cancel.Unregister();
        });
    }

    [Fact]
    public void Completion_never_comes_inside_a_submission()
    {
        using SocketPair pair = new(SocketType.Stream);
        using FileStream zeros = File.OpenRead("/dev/zero");
        using LoopRunner runner = new(backend: backend);
        KernelLoop loop = runner.Loop;
        pair.Theirs.Send([1]);
        BufferSlice memory = AlignedMemory.Allocate(64);
        IoVector vector = SocketPair.Vector(memory.Slice(32, 32));
        int file = (int)zeros.SafeFileHandle.DangerousGetHandle();
        List<Recorder> targets = [];
        runner.Call(() =>
        {
            OperationOwner owner = loop.CreateOwner("all");
            for (int i = 0; i < 6; i++)
            {
                targets.Add(new Recorder(loop, owner));
            }
            loop.SubmitPoll(targets[0], pair.Fd, 1);
            loop.SubmitReceive(targets[1], pair.Fd, memory.Slice(0, 32));
            loop.SubmitSend(targets[2], pair.Fd, in vector);
            loop.SubmitRead(targets[3], file, memory.Slice(0, 32), 0);
            loop.SubmitSyncData(targets[4], file);
            loop.SubmitCancel(targets[5], targets[0]);
            Assert.All(targets, target => Assert.True(target is { Completions: 0, IsOutstanding: true }));
        });
        runner.WaitUntil(() => loop.OutstandingOperations == 0, "the last completion");
        Assert.All(targets, target => Assert.True(target is { Completions: 1, IsOutstanding: false }));
        Assert.Equal((1, 32, 32), (targets[1].Result, targets[2].Result, targets[3].Result));
    }

    [Fact]
    public void Poll_completes_when_the_descriptor_is_ready()
    {
        using AnonymousPipeServerStream writer = new(PipeDirection.Out);
        using AnonymousPipeClientStream reader = new(PipeDirection.In, writer.ClientSafePipeHandle);
        using LoopRunner runner = new(backend: backend);
        int fd = (int)reader.SafePipeHandle.DangerousGetHandle();
        Recorder target = runner.Call(() => new Recorder(runner.Loop, runner.Loop.CreateOwner("pipe")));
        runner.Call(() => runner.Loop.SubmitPoll(target, fd, 1));
        writer.WriteByte(1);
        runner.WaitUntil(() => target.Completions == 1, "the poll");
        Assert.Equal(1, target.Result & 1);
    }

    [Fact]
    public void More_operations_in_a_turn_than_the_ring_has_entries_all_complete()
    {
        using FileStream file = File.OpenRead("/dev/zero");
        using LoopRunner runner = new(submissionEntries: 8, backend);
        List<Recorder> targets = [];
        runner.Call(() =>
        {
            OperationOwner owner = runner.Loop.CreateOwner("zero");
            int fd = (int)file.SafeFileHandle.DangerousGetHandle();
            for (int i = 0; i < 1_000; i++)
            {
                Recorder target = new(runner.Loop, owner);
                targets.Add(target);
                runner.Loop.SubmitRead(target, fd, AlignedMemory.Allocate(8), 0);
            }
            Assert.Equal(1_000, owner.Outstanding);
        });
        runner.WaitUntil(() => runner.Loop.OutstandingOperations == 0, "the last read");
        Assert.All(targets, target => Assert.Equal((1, 8), (target.Completions, target.Result)));
    }

    [Fact]
    public void Wake_ups_timers_and_deliveries_allocate_nothing_on_the_loop()
    {
        using LoopRunner runner = new(backend: backend);
        using ManualResetEventSlim done = new();
        Steady steady = new(runner.Loop, done);
        runner.Call(steady.Run);
        LoopRunner.Wait(done, "the last delivery");
        Assert.Equal(0, steady.AllocatedBytes);
    }

    private static void SubmitOk(KernelLoop loop, IoRequest request, IIoOwner owner)
    {
        request.Prepare(owner, IoOperation.Flush, default, default);
        request.MarkSubmitted();
        request.SetResult(IoStatus.Ok, 0, Duration.Zero);
        loop.DeliverLater(request);
    }

    private sealed class TimerAction(Action<LoopTimer> action) : ITimerOwner
    {
        public void OnTimer(LoopTimer timer) => action(timer);
    }

    private sealed class OwnerAction(Action<IoRequest> action) : IIoOwner
    {
        public void OnCompleted(IoRequest request) => action(request);
    }

    /// <summary>Goes round timer, message, delivery for ever; measures after a warm-up.</summary>
    private sealed class Steady : ITimerOwner, ILoopMessage, IIoOwner
    {
        private const int WarmUp = 1_000;
        private const int Rounds = 10_000;
        private const int AttemptsMax = 3;

        private readonly KernelLoop _loop;
        private readonly ManualResetEventSlim _done;
        private readonly LoopTimer _timer;
        private readonly IoRequest _request = new();
        private long _before;
        private int _round;
        private int _attempts;

        public Steady(KernelLoop loop, ManualResetEventSlim done)
        {
            _loop = loop;
            _done = done;
            _timer = new LoopTimer(this);
        }

        public long AllocatedBytes { get; private set; } = -1;

        public void Run() => SubmitOk(_loop, _request, this);

        public void OnCompleted(IoRequest request)
        {
            _round++;
            if (_round == WarmUp)
            {
                _before = GC.GetAllocatedBytesForCurrentThread();
            }
            else if (_round == WarmUp + Rounds)
            {
                // The best of some attempts: what a turn allocates shows in each of them, what the runtime
                // does once (compile a method again) does not.
                long allocated = GC.GetAllocatedBytesForCurrentThread() - _before;
                AllocatedBytes = _attempts == 0 ? allocated : long.Min(AllocatedBytes, allocated);
                _attempts++;
                if (AllocatedBytes == 0 || _attempts == AttemptsMax)
                {
                    _done.Set();
                    return;
                }
                _round = 0;
            }
            _loop.Schedule(_timer, _loop.Now);
        }

        public void OnTimer(LoopTimer timer) => _loop.Post(this);
    }
}
