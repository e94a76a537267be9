using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Flushing;
using Xunit;

namespace DmRemap.Tests.Flushing;

/// <summary>The list of blocks that may be lost (F-9).</summary>
public sealed class UncertainWritesTests
{
    private const int Blocks = 512;

    [Fact]
    public void Extents_that_touch_become_one_and_the_list_is_sorted()
    {
        UncertainWrites list = new(8);
        list.Add(Of(100, 10));
        list.Add(Of(0, 10));
        list.Add(Of(50, 10));
        list.Add(Of(10, 40));
        Assert.Equal(2, list.Count);
        Assert.Equal(Of(0, 60), list[0]);
        Assert.Equal(Of(100, 10), list[1]);
        list.Add(default);
        Assert.Equal(2, list.Count);
    }

    [Fact]
    public void A_full_list_joins_the_two_that_lie_closest()
    {
        UncertainWrites list = new(3);
        list.Add(Of(0, 10));
        list.Add(Of(100, 10));
        list.Add(Of(113, 10));
        list.Add(Of(300, 10));
        Assert.Equal(3, list.Count);
        Assert.Equal(Of(100, 23), list[1]);
        list.Add(Of(200, 10));
        Assert.Equal(3, list.Count);
    }

    [Fact]
    public void What_is_rewritten_is_certain_when_a_flush_that_began_later_has_succeeded()
    {
        UncertainWrites list = new(8);
        list.Add(Of(0, 20));
        list.OnFlushBegun();
        list.OnRewritten(Of(0, 20), isDurable: false);
        list.OnFlushSucceeded();
        Assert.False(list.IsEmpty);
        list.OnFlushBegun();
        list.OnFlushSucceeded();
        Assert.True(list.IsEmpty);
    }

    [Fact]
    public void A_flush_that_fails_makes_nothing_certain_and_neither_does_the_next()
    {
        UncertainWrites list = new(8);
        list.Add(Of(0, 20));
        list.OnRewritten(Of(0, 20), isDurable: false);
        list.OnFlushBegun();
        list.OnFlushFailed();
        list.OnFlushBegun();
        list.OnFlushSucceeded();
        Assert.False(list.IsEmpty);
    }

    [Fact]
    public void What_becomes_uncertain_anew_has_not_been_rewritten()
    {
        UncertainWrites list = new(8);
        list.Add(Of(0, 20));
        list.OnRewritten(Of(0, 20), isDurable: false);
        list.OnFlushBegun();
        list.Add(Of(5, 1));
        list.OnFlushSucceeded();
        Assert.Equal(Of(0, 20), list[0]);
    }

    [Fact]
    public void A_forced_write_makes_its_blocks_certain_at_once()
    {
        UncertainWrites list = new(8);
        list.Add(Of(0, 20));
        list.OnRewritten(Of(5, 5), isDurable: true);
        Assert.Equal(2, list.Count);
        Assert.Equal(Of(0, 5), list[0]);
        Assert.Equal(Of(10, 10), list[1]);
    }

    /// <summary>
    /// Against one flag for each block: what must be named is, whatever the bounds make of it.
    /// </summary>
    [Theory]
    [InlineData(2)]
    [InlineData(5)]
    [InlineData(200)]
    public void No_block_is_certain_that_was_not_rewritten_and_flushed(int capacity)
    {
        for (int seed = 1; seed <= 200; seed++)
        {
            Random draw = new(seed);
            UncertainWrites list = new(capacity);
            State[] model = new State[Blocks];
            for (int step = 0; step < 200; step++)
            {
                Step(list, model, draw, capacity < 100 ? 6 : 8);
                Assert.InRange(list.Count, 0, capacity);
                AssertNamed(list, model, $"seed={seed} step={step}");
            }
        }
    }

    [Fact]
    public void Where_there_is_room_rewriting_everything_ends_all_doubt()
    {
        UncertainWrites list = new(256);
        for (int i = 0; i < 100; i++)
        {
            list.Add(Of(i * 10, 5));
        }
        for (int i = 99; i >= 0; i--)
        {
            list.OnRewritten(Of(i * 10, 5), isDurable: false);
        }
        list.OnFlushBegun();
        list.OnFlushSucceeded();
        Assert.True(list.IsEmpty);
    }

    private enum State : byte
    {
        Certain = 0,
        Uncertain = 1,
        Rewritten = 2,
        Covered = 3,
    }

    private static void Step(UncertainWrites list, State[] model, Random draw, int lengthMax)
    {
        int start = draw.Next(Blocks - lengthMax);
        int count = draw.Next(1, lengthMax);
        Span<State> at = model.AsSpan(start, count);
        switch (draw.Next(7))
        {
            case 0:
                list.Add(Of(start, count));
                // All rewriting is forgotten: it may have been before the loss.
                Change(model, State.Rewritten, State.Uncertain);
                Change(model, State.Covered, State.Uncertain);
                at.Fill(State.Uncertain);
                break;
            case 1:
                list.OnFlushBegun();
                Change(model, State.Covered, State.Uncertain);
                Change(model, State.Rewritten, State.Covered);
                break;
            case 2:
                list.OnFlushSucceeded();
                Change(model, State.Covered, State.Certain);
                break;
            case 3:
                list.OnFlushFailed();
                Change(model, State.Covered, State.Uncertain);
                break;
            case 4:
                list.OnRewritten(Of(start, count), isDurable: true);
                at.Clear();
                break;
            default:
                list.OnRewritten(Of(start, count), isDurable: false);
                Change(at, State.Uncertain, State.Rewritten);
                break;
        }
    }

    private static void Change(Span<State> model, State from, State to)
    {
        for (int i = 0; i < model.Length; i++)
        {
            model[i] = model[i] == from ? to : model[i];
        }
    }

    private static void AssertNamed(UncertainWrites list, State[] model, string when)
    {
        bool[] named = new bool[Blocks];
        for (int i = 0; i < list.Count; i++)
        {
            Assert.True(i == 0 || list[i - 1].End < list[i].Start, $"{when}: not sorted, or touching");
            named.AsSpan((int)list[i].Start.Value, (int)list[i].Count.Value).Fill(true);
        }
        for (int block = 0; block < Blocks; block++)
        {
            Assert.True(named[block] || model[block] == State.Certain, $"{when}: block {block} is forgotten");
        }
    }

    private static Extent Of(long start, long count) => new(new BlockNumber(start), new BlockCount(count));
}
