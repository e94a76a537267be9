using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;
using Xunit;

namespace DmRemap.Tests.Nbd;

/// <summary>
/// Reads that a disk does not answer: the client gets an error at the deadline, the buffer is the device's
/// until it completes, and nobody else is kept waiting by it.
/// </summary>
public sealed class NbdReadDeadlineTests
{
    private static readonly Duration s_deadline = Duration.FromSeconds(10);

    private static NbdWorld World(int slices = 8, int depth = 16) =>
        new(slices: slices, depth: depth, readDeadline: s_deadline);

    private static void HangReads(NbdWorld world) =>
        world.Disk.Hang = request => request.Operation == IoOperation.Read;

    private static void Wake(NbdWorld world)
    {
        world.Disk.Hang = null;
        world.Disk.ReleaseHanging();
        world.Settle();
    }

    [Fact]
    public void A_read_without_an_answer_fails_at_the_deadline_and_its_late_answer_is_dropped()
    {
        NbdWorld world = World();
        MemoryByteStream client = world.ConnectAndGo();
        HangReads(world);
        client.Write(new ConversationBuilder().Read(1, 0, 512).ToArray());
        world.Loop.RunFor(Duration.FromSeconds(9));
        Assert.Equal(0, client.Said);
        world.Loop.RunFor(Duration.FromSeconds(2));
        ExpectedReply.CheckReplies(client.Output, [new(1, NbdError.InputOutput, 0)]);
        Assert.Equal(1, world.Server.RequestsAtDevice);
        client.ClearOutput();
        Wake(world);
        Assert.Equal(0, client.Said);
        Assert.Equal(0, world.Server.RequestsAtDevice);
        client.Write(new ConversationBuilder().Read(2, 0, 512).ToArray());
        world.Settle();
        ExpectedReply.CheckReplies(client.Output, [new(2, NbdError.None, 512)]);
        client.End();
        world.Settle();
        world.CheckNothingIsLeft();
    }

    [Fact]
    public void The_reason_is_told_where_replies_have_room_for_it()
    {
        NbdWorld world = World();
        MemoryByteStream client = Connect(world);
        HangReads(world);
        client.Write(new ConversationBuilder().Read(1, 0, 512).ToArray());
        world.Loop.RunFor(Duration.FromSeconds(11));
        ReadReply only = Assert.Single(ReplyReader.ByCookie(client.Output)[1]);
        Assert.Equal((ReadReply.ErrorWhole, 5u), (only.Type, only.Error));
        Assert.Contains("deadline", only.Text, StringComparison.Ordinal);
        Wake(world);
    }

    /// <summary>On the same connection: all its buffers and pieces are with the disk until then.</summary>
    [Fact]
    public void Writes_and_flushes_go_on_although_every_buffer_was_in_a_read_that_hangs()
    {
        NbdWorld world = World(depth: 5);
        MemoryByteStream client = Connect(world);
        HangReads(world);
        byte[] data = NbdCorpus.Pattern(4096, 3);
        ConversationBuilder all = new();
        for (ulong i = 1; i <= 5; i++)
        {
            all.Read(i, 0, 16 * 1024);
        }
        all.Write(900, 8192, data).Request(NbdCommand.Flush, 901, 0, 0);
        client.Write(all.ToArray());
        world.Loop.RunFor(Duration.FromSeconds(9));
        Assert.Equal(0, client.Said);
        world.Loop.RunFor(Duration.FromSeconds(2));
        Dictionary<ulong, List<ReadReply>> got = ReplyReader.ByCookie(client.Output);
        Assert.Equal(7, got.Count);
        Assert.Equal(5u, got[1][0].Error);
        Assert.Equal(0u, got[900][0].Error);
        Assert.Equal(0u, got[901][0].Error);
        Assert.Equal(data, world.Disk.Content.AsSpan(8192, 4096).ToArray());
        Assert.Equal(5, world.Server.RequestsAtDevice);
        Wake(world);
        client.End();
        world.Settle();
        world.CheckNothingIsLeft();
    }

    /// <summary>A read that waits for buffers has not been to the device: it is told all the same.</summary>
    [Fact]
    public void A_read_that_waits_for_buffers_fails_at_its_deadline_too()
    {
        NbdWorld world = World();
        MemoryByteStream client = Connect(world);
        HangReads(world);
        ConversationBuilder all = new();
        for (ulong i = 1; i <= 40; i++)
        {
            all.Read(i, 0, 32 * 1024);
        }
        client.Write(all.ToArray());
        world.Loop.RunFor(Duration.FromSeconds(1000));
        // All but those that took the place of the first ones: nothing is left to take theirs.
        Assert.Equal(38, ReplyReader.ByCookie(client.Output).Count);
        Assert.Equal(12, world.Server.RequestsAtDevice);
        Wake(world);
        Assert.Equal(40, ReplyReader.ByCookie(client.Output).Count);
        client.End();
        world.Settle();
        world.CheckNothingIsLeft();
    }

    /// <summary>One client's reads take every buffer; the other's write does not wait for the disk.</summary>
    [Fact]
    public void Another_client_is_served_when_the_deadline_has_passed()
    {
        NbdWorld world = World();
        MemoryByteStream sick = Connect(world);
        MemoryByteStream well = Connect(world);
        HangReads(world);
        ConversationBuilder reads = new();
        for (ulong i = 1; i <= 5; i++)
        {
            reads.Read(i, 0, 512);
        }
        sick.Write(reads.ToArray());
        world.Loop.RunFor(Duration.FromSeconds(11));
        Assert.Equal(5, ReplyReader.ByCookie(sick.Output).Count);
        for (ulong i = 0; i < 20; i++)
        {
            well.Write(new ConversationBuilder().Write(i, i * 512, NbdCorpus.Pattern(12_000, 4)).ToArray());
        }
        world.Settle();
        Assert.Equal(20, ReplyReader.ByCookie(well.Output).Count);
        Wake(world);
        sick.End();
        well.End();
        world.Settle();
        world.CheckNothingIsLeft();
    }

    [Fact]
    public void A_write_and_a_flush_are_never_given_up()
    {
        NbdWorld world = World();
        MemoryByteStream client = world.ConnectAndGo();
        world.Disk.Hang = _ => true;
        client.Write(new ConversationBuilder().Write(1, 0, NbdCorpus.Pattern(512, 1))
            .Request(NbdCommand.Flush, 2, 0, 0).ToArray());
        world.Loop.RunFor(Duration.FromSeconds(1000));
        Assert.Equal(0, client.Said);
        Wake(world);
        ExpectedReply.CheckReplies(
            client.Output, [new(1, NbdError.None, 0), new(2, NbdError.None, 0)]);
    }

    [Fact]
    public void What_a_suspended_device_holds_is_not_late_and_gets_its_whole_time_afterwards()
    {
        NbdWorld world = World();
        MemoryByteStream client = world.ConnectAndGo();
        world.Server.Hold();
        client.Write(new ConversationBuilder().Read(1, 0, 512).ToArray());
        world.Loop.RunFor(Duration.FromSeconds(100));
        Assert.Equal(0, client.Said);
        HangReads(world);
        world.Server.Release();
        world.Loop.RunFor(Duration.FromSeconds(9));
        Assert.Equal(0, client.Said);
        world.Loop.RunFor(Duration.FromSeconds(2));
        ExpectedReply.CheckReplies(client.Output, [new(1, NbdError.InputOutput, 0)]);
        Wake(world);
    }

    /// <summary>
    /// Any mixture, disks that hang for a while: each request answered once, nothing left over.
    /// </summary>
    [Fact]
    public void Whatever_hangs_each_request_is_answered_once_and_nothing_is_left()
    {
        for (int seed = 1; seed <= 60; seed++)
        {
            Random draw = new(seed);
            NbdWorld world =
                new(slices: 8, depth: draw.Next(4, 20), seed: seed, readDeadline: s_deadline);
            List<MemoryByteStream> clients = [.. Enumerable.Range(0, 3).Select(_ => Connect(world))];
            int[] asked = new int[clients.Count];
            for (int step = 0; step < 60; step++)
            {
                int index = draw.Next(clients.Count);
                asked[index]++;
                ulong cookie = (ulong)asked[index];
                ulong at = (ulong)draw.Next(1000) * 512;
                uint bytes = (uint)draw.Next(1, draw.Next(10) == 0 ? 600 : 40) * 512;
                clients[index].Write(draw.Next(3) == 0
                    ? new ConversationBuilder().Write(cookie, at, NbdCorpus.Pattern((int)bytes, 2)).ToArray()
                    : new ConversationBuilder().Read(cookie, at, bytes).ToArray());
                if (draw.Next(10) == 0)
                {
                    HangReads(world);
                }
                else if (draw.Next(10) == 0)
                {
                    Wake(world);
                }
                world.Loop.RunFor(Duration.FromMilliseconds(draw.Next(3000)));
            }
            Wake(world);
            world.Loop.RunFor(Duration.FromSeconds(30));
            for (int i = 0; i < clients.Count; i++)
            {
                Assert.Equal(asked[i], CountOfReplies(clients[i], $"seed={seed}"));
                clients[i].End();
            }
            world.Settle();
            world.CheckNothingIsLeft();
        }
    }

    /// <summary>Replies in chunks, of which the errors have a text.</summary>
    private static MemoryByteStream Connect(NbdWorld world)
    {
        MemoryByteStream client = world.Connect();
        client.Write(new ConversationBuilder().ClientFlags().Option(8).Go().ToArray());
        world.Settle();
        client.ClearOutput();
        return client;
    }

    private static int CountOfReplies(MemoryByteStream client, string where)
    {
        Dictionary<ulong, List<ReadReply>> got = ReplyReader.ByCookie(client.Output);
        Assert.All(got.Values, replies => Assert.True(replies.Count == 1, where));
        return got.Count;
    }
}
