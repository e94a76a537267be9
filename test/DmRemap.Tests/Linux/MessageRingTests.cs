using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Loop;
using Xunit;

namespace DmRemap.Tests.Linux;

public sealed class MessageRingTests
{
    [Fact]
    public void Messages_come_out_in_the_order_they_went_in_round_after_round()
    {
        MessageRing ring = new(4);
        for (int round = 0; round < 10; round++)
        {
            Numbered[] messages = [new(0, 0), new(0, 1), new(0, 2)];
            foreach (Numbered message in messages)
            {
                Assert.True(ring.TryAdd(message));
            }
            foreach (Numbered message in messages)
            {
                Assert.Same(message, ring.TryTake());
            }
            Assert.Null(ring.TryTake());
        }
    }

    [Fact]
    public void Full_ring_refuses_until_one_is_taken()
    {
        MessageRing ring = new(2);
        Assert.True(ring.TryAdd(new Numbered(0, 0)));
        Assert.True(ring.TryAdd(new Numbered(0, 1)));
        Assert.False(ring.TryAdd(new Numbered(0, 2)));
        Assert.NotNull(ring.TryTake());
        Assert.True(ring.TryAdd(new Numbered(0, 3)));
        Assert.False(ring.TryAdd(new Numbered(0, 4)));
    }

    [Fact]
    public void Closed_ring_gives_out_what_it_took_and_takes_no_more()
    {
        MessageRing ring = new(4);
        Numbered message = new(0, 0);
        Assert.True(ring.TryAdd(message));
        ring.Close();
        Assert.False(ring.TryAdd(new Numbered(0, 1)));
        Assert.Same(message, ring.TakeRemaining());
        Assert.Null(ring.TakeRemaining());
    }

    [Fact]
    public void Many_producers_lose_nothing_and_each_keeps_its_order_also_across_close()
    {
        const int Producers = 4;
        const int Taken = 50_000;
        MessageRing ring = new(64);
        bool isOver = false;
        int[] accepted = new int[Producers];
        Thread[] threads = new Thread[Producers];
        for (int p = 0; p < Producers; p++)
        {
            int producer = p;
            threads[p] = new Thread(() =>
            {
                while (!Volatile.Read(ref isOver))
                {
                    // Refused while it is full, and for ever once it is closed.
                    if (ring.TryAdd(new Numbered(producer, accepted[producer])))
                    {
                        accepted[producer]++;
                    }
                }
            });
            threads[p].Start();
        }
        int[] next = new int[Producers];
        for (int taken = 0; taken < Taken;)
        {
            taken += Count(ring.TryTake(), next);
        }
        ring.Close();
        while (ring.TakeRemaining() is { } message)
        {
            Count(message, next);
        }
        Volatile.Write(ref isOver, true);
        foreach (Thread thread in threads)
        {
            thread.Join();
        }
        Assert.Equal(accepted, next);
    }

    private static int Count(ILoopMessage? message, int[] next)
    {
        if (message is not Numbered numbered)
        {
            return 0;
        }
        Assert.Equal(next[numbered.Producer], numbered.Number);
        next[numbered.Producer]++;
        return 1;
    }

    private sealed record Numbered(int Producer, int Number) : ILoopMessage
    {
        public void Run()
        {
        }
    }
}
