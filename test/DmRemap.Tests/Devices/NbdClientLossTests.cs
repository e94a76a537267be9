using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;
using DmRemap.Tests.Nbd;
using Xunit;

namespace DmRemap.Tests.Devices;

/// <summary>Connections that end, and what is believed after them.</summary>
public sealed class NbdClientLossTests
{
    private const int WithoutFlush = NbdClientWorld.AllFlags & ~4;

    public static TheoryData<string> Lies => [.. s_lies.Keys];

    // Each is said to a client that has one READ of 512 bytes outstanding, whose cookie is given.
    private static readonly Dictionary<string, Func<ulong, ConversationBuilder>> s_lies = new()
    {
        ["no magic"] = cookie => new ConversationBuilder().UInt32(0).UInt32(0).UInt64(cookie),
        ["a structured reply"] =
            cookie => new ConversationBuilder().UInt32(0x668e33ef).UInt16(1).UInt16(1).UInt64(cookie)
                .UInt32(0),
        ["an unknown cookie"] = cookie => new ConversationBuilder().Reply(cookie + 0x10000),
        ["a slot that is none"] = cookie => new ConversationBuilder().Reply(cookie | 0xffff),
        ["cookie zero"] = _ => new ConversationBuilder().Reply(0),
        ["one error twice"] = cookie => new ConversationBuilder().Reply(cookie, 5).Reply(cookie, 5),
        ["data after an error"] = cookie => new ConversationBuilder().Reply(cookie, 5).Zeroes(512),
    };

    [Theory]
    [MemberData(nameof(Lies))]
    public void Server_that_breaks_the_protocol_loses_the_connection_and_nothing_else(string name)
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        IoRequest read = world.Submit(IoOperation.Read, 0, 1);
        IoRequest other = world.Submit(IoOperation.Read, 8, 1);
        ulong cookie = world.Expect(NbdCommand.Read, 0, 512);
        world.Stream.Write(s_lies[name](cookie).ToArray());
        world.Settle();
        Assert.False(world.Client.IsConnected);
        Assert.True(world.Stream.IsClosed);
        NbdClientWorld.AssertGone(other);
        Assert.False(read.IsSubmitted);
        Assert.NotEqual(IoStatus.Ok, read.Status);
        Assert.Equal(0, world.Client.InFlight);
        Assert.Equal(["connected", world.Client.Problem], world.Heard);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(7)]
    [InlineData(16)]
    [InlineData(16 + 511)]
    public void Stream_that_ends_in_a_reply_makes_the_read_gone(int bytes)
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        IoRequest read = world.Submit(IoOperation.Read, 0, 1);
        ulong cookie = world.Expect(NbdCommand.Read, 0, 512);
        world.Stream.Write(
            new ConversationBuilder().Reply(cookie, 0, new byte[512]).ToArray().AsSpan(0, bytes));
        world.Stream.End();
        world.Settle();
        NbdClientWorld.AssertGone(read);
    }

    [Fact]
    public void Random_bytes_from_the_server_never_do_more_than_end_the_connection()
    {
        for (int seed = 1; seed <= 300; seed++)
        {
            Random random = new(seed);
            NbdClientWorld world = new NbdClientWorld().Started();
            IoRequest[] requests =
                [world.Submit(IoOperation.Read, 0, 64), world.Submit(IoOperation.Write, 64, 1)];
            ulong cookie = world.Expect(NbdCommand.Read, 0, 32_768);
            byte[] reply = new ConversationBuilder().Reply(cookie, 0, new byte[32_768]).ToArray();
            for (int i = random.Next(4); i >= 0; i--)
            {
                reply[random.Next(16)] = (byte)random.Next(256);
            }
            world.Stream.Write(reply);
            world.Stream.End();
            world.Settle();
            Assert.All(requests, request => Assert.False(request.IsSubmitted, $"seed={seed}"));
            Assert.Equal(0, world.Client.InFlight);
        }
    }

    [Fact]
    public void Buffers_stay_with_the_connection_until_it_is_closed()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        world.Stream.HoldsClose = true;
        IoRequest sent = world.Submit(IoOperation.Write, 0, 1);
        _ = world.Expect(NbdCommand.Write, 0, 512);
        world.Stream.Break();
        world.Settle();
        Assert.True(world.Stream.IsCloseCalled);
        Assert.True(sent.IsSubmitted);
        // What comes now has no buffer with anybody: it is gone at once.
        NbdClientWorld.AssertGone(world.Submit(IoOperation.Read, 0, 1));
        NbdClientWorld.AssertGone(world.Submit(IoOperation.Flush, 0, 0));
        Assert.True(sent.IsSubmitted);
        world.Stream.ReleaseClose();
        world.Settle();
        NbdClientWorld.AssertGone(sent);
    }

    [Fact]
    public void Lost_with_nothing_written_it_is_tried_again_after_a_tenth_of_a_second()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        IoRequest read = world.Submit(IoOperation.Read, 0, 1);
        world.Stream.End();
        world.Settle();
        NbdClientWorld.AssertGone(read);
        world.Loop.RunFor(Duration.FromMilliseconds(99));
        Assert.Equal(1, world.Attempts);
        world.Loop.RunFor(Duration.FromMilliseconds(1));
        Assert.Equal(2, world.Attempts);
        world.SayHello();
        IoRequest again = world.Submit(IoOperation.Read, 0, 1);
        world.Answer(world.Expect(NbdCommand.Read, 0, 512), 0, new byte[512]);
        NbdClientWorld.AssertOk(again);
        Assert.Equal(0, world.Client.CacheLosses);
    }

    [Fact]
    public void Pauses_between_attempts_double_up_to_five_seconds_and_begin_anew_after_an_answer()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        world.ConnectErrno = 111;
        world.Stream.End();
        world.Settle();
        foreach (int pauseMs in new[] { 100, 200, 400, 800, 1600, 3200, 5000, 5000 })
        {
            int before = world.Attempts;
            world.Loop.RunFor(Duration.FromMilliseconds(pauseMs - 1));
            Assert.Equal(before, world.Attempts);
            world.Loop.RunFor(Duration.FromMilliseconds(1));
            Assert.Equal(before + 1, world.Attempts);
        }
        world.ConnectErrno = 0;
        world.Loop.RunFor(Duration.FromMilliseconds(5000));
        world.SayHello();
        IoRequest read = world.Submit(IoOperation.Read, 0, 1);
        world.Answer(world.Expect(NbdCommand.Read, 0, 512), 0, new byte[512]);
        NbdClientWorld.AssertOk(read);
        int attempts = world.Attempts;
        world.Stream.End();
        world.Settle();
        world.Loop.RunFor(Duration.FromMilliseconds(100));
        Assert.Equal(attempts + 1, world.Attempts);
    }

    [Theory]
    [InlineData(IoOperation.Write, NbdCommand.Write)]
    [InlineData(IoOperation.WriteZeroes, NbdCommand.WriteZeroes)]
    [InlineData(IoOperation.Discard, NbdCommand.Trim)]
    public void Lost_with_a_change_unanswered_nothing_is_sent_before_the_fence_delay_has_passed(
        IoOperation operation, NbdCommand command)
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        IoRequest change = world.Submit(operation, 0, 1);
        _ = world.Expect(command, 0, 512);
        world.Stream.End();
        world.Settle();
        NbdClientWorld.AssertGone(change);
        world.Loop.RunFor(Duration.FromMilliseconds(Limits.NbdFenceMs - 1));
        Assert.Equal(1, world.Attempts);
        NbdClientWorld.AssertGone(world.Submit(operation, 0, 1));
        world.Loop.RunFor(Duration.FromMilliseconds(1));
        Assert.Equal(2, world.Attempts);
        world.SayHello();
        Assert.True(world.Client.IsConnected);
    }

    [Fact]
    public void Write_that_was_never_sent_asks_for_no_fence()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        List<IoRequest> reads = [];
        for (int i = 0; i < Limits.MemberQueueDepth; i++)
        {
            reads.Add(world.Submit(IoOperation.Read, i, 1));
        }
        IoRequest inLine = world.Submit(IoOperation.Write, 0, 1);
        world.Stream.End();
        world.Settle();
        Assert.All(reads, NbdClientWorld.AssertGone);
        NbdClientWorld.AssertGone(inLine);
        world.Loop.RunFor(Duration.FromMilliseconds(Limits.NbdRetryMsMin));
        Assert.Equal(2, world.Attempts);
    }

    [Fact]
    public void Export_that_came_back_with_another_size_is_not_accepted()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        world.Stream.End();
        world.Settle();
        world.Loop.RunFor(Duration.FromMilliseconds(100));
        world.SayHello(sizeBytes: NbdClientWorld.SizeBytes * 2);
        Assert.False(world.Client.IsConnected);
        Assert.Contains("bytes now", world.Client.Problem, StringComparison.Ordinal);
        NbdClientWorld.AssertGone(world.Submit(IoOperation.Read, 0, 1));
        world.Loop.RunFor(Duration.FromMilliseconds(200));
        world.SayHello(flags: NbdClientWorld.AllFlags | 2);
        Assert.False(world.Client.IsConnected);
        Assert.Contains("read-only", world.Client.Problem, StringComparison.Ordinal);
        world.Loop.RunFor(Duration.FromMilliseconds(400));
        world.SayHello();
        Assert.True(world.Client.IsConnected);
    }

    [Fact]
    public void Server_that_says_nothing_after_the_connection_is_given_up()
    {
        NbdClientWorld world = new();
        world.Client.Start();
        world.Settle();
        world.Loop.RunFor(Duration.FromMilliseconds(Limits.NbdHandshakeMs - 1));
        Assert.Empty(world.Heard);
        world.Loop.RunFor(Duration.FromMilliseconds(1));
        Assert.Single(world.Heard);
        Assert.True(world.Stream.IsClosed);
    }

    [Fact]
    public void Writes_acknowledged_since_the_last_flush_and_then_a_loss_count_once()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        Write(world, IoFlags.None);
        LoseAndReturn(world);
        Assert.Equal(1, world.Client.CacheLosses);
        // Whoever looks at the count knows that this one does not speak of what was lost.
        Flush(world);
        LoseAndReturn(world);
        Assert.Equal(1, world.Client.CacheLosses);
        // The rest goes on, also what is durable by itself.
        Write(world, IoFlags.ForceUnitAccess);
    }

    /// <summary>It covers what a former instance wrote, and a server says once that it has lost it.</summary>
    [Fact]
    public void Opening_flush_that_fails_is_a_loss()
    {
        NbdClientWorld world = new();
        world.Client.Start();
        world.SayHello();
        world.Answer(world.Expect(NbdCommand.Flush, 0, 0), error: 5);
        Assert.Equal(1, world.Client.CacheLosses);
        Flush(world);
        LoseAndReturn(world);
        Assert.Equal(1, world.Client.CacheLosses);
    }

    [Fact]
    public void Flushed_writes_and_a_loss_lose_nothing()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        Write(world, IoFlags.None);
        Flush(world);
        LoseAndReturn(world);
        Assert.Equal(0, world.Client.CacheLosses);
        Flush(world);
    }

    [Fact]
    public void Write_acknowledged_while_a_flush_is_out_is_not_covered_by_it()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        IoRequest flush = world.Submit(IoOperation.Flush, 0, 0);
        ulong cookie = world.Expect(NbdCommand.Flush, 0, 0);
        Write(world, IoFlags.None);
        world.Answer(cookie);
        NbdClientWorld.AssertOk(flush);
        LoseAndReturn(world);
        Assert.Equal(1, world.Client.CacheLosses);
    }

    [Fact]
    public void Failed_flush_covers_nothing()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        Write(world, IoFlags.None);
        IoRequest flush = world.Submit(IoOperation.Flush, 0, 0);
        world.Answer(world.Expect(NbdCommand.Flush, 0, 0), 5);
        Assert.Equal(IoStatus.DeviceError, flush.Status);
        LoseAndReturn(world);
        Assert.Equal(1, world.Client.CacheLosses);
    }

    [Fact]
    public void Durable_writes_and_servers_without_a_cache_lose_nothing()
    {
        NbdClientWorld durable = new NbdClientWorld().Started();
        Write(durable, IoFlags.ForceUnitAccess);
        LoseAndReturn(durable);
        Assert.Equal(0, durable.Client.CacheLosses);
        Flush(durable);

        NbdClientWorld uncached = new NbdClientWorld(WithoutFlush & ~8).Started();
        Write(uncached, IoFlags.None);
        LoseAndReturn(uncached);
        Assert.Equal(0, uncached.Client.CacheLosses);
        NbdClientWorld.AssertOk(uncached.Submit(IoOperation.Flush, 0, 0));
    }

    [Fact]
    public void What_a_former_instance_wrote_is_flushed_at_the_beginning_and_uncertain_until_then()
    {
        NbdClientWorld world = new();
        world.Client.Start();
        world.SayHello();
        ulong flush = world.Expect(NbdCommand.Flush, 0, 0);
        world.Stream.End();
        world.Settle();
        Assert.Equal(1, world.Client.CacheLosses);

        world = new();
        world.Client.Start();
        world.SayHello();
        flush = world.Expect(NbdCommand.Flush, 0, 0);
        world.Answer(flush);
        world.Stream.End();
        world.Settle();
        Assert.Equal(0, world.Client.CacheLosses);
    }

    private static void Write(NbdClientWorld world, IoFlags flags)
    {
        IoRequest write = world.Submit(IoOperation.Write, 0, 1, flags);
        world.Answer(world.Expect(NbdCommand.Write, 0, 512));
        if (flags == IoFlags.ForceUnitAccess)
        {
            world.Answer(world.Expect(NbdCommand.Flush, 0, 0));
        }
        NbdClientWorld.AssertOk(write);
    }

    private static void Flush(NbdClientWorld world)
    {
        IoRequest flush = world.Submit(IoOperation.Flush, 0, 0);
        world.Answer(world.Expect(NbdCommand.Flush, 0, 0));
        NbdClientWorld.AssertOk(flush);
    }

    private static void LoseAndReturn(NbdClientWorld world)
    {
        world.Stream.Break();
        world.Settle();
        world.Loop.RunFor(Duration.FromMilliseconds(100));
        world.SayHello();
        Assert.True(world.Client.IsConnected);
    }
}
