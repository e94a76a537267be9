using System;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;
using Xunit;

namespace DmRemap.Tests.Devices;

/// <summary>
/// A server is met again, and what it serves at the address may be another export of the same size: nothing
/// is read from it or written to it before it is known for the member's (F-16).
/// </summary>
public sealed class NbdClientIdentityTests
{
    private const int PlaceBytes = 4096;
    private const byte Right = 0x77;
    private const long LastPlace = NbdClientWorld.SizeBytes - PlaceBytes;

    [Fact]
    public void Another_export_gets_nothing_and_the_right_one_is_used_when_it_is_back()
    {
        NbdClientWorld world = Known();
        // Nothing is under way: nobody is told of the loss by an error.
        MeetAgain(world);
        AssertAllGone(world);
        Answer(world, 0, 0);
        AssertAllGone(world);
        Answer(world, LastPlace, 0);
        Assert.True(world.Client.IsStranger);
        Assert.True(world.Stream.IsClosed);
        Assert.Contains("another export", world.Heard[^1], StringComparison.Ordinal);
        AssertAllGone(world);

        // Gone again, it is no stranger any more.
        world.ConnectErrno = 111;
        world.Loop.RunFor(Duration.FromSeconds(5));
        Assert.False(world.Client.IsStranger);
        world.ConnectErrno = 0;
        MeetAgain(world);
        Answer(world, 0, Right);
        AssertWorks(world);
    }

    /// <summary>A server without a cache has nothing to flush; one that is not known is not there.</summary>
    [Fact]
    public void What_another_export_offers_says_nothing_of_the_members_flushes()
    {
        NbdClientWorld world = Known();
        world.Stream.End();
        world.Settle();
        world.Loop.RunFor(Duration.FromSeconds(5));
        world.SayHello(flags: NbdClientWorld.AllFlags & ~4);
        NbdClientWorld.AssertGone(world.Submit(IoOperation.Flush, 0, 0));
        Answer(world, 0, 0);
        Answer(world, LastPlace, 0);
        NbdClientWorld.AssertGone(world.Submit(IoOperation.Flush, 0, 0));
    }

    [Fact]
    public void Place_that_does_not_read_is_not_the_only_one()
    {
        NbdClientWorld world = Known();
        MeetAgain(world);
        world.Answer(world.Expect(NbdCommand.Read, 0, PlaceBytes), error: 5);
        Answer(world, LastPlace, Right);
        AssertWorks(world);
    }

    [Fact]
    public void Export_of_which_no_place_reads_is_no_stranger_and_is_not_used()
    {
        NbdClientWorld world = Known();
        MeetAgain(world);
        world.Answer(world.Expect(NbdCommand.Read, 0, PlaceBytes), error: 5);
        world.Answer(world.Expect(NbdCommand.Read, LastPlace, PlaceBytes), error: 5);
        Assert.False(world.Client.IsStranger);
        AssertAllGone(world);
    }

    [Fact]
    public void Server_that_does_not_say_what_it_serves_is_given_up_after_half_a_minute()
    {
        NbdClientWorld world = Known();
        MeetAgain(world);
        world.Loop.RunFor(Duration.FromSeconds(29));
        Assert.False(world.Stream.IsClosed);
        world.Loop.RunFor(Duration.FromSeconds(1));
        Assert.True(world.Stream.IsClosed);
        AssertAllGone(world);
    }

    [Fact]
    public void Connection_that_is_lost_while_it_is_looked_at_is_made_again()
    {
        NbdClientWorld world = Known();
        MeetAgain(world);
        _ = world.Expect(NbdCommand.Read, 0, PlaceBytes);
        MeetAgain(world);
        Answer(world, 0, Right);
        AssertWorks(world);
    }

    [Fact]
    public void Client_that_is_retired_while_it_looks_ends()
    {
        NbdClientWorld world = Known();
        MeetAgain(world);
        Assert.True(world.Client.IsIdle);
        world.Client.Retire();
        world.Settle();
        Assert.True(world.Client.IsClosed);
        Assert.Equal(0, world.Client.InFlight);
        world.Loop.RunFor(Duration.FromSeconds(60));
        Assert.True(world.Stream.IsClosed);
    }

    /// <summary>Each answer that it gives is not a reason to ask at once again.</summary>
    [Fact]
    public void Another_export_is_asked_less_and_less_often()
    {
        NbdClientWorld world = Known();
        MeetAgain(world);
        for (int i = 0; i < 8; i++)
        {
            Answer(world, 0, 0);
            Answer(world, LastPlace, 0);
            world.Loop.RunFor(Duration.FromSeconds(5));
            world.SayHello();
        }
        int before = world.Attempts;
        Answer(world, 0, 0);
        Answer(world, LastPlace, 0);
        world.Loop.RunFor(Duration.FromMilliseconds(4999));
        Assert.Equal(before, world.Attempts);
    }

    /// <summary>Between the reading of its superblocks and this, it may have become another.</summary>
    [Fact]
    public void Member_that_was_met_twice_before_it_was_known_is_looked_at_again()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        MeetAgain(world);
        Assert.True(world.Client.IsConnected);
        world.Client.Know(new FirstAndLast());
        world.Settle();
        Assert.False(world.Client.IsConnected);
        world.Loop.RunFor(Duration.FromSeconds(5));
        world.SayHello();
        Answer(world, 0, Right);
        AssertWorks(world);
    }

    private static NbdClientWorld Known()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        world.Client.Know(new FirstAndLast());
        return world;
    }

    private static void MeetAgain(NbdClientWorld world)
    {
        if (!world.Stream.IsClosed)
        {
            world.Stream.End();
        }
        world.Settle();
        world.Loop.RunFor(Duration.FromSeconds(5));
        world.SayHello();
    }

    private static void Answer(NbdClientWorld world, long offset, byte value)
    {
        byte[] content = new byte[PlaceBytes];
        content[0] = value;
        world.Answer(world.Expect(NbdCommand.Read, offset, PlaceBytes), 0, content);
    }

    /// <summary>Data, metadata and flushes alike.</summary>
    private static void AssertAllGone(NbdClientWorld world)
    {
        Assert.False(world.Client.IsConnected);
        NbdClientWorld.AssertGone(world.Submit(IoOperation.Read, 0, 1));
        NbdClientWorld.AssertGone(world.Submit(IoOperation.Write, 0, 1));
        NbdClientWorld.AssertGone(world.Submit(IoOperation.Write, 0, 1, IoFlags.Metadata));
        NbdClientWorld.AssertGone(world.Submit(IoOperation.Flush, 0, 0));
    }

    private static void AssertWorks(NbdClientWorld world)
    {
        Assert.True(world.Client.IsConnected);
        IoRequest read = world.Submit(IoOperation.Read, 8, 1);
        world.Answer(world.Expect(NbdCommand.Read, 4096, 512), 0, new byte[512]);
        NbdClientWorld.AssertOk(read);
    }

    private sealed class FirstAndLast : IMemberIdentity
    {
        public int Places => 2;

        public Extent PlaceAt(int index) => new(
            new BlockNumber(index == 0 ? 0 : LastPlace / NbdClientWorld.BlockBytes),
            new BlockCount(PlaceBytes / NbdClientWorld.BlockBytes));

        public bool IsIt(int index, ReadOnlySpan<byte> content) => content[0] == Right;
    }
}
