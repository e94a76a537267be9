using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;
using Xunit;

namespace DmRemap.Tests.Nbd;

/// <summary>A server that holds: its clients see a pause, and the device sees nothing.</summary>
public sealed class NbdServerHoldTests
{
    [Fact]
    public void Held_requests_reach_the_device_only_after_release_and_in_order()
    {
        NbdWorld world = new();
        MemoryByteStream client = world.ConnectAndGo();
        world.Server.Hold();
        byte[] data = NbdCorpus.Pattern(4096, 1);
        client.Write(new ConversationBuilder()
            .Write(1, 0, data).Read(2, 8192, 512).Request(NbdCommand.Flush, 3, 0, 0).ToArray());
        world.Settle();
        Assert.Equal(0, client.Said);
        Assert.Equal(0, world.Disk.Operations);
        world.Server.Release();
        world.Settle();
        ExpectedReply.CheckReplies(
            client.Output,
            [new(1, NbdError.None, 0), new(2, NbdError.None, 512), new(3, NbdError.None, 0)]);
        Assert.Equal(data, world.Disk.Content[..4096]);
    }

    [Fact]
    public void What_is_at_the_device_ends_and_is_answered_while_the_rest_is_held()
    {
        NbdWorld world = new();
        world.Disk.Hang = _ => true;
        MemoryByteStream client = world.ConnectAndGo();
        client.Write(new ConversationBuilder().Read(1, 0, 512).ToArray());
        world.Settle();
        world.Server.Hold();
        client.Write(new ConversationBuilder().Read(2, 0, 512).ToArray());
        world.Settle();
        world.Disk.Hang = null;
        world.Disk.ReleaseHanging();
        world.Settle();
        ExpectedReply.CheckReplies(client.Output, [new(1, NbdError.None, 512)]);
        Assert.Equal(0, world.Server.RequestsAtDevice);
        client.ClearOutput();
        world.Server.Release();
        world.Settle();
        ExpectedReply.CheckReplies(client.Output, [new(2, NbdError.None, 512)]);
    }

    [Fact]
    public void Receiving_stops_when_the_buffers_are_full_and_goes_on_after_release()
    {
        NbdWorld world = new();
        MemoryByteStream client = world.ConnectAndGo();
        world.Server.Hold();
        ConversationBuilder all = new();
        List<ExpectedReply> replies = [];
        byte[] data = NbdCorpus.Pattern(12 * 1024, 3);
        for (ulong i = 0; i < 50; i++)
        {
            all.Write(i, i * 512, data);
            replies.Add(new ExpectedReply(i, NbdError.None, 0));
        }
        client.Write(all.ToArray());
        world.Settle();
        Assert.True(client.Unreceived > 0, "everything was taken in");
        Assert.Equal(0, world.Disk.Operations);
        world.Server.Release();
        world.Settle();
        ExpectedReply.CheckReplies(client.Output, replies);
    }

    [Fact]
    public void New_client_is_let_in_and_held()
    {
        NbdWorld world = new();
        world.Server.Hold();
        MemoryByteStream client = world.ConnectAndGo();
        client.Write(new ConversationBuilder().Read(1, 0, 512).ToArray());
        world.Settle();
        Assert.Equal(0, client.Said);
        world.Server.Release();
        world.Settle();
        ExpectedReply.CheckReplies(client.Output, [new(1, NbdError.None, 512)]);
    }

    /// <summary>
    /// Else a client that came back, sent them again and went on from there would be overtaken by them.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Writes_of_a_client_that_goes_away_while_held_are_never_carried_out(bool breaks)
    {
        NbdWorld world = new();
        MemoryByteStream client = world.ConnectAndGo();
        world.Server.Hold();
        client.Write(new ConversationBuilder()
            .Write(1, 0, NbdCorpus.Pattern(4096, 1)).Read(2, 0, 512).Write(3, 8192, NbdCorpus.Pattern(512, 2))
            .ToArray());
        world.Settle();
        if (breaks)
        {
            client.Break();
        }
        else
        {
            client.End();
        }
        world.Settle();
        Assert.True(client.IsClosed);
        // Its place and its buffers are free already.
        world.CheckNothingIsLeft();
        MemoryByteStream next = world.ConnectAndGo();
        byte[] newest = NbdCorpus.Pattern(4096, 9);
        next.Write(new ConversationBuilder().Write(1, 0, newest).ToArray());
        world.Settle();
        world.Server.Release();
        world.Settle();
        ExpectedReply.CheckReplies(next.Output, [new(1, NbdError.None, 0)]);
        Assert.Equal(newest, world.Disk.Content[..4096]);
        Assert.All(world.Disk.Content[8192..8704], b => Assert.Equal(0, b));
        Assert.Equal(1, world.Disk.Operations);
    }

    /// <summary>It is longer than what is received at once, so that the end behind it is not seen.</summary>
    [Fact]
    public void Long_write_of_a_client_that_goes_away_while_held_is_never_carried_out()
    {
        NbdWorld world = new();
        MemoryByteStream client = world.ConnectAndGo();
        world.Server.Hold();
        client.Write(new ConversationBuilder()
            .Write(1, 0, NbdCorpus.Pattern(3 * Limits.SliceBytes, 1)).ToArray());
        world.Settle();
        client.End();
        world.Settle();
        Assert.False(client.IsClosed);
        MemoryByteStream next = world.ConnectAndGo();
        byte[] newest = NbdCorpus.Pattern(4096, 9);
        next.Write(new ConversationBuilder().Write(1, 0, newest).ToArray());
        world.Settle();
        world.Server.Release();
        world.Settle();
        Assert.True(client.IsClosed);
        ExpectedReply.CheckReplies(next.Output, [new(1, NbdError.None, 0)]);
        Assert.Equal(newest, world.Disk.Content[..4096]);
        Assert.All(world.Disk.Content[4096..8192], b => Assert.Equal(0, b));
        Assert.Equal(1, world.Disk.Operations);
    }

    [Fact]
    public void Polite_disconnect_while_held_is_answered_after_release_and_then_closed()
    {
        NbdWorld world = new();
        MemoryByteStream client = world.ConnectAndGo();
        world.Server.Hold();
        client.Write(new ConversationBuilder().Read(1, 0, 512).Disconnect().ToArray());
        world.Settle();
        Assert.False(client.IsClosed);
        world.Server.Release();
        world.Settle();
        ExpectedReply.CheckReplies(client.Output, [new(1, NbdError.None, 512)]);
        Assert.True(client.IsClosed);
    }

    [Fact]
    public void Shutdown_hands_over_what_was_held_for_the_device_to_refuse_or_do()
    {
        NbdWorld world = new();
        MemoryByteStream client = world.ConnectAndGo();
        world.Server.Hold();
        client.Write(new ConversationBuilder().Read(1, 0, 512).ToArray());
        world.Settle();
        world.Server.Shutdown(null);
        world.Settle();
        ExpectedReply.CheckReplies(client.Output, [new(1, NbdError.None, 512)]);
        Assert.True(client.IsClosed);
        world.CheckNothingIsLeft();
    }

    [Fact]
    public void Abort_frees_everything_that_is_held()
    {
        NbdWorld world = new();
        MemoryByteStream client = world.ConnectAndGo();
        world.Server.Hold();
        client.Write(new ConversationBuilder()
            .Write(1, 0, new byte[512]).Write(2, 0, NbdCorpus.Pattern(60_416, 1)).ToArray());
        world.Settle();
        world.Server.AbortAll();
        world.Settle();
        Assert.True(client.IsClosed);
        Assert.Equal(0, world.Disk.Operations);
        world.CheckNothingIsLeft();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Random_holding_and_releasing_answers_every_request_once(int seed)
    {
        Random random = new(seed);
        NbdWorld world = new(seed: seed);
        world.Disk.LatencyMax = Duration.FromMilliseconds(2);
        MemoryByteStream[] clients = [world.ConnectAndGo(), world.ConnectAndGo(), world.ConnectAndGo()];
        List<ExpectedReply>[] replies = [[], [], []];
        bool isHeld = false;
        for (ulong i = 0; i < 400; i++)
        {
            int who = random.Next(clients.Length);
            bool isWrite = random.Next(2) == 0;
            uint bytes = (uint)random.Next(1, 60) * 512;
            ConversationBuilder request = isWrite
                ? new ConversationBuilder().Write(i, 0, new byte[bytes])
                : new ConversationBuilder().Read(i, 0, bytes);
            replies[who].Add(new ExpectedReply(i, NbdError.None, isWrite ? 0 : (int)bytes));
            clients[who].Write(request.ToArray());
            if (random.Next(4) == 0)
            {
                isHeld = !isHeld;
                if (isHeld)
                {
                    world.Server.Hold();
                }
                else
                {
                    world.Server.Release();
                }
            }
            world.Loop.RunFor(Duration.FromMilliseconds(random.Next(5)));
        }
        world.Server.Release();
        world.Loop.RunFor(Duration.FromSeconds(60));
        for (int who = 0; who < clients.Length; who++)
        {
            ExpectedReply.CheckReplies(clients[who].Output, replies[who]);
        }
        Assert.Equal(world.Pool.Slices, world.Pool.FreeCount);
    }
}
