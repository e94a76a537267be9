using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;
using DmRemap.Tests.Nbd;
using Xunit;

namespace DmRemap.Tests.Devices;

/// <summary>Requests and answers, to the byte.</summary>
public sealed class NbdClientTests
{
    private const int HasFlags = 1;
    private const int CanFlush = 4;
    private const int CanFua = 8;
    private const int Fua = 1;
    private const int NoHole = 2;
    private const uint Eio = 5;

    [Fact]
    public void Write_is_header_and_payload_and_its_answer_completes_it()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        IoRequest write = world.Submit(IoOperation.Write, 8, 2, seed: 7);
        byte[] said = world.Stream.Output.ToArray();
        ulong cookie = world.Expect(NbdCommand.Write, 4096, 1024);
        Assert.Equal(28 + 1024, said.Length);
        Assert.All(said[28..], value => Assert.Equal(7, value));
        Assert.True(write.IsSubmitted);
        world.Answer(cookie);
        NbdClientWorld.AssertOk(write);
        Assert.Equal(0, world.Client.InFlight);
    }

    [Fact]
    public void Answers_in_another_order_complete_the_requests_that_they_name()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        IoRequest first = world.Submit(IoOperation.Read, 0, 1);
        IoRequest second = world.Submit(IoOperation.Read, 1, 2);
        IoRequest third = world.Submit(IoOperation.Write, 4, 1);
        ulong a = world.Expect(NbdCommand.Read, 0, 512);
        ulong b = world.Expect(NbdCommand.Read, 512, 1024);
        ulong c = world.Expect(NbdCommand.Write, 2048, 512);
        world.Answer(c);
        NbdClientWorld.AssertOk(third);
        world.Answer(b, 0, Enumerable.Repeat((byte)2, 1024).ToArray());
        NbdClientWorld.AssertOk(second);
        Assert.True(first.IsSubmitted);
        world.Answer(a, 0, Enumerable.Repeat((byte)1, 512).ToArray());
        NbdClientWorld.AssertOk(first);
        Assert.All(first.Buffer.Span.ToArray(), value => Assert.Equal(1, value));
        Assert.All(second.Buffer.Span.ToArray(), value => Assert.Equal(2, value));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(1000)]
    [InlineData(20_000)]
    [InlineData(int.MaxValue)]
    public void Long_read_arrives_whole_however_it_is_cut(int piece)
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        world.Stream.Cut = () => piece;
        IoRequest read = world.Submit(IoOperation.Read, 0, 256);
        IoRequest after = world.Submit(IoOperation.Read, 256, 1);
        byte[] data = new byte[131_072];
        new Random(1).NextBytes(data);
        ulong cookie = world.Expect(NbdCommand.Read, 0, data.Length);
        ulong next = world.Expect(NbdCommand.Read, data.Length, 512);
        world.Stream.Write(
            new ConversationBuilder().Reply(cookie, 0, data).Reply(next, 0, new byte[512]).ToArray());
        world.Settle();
        NbdClientWorld.AssertOk(read);
        NbdClientWorld.AssertOk(after);
        Assert.True(read.Buffer.Span.SequenceEqual(data));
    }

    [Fact]
    public void Errors_keep_their_number_and_a_read_that_failed_has_no_data()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        IoRequest read = world.Submit(IoOperation.Read, 0, 1);
        world.Answer(world.Expect(NbdCommand.Read, 0, 512), Eio);
        Assert.Equal((IoStatus.DeviceError, 5), (read.Status, read.Errno));
        IoRequest zeroes = world.Submit(IoOperation.WriteZeroes, 0, 1);
        world.Answer(world.Expect(NbdCommand.WriteZeroes, 0, 512), 95);
        Assert.Equal(IoStatus.Unsupported, zeroes.Status);
        IoRequest write = world.Submit(IoOperation.Write, 0, 1);
        world.Answer(world.Expect(NbdCommand.Write, 0, 512), 28);
        Assert.Equal((IoStatus.DeviceError, 28), (write.Status, write.Errno));
        Assert.True(world.Client.IsConnected);
    }

    [Fact]
    public void Zeroes_and_discards_go_in_slices_with_their_flags()
    {
        const long mebi = 1 << 20;
        NbdClientWorld world = new NbdClientWorld(sizeBytes: 200 * mebi).Started();
        IoRequest zeroes = world.Submit(
            IoOperation.WriteZeroes, 0, 150 * 2048, IoFlags.KeepAllocated | IoFlags.ForceUnitAccess);
        const int slice = Limits.ZeroingSliceBytes;
        world.Answer(world.Expect(NbdCommand.WriteZeroes, 0, slice, NoHole));
        world.Answer(world.Expect(NbdCommand.WriteZeroes, slice, slice, NoHole));
        Assert.True(zeroes.IsSubmitted);
        world.Answer(world.Expect(NbdCommand.WriteZeroes, 2 * slice, (int)(22 * mebi), NoHole));
        Assert.True(zeroes.IsSubmitted);
        world.Answer(world.Expect(NbdCommand.Flush, 0, 0));
        NbdClientWorld.AssertOk(zeroes);
        IoRequest discard = world.Submit(IoOperation.Discard, 2048, 2048);
        world.Answer(world.Expect(NbdCommand.Trim, mebi, (int)mebi));
        NbdClientWorld.AssertOk(discard);
    }

    [Theory]
    [InlineData(HasFlags | CanFlush)]
    [InlineData(HasFlags | CanFlush | CanFua)]
    public void Fua_is_a_flush_after_the_write_wherever_the_server_has_a_flush(int flags)
    {
        NbdClientWorld world = new NbdClientWorld(flags).Started();
        IoRequest write = world.Submit(IoOperation.Write, 0, 1, IoFlags.ForceUnitAccess);
        world.Answer(world.Expect(NbdCommand.Write, 0, 512));
        Assert.True(write.IsSubmitted);
        ulong flush = world.Expect(NbdCommand.Flush, 0, 0);
        world.Answer(flush);
        NbdClientWorld.AssertOk(write);
        IoRequest failing = world.Submit(IoOperation.Write, 0, 1, IoFlags.ForceUnitAccess);
        world.Answer(world.Expect(NbdCommand.Write, 0, 512));
        world.Answer(world.Expect(NbdCommand.Flush, 0, 0), Eio);
        Assert.Equal(IoStatus.DeviceError, failing.Status);
        IoRequest plain = world.Submit(IoOperation.Write, 0, 1);
        world.Answer(world.Expect(NbdCommand.Write, 0, 512));
        NbdClientWorld.AssertOk(plain);
    }

    /// <summary>The server may have failed to keep any write before it, and says so once (F-9).</summary>
    [Fact]
    public void Failed_flush_behind_a_forced_write_is_a_loss_where_others_were_not_durable()
    {
        NbdClientWorld world = new NbdClientWorld(HasFlags | CanFlush).Started();
        FailForced(world);
        Assert.Equal(0, world.Client.CacheLosses);

        IoRequest plain = world.Submit(IoOperation.Write, 8, 1);
        world.Answer(world.Expect(NbdCommand.Write, 8 * 512, 512));
        NbdClientWorld.AssertOk(plain);
        FailForced(world);
        Assert.Equal(1, world.Client.CacheLosses);
        FailForced(world);
        Assert.Equal(1, world.Client.CacheLosses);
    }

    /// <summary>The other one may be what it failed for, and its own flush succeeds over the loss.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Forced_write_that_was_out_while_a_flush_failed_fails_too(bool isFlushing)
    {
        NbdClientWorld world = new NbdClientWorld(HasFlags | CanFlush).Started();
        IoRequest first = world.Submit(IoOperation.Write, 0, 1, IoFlags.ForceUnitAccess);
        IoRequest second = world.Submit(IoOperation.Write, 8, 1, IoFlags.ForceUnitAccess);
        world.Answer(world.Expect(NbdCommand.Write, 0, 512));
        ulong written = world.Expect(NbdCommand.Write, 8 * 512, 512);
        ulong failing = world.Expect(NbdCommand.Flush, 0, 0);
        if (isFlushing)
        {
            world.Answer(written);
            ulong later = world.Expect(NbdCommand.Flush, 0, 0);
            world.Answer(failing, Eio);
            world.Answer(later);
        }
        else
        {
            world.Answer(failing, Eio);
            world.Answer(written);
        }
        Assert.Equal(IoStatus.DeviceError, first.Status);
        Assert.Equal((IoStatus.DeviceError, 5), (second.Status, second.Errno));
        world.ExpectNothing();
        IoRequest again = world.Submit(IoOperation.Write, 8, 1, IoFlags.ForceUnitAccess);
        world.Answer(world.Expect(NbdCommand.Write, 8 * 512, 512));
        world.Answer(world.Expect(NbdCommand.Flush, 0, 0));
        NbdClientWorld.AssertOk(again);
    }

    [Fact]
    public void Write_that_was_out_while_a_forced_ones_flush_failed_is_a_loss_when_it_is_answered()
    {
        NbdClientWorld world = new NbdClientWorld(HasFlags | CanFlush).Started();
        IoRequest forced = world.Submit(IoOperation.Write, 0, 1, IoFlags.ForceUnitAccess);
        IoRequest plain = world.Submit(IoOperation.Write, 8, 1);
        world.Answer(world.Expect(NbdCommand.Write, 0, 512));
        ulong written = world.Expect(NbdCommand.Write, 8 * 512, 512);
        world.Answer(world.Expect(NbdCommand.Flush, 0, 0), Eio);
        Assert.Equal(IoStatus.DeviceError, forced.Status);
        Assert.Equal(0, world.Client.CacheLosses);
        world.Answer(written);
        NbdClientWorld.AssertOk(plain);
        Assert.Equal(1, world.Client.CacheLosses);
    }

    private static void FailForced(NbdClientWorld world)
    {
        IoRequest forced = world.Submit(IoOperation.Write, 0, 1, IoFlags.ForceUnitAccess);
        world.Answer(world.Expect(NbdCommand.Write, 0, 512));
        world.Answer(world.Expect(NbdCommand.Flush, 0, 0), Eio);
        Assert.Equal(IoStatus.DeviceError, forced.Status);
    }

    [Fact]
    public void Server_without_flush_has_no_cache_and_its_flushes_are_not_sent()
    {
        NbdClientWorld world = new NbdClientWorld(HasFlags).Started();
        IoRequest write = world.Submit(IoOperation.Write, 0, 1, IoFlags.ForceUnitAccess);
        world.Answer(world.Expect(NbdCommand.Write, 0, 512));
        NbdClientWorld.AssertOk(write);
        NbdClientWorld.AssertOk(world.Submit(IoOperation.Flush, 0, 0));
        world.ExpectNothing();
    }

    [Fact]
    public void Server_with_fua_and_no_flush_gets_every_write_with_fua()
    {
        NbdClientWorld world = new NbdClientWorld(HasFlags | CanFua).Started();
        IoRequest write = world.Submit(IoOperation.Write, 0, 1);
        world.Answer(world.Expect(NbdCommand.Write, 0, 512, Fua));
        NbdClientWorld.AssertOk(write);
        NbdClientWorld.AssertOk(world.Submit(IoOperation.Flush, 0, 0));
        world.ExpectNothing();
    }

    [Fact]
    public void More_requests_than_slots_wait_in_line_and_all_are_served()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        List<IoRequest> requests = [];
        for (int i = 0; i < 3 * Limits.MemberQueueDepth; i++)
        {
            requests.Add(world.Submit(IoOperation.Read, i, 1));
        }
        Assert.Equal(Limits.MemberQueueDepth, world.Client.Outstanding);
        for (int i = 0; i < requests.Count; i++)
        {
            world.Answer(world.Expect(NbdCommand.Read, i * 512, 512), 0, new byte[512]);
        }
        Assert.All(requests, NbdClientWorld.AssertOk);
        world.ExpectNothing();
    }

    /// <summary>A record has a deadline, and a server that is only busy must not miss it (F-19).</summary>
    [Fact]
    public void Metadata_does_not_stand_in_line_behind_data()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        for (int i = 0; i < 2 * Limits.MemberQueueDepth; i++)
        {
            world.Submit(IoOperation.Read, i, 1);
        }
        List<IoRequest> records = [];
        for (int i = 0; i <= Limits.MemberMetadataDepth; i++)
        {
            records.Add(world.Submit(IoOperation.Write, 1000 + i, 1, IoFlags.Metadata));
        }
        ulong firstRead = world.Expect(NbdCommand.Read, 0, 512);
        for (int i = 1; i < Limits.MemberQueueDepth; i++)
        {
            world.Expect(NbdCommand.Read, i * 512, 512);
        }
        ulong firstRecord = world.Expect(NbdCommand.Write, 1000 * 512, 512);
        for (int i = 1; i < Limits.MemberMetadataDepth; i++)
        {
            world.Answer(world.Expect(NbdCommand.Write, (1000 + i) * 512, 512));
            NbdClientWorld.AssertOk(records[i]);
        }
        // The first that was answered made room for the last record, and the others for nobody.
        world.Answer(world.Expect(NbdCommand.Write, (1000 + Limits.MemberMetadataDepth) * 512, 512));
        NbdClientWorld.AssertOk(records[^1]);
        world.Answer(firstRecord);
        NbdClientWorld.AssertOk(records[0]);
        world.ExpectNothing();
        world.Answer(firstRead, 0, new byte[512]);
        world.Expect(NbdCommand.Read, Limits.MemberQueueDepth * 512, 512);
    }

    [Fact]
    public void Requests_that_do_not_fit_the_device_are_refused_and_not_sent()
    {
        NbdClientWorld world = new NbdClientWorld(HasFlags | CanFlush).Started();
        Assert.Equal(IoStatus.Invalid, world.Submit(IoOperation.Read, 2048, 1).Status);
        Assert.Equal(IoStatus.Invalid, world.Submit(IoOperation.Write, 2047, 2).Status);
        Assert.Equal(IoStatus.Unsupported, world.Submit(IoOperation.Discard, 0, 1).Status);
        Assert.Equal(IoStatus.Unsupported, world.Submit(IoOperation.WriteZeroes, 0, 1).Status);
        world.ExpectNothing();
        Assert.Equal(0, world.Client.InFlight);
    }

    [Fact]
    public void Answer_that_overtakes_the_end_of_its_send_leaves_the_buffer_with_the_kernel()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        world.Stream.IsStalled = true;
        IoRequest write = world.Submit(IoOperation.Write, 0, 1);
        world.Settle();
        world.Answer(CookieOf(2, world));
        Assert.True(write.IsSubmitted);
        world.Stream.Resume();
        world.Settle();
        NbdClientWorld.AssertOk(write);
    }

    /// <summary>
    /// All of one send were answered before the kernel had done with it, more waits to be sent, and the first
    /// owner asks for something in its completion: the others of that send complete all the same.
    /// </summary>
    [Fact]
    public void Requests_made_in_a_completion_take_no_place_of_those_that_were_sent_together()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        world.Stream.IsStalled = true;
        IoRequest alone = world.Submit(IoOperation.Write, 0, 1);
        // A write is two parts: its header and its data.
        const int atOnce = Limits.SendPartsMax / 2;
        IoRequest[] together =
            [.. Enumerable.Range(1, atOnce).Select(i => world.Submit(IoOperation.Write, i, 1))];
        List<IoRequest> next =
            [.. Enumerable.Range(atOnce + 1, 3).Select(i => world.Submit(IoOperation.Write, i, 1))];
        world.Stream.Resume();
        world.Stream.IsStalled = true;
        world.Settle();
        for (int command = 2; command < 3 + atOnce; command++)
        {
            world.Answer(CookieOf(command, world));
        }
        NbdClientWorld.AssertOk(alone);
        Assert.All(together, request => Assert.True(request.IsSubmitted));
        world.WhenCompleted = _ =>
        {
            world.WhenCompleted = null;
            next.Add(world.Begin(IoOperation.Write, atOnce + 4, 1));
        };
        world.Stream.Resume();
        world.Stream.IsStalled = true;
        world.Settle();
        Assert.All(together, NbdClientWorld.AssertOk);
        // Being sent, whatever anybody answers: the buffers are in use.
        Assert.Equal(4, next.Count);
        Assert.All(next, request => Assert.True(request.IsSubmitted));
        world.Stream.ClearOutput();
        world.Stream.Resume();
        for (int i = 1; i <= next.Count; i++)
        {
            world.Answer(world.Expect(NbdCommand.Write, (atOnce + i) * 512, 512));
        }
        Assert.All(next, NbdClientWorld.AssertOk);
    }

    [Fact]
    public void Answer_to_what_has_not_been_sent_ends_the_connection()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        world.Stream.IsStalled = true;
        IoRequest sending = world.Submit(IoOperation.Write, 0, 1);
        IoRequest queued = world.Submit(IoOperation.Write, 1, 1);
        world.Answer(CookieOf(3, world));
        Assert.False(world.Client.IsConnected);
        NbdClientWorld.AssertGone(sending);
        NbdClientWorld.AssertGone(queued);
    }

    [Fact]
    public void Server_that_never_answers_one_request_answers_others()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        IoRequest stuck = world.Submit(IoOperation.Write, 0, 1);
        _ = world.Expect(NbdCommand.Write, 0, 512);
        for (int i = 0; i < 1000; i++)
        {
            IoRequest read = world.Submit(IoOperation.Read, 8, 1);
            world.Answer(world.Expect(NbdCommand.Read, 4096, 512), 0, new byte[512]);
            NbdClientWorld.AssertOk(read);
        }
        world.Loop.RunFor(Duration.FromSeconds(3600));
        Assert.True(stuck.IsSubmitted);
        Assert.True(world.Client.IsConnected);
        Assert.Equal(1, world.Client.Outstanding);
        Assert.False(world.Client.IsIdle);
        world.Stream.End();
        world.Settle();
        NbdClientWorld.AssertGone(stuck);
    }

    [Fact]
    public void Retired_it_says_disc_closes_and_refuses()
    {
        NbdClientWorld world = new NbdClientWorld().Started();
        world.Client.Retire();
        world.Settle();
        Assert.Equal(new ConversationBuilder().Disconnect().ToArray(), world.Stream.Output.ToArray());
        Assert.True(world.Stream.IsClosed);
        Assert.True(world.Client.IsClosed);
        Assert.True(world.IsRetired);
        Assert.Equal(IoStatus.ShuttingDown, world.Submit(IoOperation.Read, 0, 1).Status);
        world.Loop.RunUntilIdle();
        Assert.Equal(1, world.Attempts);
    }

    [Fact]
    public void Retired_while_its_first_flush_is_out_it_ends_all_the_same()
    {
        NbdClientWorld world = new();
        world.Client.Start();
        world.SayHello();
        _ = world.Expect(NbdCommand.Flush, 0, 0);
        Assert.True(world.Client.IsIdle);
        world.Client.Retire();
        world.Settle();
        Assert.True(world.Client.IsClosed);
        Assert.Equal(0, world.Client.InFlight);
    }

    [Fact]
    public void Retired_while_it_connects_it_closes_what_comes_of_it()
    {
        NbdClientWorld world = new();
        world.Client.Start();
        world.Client.Retire();
        world.Settle();
        Assert.True(world.Stream.IsClosed);
        Assert.True(world.Client.IsClosed);
    }

    /// <summary>What the client names its n-th command, when every one before was answered in turn.</summary>
    private static ulong CookieOf(int sequence, NbdClientWorld world)
    {
        Assert.True(world.Client.Outstanding > 0);
        // The slot that is free longest ago is not known from outside: the last one freed is used first.
        int slot = Limits.MemberQueueDepth + 1 - sequence;
        return ((ulong)sequence << 16) | (uint)slot;
    }
}
