using System;
using System.Threading;
using DmRemap.Linux.Epoll;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Linux;

public sealed class ThreadLaneTests : IDisposable
{
    private readonly ThreadStarter _starter = new();
    private ThreadLane? _lane;

    public void Dispose()
    {
        _starter.End();
        _lane?.End();
        _starter.Join();
        _lane?.Join();
    }

    /// <summary>An end may be said twice, and tokens may be left over from work that others did.</summary>
    [Fact]
    public void Gate_that_is_opened_twice_with_tokens_left_lets_everybody_through()
    {
        TokenGate gate = new();
        gate.Give(5);
        gate.Open();
        gate.Open();
        Thread taker = new(gate.Take) { IsBackground = true };
        taker.Start();
        Assert.True(taker.Join(LoopRunner.Patience));
    }

    [Fact]
    public void Lane_without_work_has_no_thread_and_one_with_work_no_more_than_it_may()
    {
        using ManualResetEventSlim gate = new();
        using CountdownEvent begun = new(3);
        Work work = new(slot =>
        {
            if (slot < 3)
            {
                begun.Signal();
            }
            gate.Wait(LoopRunner.Patience);
        });
        ThreadLane lane = Make(work, threads: 3);
        Assert.Equal(0, lane.Threads);
        for (int i = 0; i < 3; i++)
        {
            lane.Add(i);
        }
        Assert.Equal(0, work.Done);
        lane.Announce();
        // One after the other asks for help, and none waits for another's work.
        Assert.True(begun.Wait(LoopRunner.Patience, TestContext.Current.CancellationToken));
        lane.Add(3);
        lane.Announce();
        Assert.Equal(3, work.Begun);
        gate.Set();
        WaitUntil(() => work.Done == 4);
        // A thread may be at work before its starter has counted it.
        WaitUntil(() => lane.Threads >= 3);
        Assert.Equal(3, lane.Threads);
    }

    [Fact]
    public void Work_that_comes_while_every_thread_is_busy_gets_one_of_its_own()
    {
        using ManualResetEventSlim gate = new();
        Work work = new(slot =>
        {
            if (slot == 0)
            {
                gate.Wait(LoopRunner.Patience);
            }
        });
        ThreadLane lane = Make(work, threads: 2);
        lane.Add(0);
        lane.Announce();
        WaitUntil(() => work.Begun == 1);
        for (int i = 1; i <= 1_000; i++)
        {
            lane.Add(i);
            lane.Announce();
            WaitUntil(() => work.Done == i);
        }
        gate.Set();
        WaitUntil(() => work.Done == 1_001);
    }

    [Fact]
    public void What_is_taken_back_is_never_done_and_all_the_rest_is()
    {
        using ManualResetEventSlim gate = new();
        Work work = new(slot =>
        {
            if (slot == 0)
            {
                gate.Wait(LoopRunner.Patience);
            }
        });
        ThreadLane lane = Make(work, threads: 1);
        lane.Add(0);
        lane.Announce();
        WaitUntil(() => work.Begun == 1);
        for (int i = 1; i <= 10; i++)
        {
            lane.Add(i);
        }
        lane.Announce();
        Assert.True(lane.TryTakeBack(5));
        Assert.False(lane.TryTakeBack(5));
        Assert.False(lane.TryTakeBack(0));
        lane.Announce();
        gate.Set();
        WaitUntil(() => work.Done == 10);
        Assert.Equal(0, work.TimesOf(5));
        Assert.Equal(1, work.TimesOf(10));
    }

    [Fact]
    public void End_finishes_what_is_in_line_and_every_thread()
    {
        Work work = new(_ => { });
        ThreadLane lane = Make(work, threads: 4);
        for (int i = 0; i < 1_000; i++)
        {
            lane.Add(i);
        }
        lane.Announce();
        WaitUntil(() => lane.Threads > 0);
        _starter.End();
        lane.End();
        _starter.Join();
        lane.Join();
        Assert.Equal(1_000, work.Done);
    }

    [Fact]
    public void Handing_over_and_working_allocate_nothing()
    {
        long allocated = -1;
        long before = 0;
        int rounds = 0;
        Work work = new(_ =>
        {
            rounds++;
            if (rounds % 10_000 == 0)
            {
                long now = GC.GetAllocatedBytesForCurrentThread();
                allocated = rounds == 10_000
                    ? long.MaxValue
                    : long.Min(allocated, now - before);
                before = now;
            }
        });
        ThreadLane lane = Make(work, threads: 1);
        Action tenThousand = () =>
        {
            for (int i = 0; i < 10_000; i++)
            {
                int expected = work.Done + 1;
                lane.Add(i % 1_000);
                lane.Announce();
                while (work.Done < expected)
                {
                    Thread.Yield();
                }
            }
        };
        Allocations.AssertNone(tenThousand);
        tenThousand();
        tenThousand();
        Assert.Equal(0, allocated);
    }

    private static void WaitUntil(Func<bool> condition) =>
        Assert.True(SpinWait.SpinUntil(condition, LoopRunner.Patience));

    private ThreadLane Make(Work work, int threads)
    {
        _lane = new ThreadLane(work, _starter, threads);
        _starter.Add(_lane);
        return _lane;
    }

    private sealed class Work(Action<int> action) : IThreadWork
    {
        private readonly int[] _times = new int[1_001];
        private int _begun;
        private int _done;

        public int Begun => Volatile.Read(ref _begun);

        public int Done => Volatile.Read(ref _done);

        public int TimesOf(int slot) => _times[slot];

        public void Run(int slot)
        {
            Interlocked.Increment(ref _begun);
            action(slot);
            Interlocked.Increment(ref _times[slot]);
            Interlocked.Increment(ref _done);
        }
    }
}
