using System.Collections.Generic;
using System.Threading;
using DmRemap.Linux.Epoll;
using Xunit;

namespace DmRemap.Tests.Linux;

public sealed class SlotQueueTests
{
    [Fact]
    public void Queue_gives_back_what_was_added_in_its_order_and_any_number_of_rounds()
    {
        SlotQueue queue = new(8);
        int added = 0;
        int taken = 0;
        for (int round = 0; round < 100; round++)
        {
            for (int i = 0; i <= round % 8; i++)
            {
                queue.Add(added++);
            }
            Assert.Equal(added - taken, queue.Count);
            while (queue.TryTake(out int slot))
            {
                Assert.Equal(taken++, slot);
            }
            Assert.Equal(added, taken);
        }
    }

    [Fact]
    public void Every_number_is_taken_once_by_one_of_many_threads()
    {
        const int Threads = 4;
        const int Numbers = 200_000;
        SlotQueue queue = new(64);
        int left = Numbers;
        List<int>[] taken = new List<int>[Threads];
        Thread[] threads = new Thread[Threads];
        for (int t = 0; t < Threads; t++)
        {
            List<int> mine = taken[t] = [];
            threads[t] = new Thread(() =>
            {
                while (Volatile.Read(ref left) > 0)
                {
                    if (queue.TryTake(out int slot))
                    {
                        mine.Add(slot);
                        Interlocked.Decrement(ref left);
                    }
                    else
                    {
                        Thread.Yield();
                    }
                }
            });
            threads[t].Start();
        }
        for (int i = 0; i < Numbers; i++)
        {
            while (queue.Count == 64)
            {
                Thread.Yield();
            }
            queue.Add(i);
        }
        HashSet<int> all = [];
        for (int t = 0; t < Threads; t++)
        {
            threads[t].Join();
            int last = -1;
            foreach (int slot in taken[t])
            {
                Assert.True(slot > last);
                Assert.True(all.Add(slot));
                last = slot;
            }
        }
        Assert.Equal(Numbers, all.Count);
    }
}
