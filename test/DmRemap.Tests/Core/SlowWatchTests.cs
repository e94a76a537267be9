using DmRemap.Core.Abstractions;
using DmRemap.Core.Accounting;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Core;

/// <summary>When a device counts as slow, and for how long (condition slow).</summary>
public sealed class SlowWatchTests
{
    private static readonly Duration s_window = Duration.FromSeconds(5);

    private readonly SlowWatch _watch = new();
    private readonly OperationLatencies _operations = new();

    /// <summary>A window of so many reads of this length; true when the verdict has changed.</summary>
    private bool Window(int reads, double milliseconds, double oldestSeconds = 0)
    {
        for (int i = 0; i < reads; i++)
        {
            _operations.Reads.Record(new Duration((long)(milliseconds * 1e6)));
        }
        return _watch.Look(_operations, s_window, new Duration((long)(oldestSeconds * 1e9)));
    }

    private void Windows(int count, int reads, double milliseconds)
    {
        for (int i = 0; i < count; i++)
        {
            Window(reads, milliseconds);
        }
    }

    [Fact]
    public void Three_windows_far_above_the_usual_begin_it_and_twelve_calm_ones_end_it()
    {
        Windows(20, 100, 8);
        Assert.False(_watch.IsSlow);
        Windows(2, 20, 120);
        Assert.False(_watch.IsSlow);
        Assert.True(Window(20, 120));
        Assert.True(_watch.IsSlow);
        Windows(11, 100, 8);
        Assert.True(_watch.IsSlow);
        Assert.True(Window(100, 8));
        Assert.False(_watch.IsSlow);
    }

    /// <summary>A disk that is bad every other window neither begins nor ends it at each of them.</summary>
    [Fact]
    public void It_does_not_flap()
    {
        Windows(20, 100, 8);
        int changes = 0;
        for (int i = 0; i < 200; i++)
        {
            changes += Window(20, i % 2 == 0 ? 200 : 30) ? 1 : 0;
        }
        Assert.InRange(changes, 0, 1);
    }

    [Fact]
    public void A_disk_does_not_get_used_to_being_slow()
    {
        Windows(20, 100, 8);
        Windows(500, 20, 120);
        Assert.True(_watch.IsSlow);
        Assert.InRange(_watch.Reads.UsualMedian.TotalMilliseconds, 7, 10);
    }

    /// <summary>Four times as long, and short all the same.</summary>
    [Fact]
    public void What_stays_below_the_floor_is_not_slow_however_fast_it_was()
    {
        Windows(20, 100, 0.1);
        Windows(20, 100, 20);
        Assert.False(_watch.IsSlow);
    }

    [Fact]
    public void A_disk_that_always_was_so_is_not_slow()
    {
        Windows(50, 20, 120);
        Assert.False(_watch.IsSlow);
        Windows(50, 20, 300);
        Assert.False(_watch.IsSlow);
    }

    /// <summary>64 at once on a disk that does one in 10 ms wait 640 ms for each other.</summary>
    [Fact]
    public void Many_at_once_that_wait_for_each_other_are_not_slow()
    {
        Windows(20, 400, 10);
        Windows(20, 500, 640);
        Assert.False(_watch.IsSlow);
    }

    /// <summary>As weak sectors make it: most are fast, one in twenty takes seconds.</summary>
    [Fact]
    public void A_few_that_take_seconds_make_it_slow()
    {
        Windows(20, 100, 8);
        for (int i = 0; i < 3; i++)
        {
            _operations.Reads.Record(Duration.FromSeconds(2));
            Window(19, 8);
        }
        Assert.True(_watch.IsSlow);
    }

    [Fact]
    public void One_operation_that_is_out_for_five_seconds_is_enough()
    {
        Assert.False(Window(0, 0, oldestSeconds: 4.9));
        Assert.True(Window(0, 0, oldestSeconds: 5));
        Assert.True(_watch.IsSlow);
        for (int i = 0; i < SlowWatch.QuietWindowsMin - 1; i++)
        {
            Assert.False(Window(0, 0));
        }
        Assert.True(Window(3, 1));
        Assert.False(_watch.IsSlow);
    }

    [Fact]
    public void Without_a_past_only_what_is_slow_for_any_disk_is()
    {
        Windows(3, 20, 120);
        Assert.False(_watch.IsSlow);
        SlowWatch other = new();
        OperationLatencies operations = new();
        for (int window = 0; window < 3; window++)
        {
            for (int i = 0; i < 16; i++)
            {
                operations.Writes.Record(Duration.FromMilliseconds(2000));
            }
            other.Look(operations, Duration.FromSeconds(60), Duration.Zero);
        }
        Assert.True(other.IsSlow);
    }

    [Fact]
    public void Few_operations_say_nothing()
    {
        Windows(20, 100, 8);
        Windows(100, LatencyTrend.CountMin - 1, 3000);
        Assert.False(_watch.IsSlow);
    }

    /// <summary>As a disk with a growing queue: reads and writes each against their own past.</summary>
    [Fact]
    public void Writes_that_are_slower_than_reads_as_ever_are_not_slow()
    {
        for (int window = 0; window < 50; window++)
        {
            for (int i = 0; i < 20; i++)
            {
                _operations.Reads.Record(Duration.FromMilliseconds(window < 25 ? 1 : 2));
                _operations.Writes.Record(Duration.FromMilliseconds(60));
            }
            _watch.Look(_operations, s_window, Duration.Zero);
        }
        Assert.False(_watch.IsSlow);
    }

    [Fact]
    public void Looking_allocates_nothing()
    {
        Windows(10, 20, 8);
        Allocations.AssertNone(() => Windows(100, 20, 8));
    }
}
