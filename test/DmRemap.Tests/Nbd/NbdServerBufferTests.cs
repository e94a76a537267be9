using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Nbd;

/// <summary>No mix of requests and clients waits for ever, and nothing that is lent is lost.</summary>
public sealed class NbdServerBufferTests
{
    private const int PayloadBytesMax = 32 * 1024 * 1024;

    [Fact]
    public void Two_connections_with_longest_reads_and_writes_finish_with_a_pool_of_16_MiB()
    {
        NbdWorld world = new(
            slices: Limits.PoolSlices,
            sliceBytes: Limits.SliceBytes,
            connectionsMax: Limits.ConnectionsMax,
            depth: Limits.RequestsInFlightMax,
            geometry: SimulatedDisk.MakeGeometry(2 * PayloadBytesMax / 4096, 4096));
        byte[] data = NbdCorpus.Pattern(PayloadBytesMax, 1);
        data.CopyTo(world.Disk.Content, 0);
        MemoryByteStream[] clients = [world.ConnectAndGo(), world.ConnectAndGo()];
        foreach (MemoryByteStream client in clients)
        {
            client.Write(new ConversationBuilder()
                .Read(1, 0, PayloadBytesMax)
                .Request(NbdCommand.Write, 2, PayloadBytesMax, PayloadBytesMax).ToArray());
            client.Write(data);
            client.Write(
                new ConversationBuilder().Read(3, 4096, 12 * 1024 * 1024).Read(4, 0,
                    8 * 1024 * 1024).ToArray());
        }
        world.Settle();
        foreach (MemoryByteStream client in clients)
        {
            Dictionary<ulong, (NbdError Error, byte[] Data)> got = ExpectedReply.CheckReplies(client.Output,
            [
                new(1, NbdError.None, PayloadBytesMax),
                new(2, NbdError.None, 0),
                new(3, NbdError.None, 12 * 1024 * 1024),
                new(4, NbdError.None, 8 * 1024 * 1024),
            ]);
            Assert.True(got[1].Data.AsSpan().SequenceEqual(data));
            Assert.True(got[3].Data.AsSpan().SequenceEqual(data.AsSpan(4096, 12 * 1024 * 1024)));
        }
        Assert.True(world.Disk.Content.AsSpan(PayloadBytesMax).SequenceEqual(data));
        Assert.Equal(0, world.Server.Counters.ConnectionsStalled);
        Assert.Equal(Limits.PoolSlices, world.Pool.FreeCount);
    }

    [Fact]
    public void Stalled_readers_do_not_stop_the_others_writes_and_short_reads()
    {
        NbdWorld world = new(slices: 8, connectionsMax: 4);
        MemoryByteStream[] stalled = [world.ConnectAndGo(), world.ConnectAndGo(), world.ConnectAndGo()];
        foreach (MemoryByteStream client in stalled)
        {
            client.IsStalled = true;
            for (ulong cookie = 0; cookie < 20; cookie++)
            {
                client.Write(new ConversationBuilder().Read(cookie, 0, 32_768).ToArray());
            }
        }
        world.Settle();
        MemoryByteStream other = world.ConnectAndGo();
        byte[] data = NbdCorpus.Pattern(200_704, 5);
        other.Write(new ConversationBuilder().Write(1, 512, data).ToArray());
        world.Settle();
        other.Write(new ConversationBuilder().Read(2, 512, 16_384).ToArray());
        world.Settle();
        Dictionary<ulong, (NbdError Error, byte[] Data)> got = ExpectedReply.CheckReplies(
            other.Output, [new(1, NbdError.None, 0), new(2, NbdError.None, 16_384)]);
        Assert.Equal(data[..16_384], got[2].Data);
        foreach (MemoryByteStream client in stalled)
        {
            client.Resume();
        }
        world.Settle();
        Assert.All(stalled, client => Assert.Equal(20 * (16 + 32_768), client.Said));
        Assert.Equal(world.Pool.Slices, world.Pool.FreeCount);
    }

    [Fact]
    public void Client_that_takes_no_replies_is_cut_off_when_others_wait_for_its_buffers()
    {
        NbdWorld world = new(slices: 8, connectionsMax: 4);
        MemoryByteStream stalled = world.ConnectAndGo();
        stalled.IsStalled = true;
        stalled.Write(new ConversationBuilder().Read(1, 0, 65_536).ToArray());
        world.Settle();
        world.Loop.RunFor(Duration.FromSeconds(300));
        // Nobody waits: it may take its time.
        Assert.False(stalled.IsClosed);
        MemoryByteStream other = world.ConnectAndGo();
        other.Write(new ConversationBuilder().Read(1, 0, 65_536).ToArray());
        world.Settle();
        Assert.Equal(0, other.Said);
        world.Loop.RunFor(Duration.FromSeconds(91));
        Assert.True(stalled.IsClosed);
        Assert.Equal(16 + 65_536, other.Said);
        Assert.Equal(1, world.Server.Counters.ConnectionsStalled);
    }

    /// <summary>It asks for more than there is room for, and pauses; nobody else is there to mind.</summary>
    [Fact]
    public void Client_that_takes_no_replies_and_waits_for_itself_alone_is_not_cut_off()
    {
        NbdWorld world = new(slices: 8, connectionsMax: 4);
        MemoryByteStream stalled = world.ConnectAndGo();
        stalled.IsStalled = true;
        stalled.Write(new ConversationBuilder().Read(1, 0, 65_536).Read(2, 0, 65_536).ToArray());
        world.Settle();
        world.Loop.RunFor(Duration.FromSeconds(300));
        Assert.False(stalled.IsClosed);
        stalled.Resume();
        world.Settle();
        Assert.Equal(2 * (16 + 65_536), stalled.Said);
    }

    [Fact]
    public void Reader_that_waits_for_many_slices_is_not_overtaken_by_one_that_needs_fewer()
    {
        // Four slices are shared, beside the one each connection is sure of.
        NbdWorld world = new(slices: 8, connectionsMax: 4);
        MemoryByteStream holder = world.ConnectAndGo();
        MemoryByteStream waiter = world.ConnectAndGo();
        MemoryByteStream newcomer = world.ConnectAndGo();
        holder.IsStalled = true;
        holder.Write(new ConversationBuilder().Read(1, 0, 3 * 16_384).ToArray());
        world.Settle();
        waiter.Write(new ConversationBuilder().Read(1, 0, 4 * 16_384).ToArray());
        world.Settle();
        Assert.Equal(0, waiter.Said);
        newcomer.Write(new ConversationBuilder().Read(1, 0, 16_384).Read(2, 0, 2 * 16_384).ToArray());
        world.Settle();
        // One slice needs nobody's leave; two would be there, but the waiter has asked first.
        Assert.Equal(16 + 16_384, newcomer.Said);
        Assert.Equal(0, waiter.Said);
        holder.Resume();
        world.Settle();
        Assert.Equal(16 + (4 * 16_384), waiter.Said);
        Assert.Equal(16 + 16_384 + 16 + (2 * 16_384), newcomer.Said);
        Assert.Equal(world.Pool.Slices, world.Pool.FreeCount);
    }

    [Fact]
    public void Large_reads_take_turns_at_the_reserve()
    {
        NbdWorld world = new(slices: 8, connectionsMax: 4);
        world.Disk.LatencyMax = Duration.FromMilliseconds(1);
        NbdCorpus.Pattern(world.Disk.Content.Length, 3).CopyTo(world.Disk.Content, 0);
        MemoryByteStream[] clients = [world.ConnectAndGo(), world.ConnectAndGo(), world.ConnectAndGo()];
        foreach (MemoryByteStream client in clients)
        {
            client.Write(new ConversationBuilder().Read(1, 0, 1_048_576).Read(2, 512, 524_288).ToArray());
        }
        world.Settle();
        foreach (MemoryByteStream client in clients)
        {
            Dictionary<ulong, (NbdError Error, byte[] Data)> got = ExpectedReply.CheckReplies(
                client.Output, [new(1, NbdError.None, 1_048_576), new(2, NbdError.None, 524_288)]);
            Assert.Equal(world.Disk.Content, got[1].Data);
        }
    }

    [Fact]
    public void Client_gone_in_the_middle_gives_its_slots_back_only_when_the_device_has()
    {
        NbdWorld world = new(slices: 8, connectionsMax: 2, depth: 3);
        world.Disk.Hang = _ => true;
        MemoryByteStream client = world.ConnectAndGo();
        client.Write(new ConversationBuilder()
            .Read(1, 0, 32_768)
            .Write(2, 65_536, new byte[65_536])
            .Request(NbdCommand.Flush, 3, 0, 0).ToArray());
        world.Settle();
        Assert.Equal(3, world.Server.RequestsAtDevice);
        client.Break();
        world.Settle();
        if (!client.IsClosed)
        {
            // Parsing waits for room at the device, so nothing was being received: the operator's deadline
            // ends it.
            world.Server.AbortAll();
            world.Settle();
        }
        Assert.True(client.IsClosed);
        Assert.Equal(3, world.Server.RequestsAtDevice);
        Assert.True(world.Pool.FreeCount < world.Pool.Slices);
        world.Disk.Hang = null;
        world.Disk.ReleaseHanging();
        world.Settle();
        world.CheckNothingIsLeft();
    }

    [Fact]
    public void Buffers_of_a_closing_stream_are_the_kernels_until_it_is_closed()
    {
        NbdWorld world = new(slices: 8, connectionsMax: 2);
        MemoryByteStream client = world.ConnectAndGo();
        client.IsStalled = true;
        client.HoldsClose = true;
        byte[] write = new ConversationBuilder().Write(2, 0, new byte[100_352]).ToArray();
        client.Write(new ConversationBuilder().Read(1, 0, 32_768).ToArray());
        world.Settle();
        client.Write(write.AsSpan(0, 40_000));
        world.Settle();
        // Two slices in the outstanding Send, one in the outstanding Receive.
        Assert.Equal(5, world.Pool.FreeCount);
        world.Server.AbortAll();
        world.Settle();
        Assert.Equal(5, world.Pool.FreeCount);
        client.ReleaseClose();
        world.Settle();
        world.CheckNothingIsLeft();
    }

    [Fact]
    public void Requests_beyond_the_slots_wait_and_are_all_answered()
    {
        NbdWorld world = new(slices: 8, connectionsMax: 2, depth: 2);
        world.Disk.LatencyMax = Duration.FromMilliseconds(1);
        MemoryByteStream client = world.ConnectAndGo();
        List<ExpectedReply> expected = [];
        ConversationBuilder conversation = new();
        for (ulong cookie = 0; cookie < 1000; cookie++)
        {
            conversation.Request(NbdCommand.Flush, cookie, 0, 0);
            expected.Add(new ExpectedReply(cookie, NbdError.None, 0));
        }
        client.Write(conversation.ToArray());
        client.IsStalled = true;
        world.Settle();
        // 128 slots: the rest is not even parsed.
        Assert.Equal(128, world.Disk.Operations);
        client.Resume();
        world.Loop.RunFor(Duration.FromSeconds(10));
        ExpectedReply.CheckReplies(client.Output, expected);
    }

    [Fact]
    public void Replies_that_complete_together_leave_in_one_send()
    {
        NbdWorld world = new(slices: 32, connectionsMax: 4);
        MemoryByteStream client = world.ConnectAndGo();
        ConversationBuilder conversation = new();
        for (ulong cookie = 0; cookie < 10; cookie++)
        {
            conversation.Read(cookie, 512 * cookie, 512);
        }
        int before = client.Sends;
        client.Write(conversation.ToArray());
        world.Settle();
        Assert.Equal(10 * (16 + 512), client.Said);
        Assert.Equal(1, client.Sends - before);
    }

    [Fact]
    public void Replies_come_in_the_order_of_completion()
    {
        NbdWorld world = new();
        world.Disk.Hang = request => request.Extent.Start.Value == 0;
        MemoryByteStream client = world.ConnectAndGo();
        client.Write(new ConversationBuilder().Read(1, 0, 512).Read(2, 512, 512).ToArray());
        world.Settle();
        ExpectedReply.CheckReplies(client.Output, [new(2, NbdError.None, 512)]);
        client.ClearOutput();
        world.Disk.ReleaseHanging();
        world.Settle();
        ExpectedReply.CheckReplies(client.Output, [new(1, NbdError.None, 512)]);
    }

    [Fact]
    public void Longest_reply_of_many_slices_fits_into_several_sends()
    {
        // 80 slices are more than one Send takes.
        NbdWorld world = new(slices: 160, sliceBytes: 4096, connectionsMax: 4);
        NbdCorpus.Pattern(world.Disk.Content.Length, 3).CopyTo(world.Disk.Content, 0);
        MemoryByteStream client = world.ConnectAndGo();
        client.Write(new ConversationBuilder().Read(1, 512, 80 * 4096).Read(2, 0, 512).ToArray());
        world.Settle();
        Dictionary<ulong, (NbdError Error, byte[] Data)> got = ExpectedReply.CheckReplies(
            client.Output, [new(1, NbdError.None, 80 * 4096), new(2, NbdError.None, 512)]);
        Assert.Equal(world.Disk.Content.Skip(512).Take(80 * 4096), got[1].Data);
    }
}
