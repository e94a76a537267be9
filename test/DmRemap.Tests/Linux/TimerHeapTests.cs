using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Loop;
using Xunit;

namespace DmRemap.Tests.Linux;

public sealed class TimerHeapTests
{
    [Fact]
    public void Timers_come_out_by_time_and_among_equals_in_the_order_set()
    {
        TimerHeap heap = new(4);
        LoopTimer[] timers = [new(new Nobody()), new(new Nobody()), new(new Nobody()), new(new Nobody())];
        heap.Set(timers[0], new Instant(20));
        heap.Set(timers[1], new Instant(10));
        heap.Set(timers[2], new Instant(20));
        heap.Set(timers[3], new Instant(10));
        Assert.Equal(new Instant(10), heap.FirstDue);
        long all = heap.NextSequence;
        Assert.Null(heap.TakeDue(new Instant(9), all));
        Assert.Same(timers[1], heap.TakeDue(new Instant(20), all));
        Assert.Same(timers[3], heap.TakeDue(new Instant(20), all));
        Assert.Same(timers[0], heap.TakeDue(new Instant(20), all));
        Assert.Same(timers[2], heap.TakeDue(new Instant(20), all));
        Assert.Null(heap.TakeDue(new Instant(20), all));
        Assert.False(timers[0].IsSet);
    }

    [Fact]
    public void Timer_that_is_moved_is_there_once()
    {
        TimerHeap heap = new(1);
        LoopTimer timer = new(new Nobody());
        heap.Set(timer, new Instant(10));
        heap.Set(timer, new Instant(5));
        Assert.Equal(1, heap.Count);
        Assert.Equal(new Instant(5), timer.Due);
        heap.Remove(timer);
        heap.Remove(timer);
        Assert.Equal(0, heap.Count);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Random_operations_agree_with_a_sorted_list(int seed)
    {
        Random random = new(seed);
        TimerHeap heap = new(50);
        LoopTimer[] timers = new LoopTimer[50];
        for (int i = 0; i < timers.Length; i++)
        {
            timers[i] = new LoopTimer(new Nobody());
        }
        List<(long Due, int Order, LoopTimer Timer)> model = [];
        for (int step = 0; step < 20_000; step++)
        {
            LoopTimer timer = timers[random.Next(timers.Length)];
            int action = random.Next(4);
            if (action < 2)
            {
                long due = random.Next(100);
                model.RemoveAll(entry => ReferenceEquals(entry.Timer, timer));
                model.Add((due, step, timer));
                heap.Set(timer, new Instant(due));
            }
            else if (action == 2)
            {
                model.RemoveAll(entry => ReferenceEquals(entry.Timer, timer));
                heap.Remove(timer);
            }
            else
            {
                model.Sort((a, b) => (a.Due, a.Order).CompareTo((b.Due, b.Order)));
                LoopTimer? expected = model.Count > 0 && model[0].Due <= 50 ? model[0].Timer : null;
                LoopTimer? taken = heap.TakeDue(new Instant(50), heap.NextSequence);
                Assert.True(ReferenceEquals(expected, taken), $"seed={seed} step={step}");
                model.RemoveAll(entry => ReferenceEquals(entry.Timer, taken));
            }
            Assert.True(model.Count == heap.Count, $"seed={seed} step={step}");
        }
    }

    private sealed class Nobody : ITimerOwner
    {
        public void OnTimer(LoopTimer timer) => throw new InvalidOperationException();
    }
}
