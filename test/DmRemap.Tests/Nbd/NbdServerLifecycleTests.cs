using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.FrontEnds.Nbd;
using DmRemap.Nbd;
using Xunit;

namespace DmRemap.Tests.Nbd;

public sealed class NbdServerLifecycleTests
{
    [Fact]
    public void Shutdown_answers_what_is_in_flight_refuses_what_comes_later_and_closes()
    {
        NbdWorld world = new();
        world.Disk.Hang = _ => true;
        MemoryByteStream busy = world.ConnectAndGo();
        MemoryByteStream idle = world.ConnectAndGo();
        MemoryByteStream shaking = world.Connect();
        busy.Write(new ConversationBuilder().Read(1, 0, 512).ToArray());
        world.Settle();
        Flag closed = new();
        world.Server.Shutdown(closed);
        world.Settle();
        Assert.True(idle.IsClosed);
        Assert.True(shaking.IsClosed);
        Assert.False(busy.IsClosed);
        busy.Write(new ConversationBuilder().Read(2, 0, 512).Write(3, 0, new byte[512]).ToArray());
        world.Settle();
        ExpectedReply.CheckReplies(busy.Output, [new(2, NbdError.Shutdown, 0), new(3, NbdError.Shutdown, 0)]);
        busy.ClearOutput();
        Assert.Equal(0, closed.Runs);
        world.Disk.ReleaseHanging();
        world.Settle();
        ExpectedReply.CheckReplies(busy.Output, [new(1, NbdError.None, 512)]);
        Assert.True(busy.IsClosed);
        Assert.Equal(1, closed.Runs);
        Assert.Null(world.Server.OnAccepted(new MemoryByteStream(world.Loop)));
        Assert.Equal(1, world.Server.Counters.ConnectionsRefused);
        world.CheckNothingIsLeft();
    }

    [Fact]
    public void Shutdown_lets_a_write_whose_payload_is_coming_finish()
    {
        NbdWorld world = new();
        MemoryByteStream client = world.ConnectAndGo();
        byte[] data = NbdCorpus.Pattern(60_416, 1);
        byte[] request = new ConversationBuilder().Write(1, 0, data).ToArray();
        client.Write(request.AsSpan(0, 40_000));
        world.Settle();
        world.Server.Shutdown(null);
        world.Settle();
        Assert.False(client.IsClosed);
        client.Write(request.AsSpan(40_000));
        world.Settle();
        ExpectedReply.CheckReplies(client.Output, [new(1, NbdError.None, 0)]);
        Assert.Equal(data, world.Disk.Content[..data.Length]);
        Assert.True(client.IsClosed);
        world.CheckNothingIsLeft();
    }

    [Fact]
    public void Shutdown_of_an_unused_server_says_so_at_once()
    {
        NbdWorld world = new();
        Flag closed = new();
        world.Server.Shutdown(closed);
        Assert.Equal(0, closed.Runs);
        world.Settle();
        Assert.Equal(1, closed.Runs);
    }

    [Fact]
    public void Abort_closes_every_connection_even_with_requests_stuck_at_the_device()
    {
        NbdWorld world = new();
        world.Disk.Hang = _ => true;
        MemoryByteStream[] clients = [world.ConnectAndGo(), world.ConnectAndGo(), world.Connect()];
        clients[0].Write(new ConversationBuilder().Read(1, 0, 512).ToArray());
        clients[1].Write(new ConversationBuilder().Write(1, 0, new byte[512]).ToArray());
        world.Settle();
        Flag closed = new();
        world.Server.Shutdown(closed);
        world.Settle();
        Assert.Equal(0, closed.Runs);
        world.Server.AbortAll();
        world.Settle();
        Assert.All(clients, client => Assert.True(client.IsClosed));
        Assert.Equal(1, closed.Runs);
        Assert.Equal(2, world.Server.RequestsAtDevice);
        world.Disk.ReleaseHanging();
        world.Settle();
        world.CheckNothingIsLeft();
    }

    [Fact]
    public void Disconnect_waits_for_what_is_in_flight()
    {
        NbdWorld world = new();
        world.Disk.Hang = _ => true;
        MemoryByteStream client = world.ConnectAndGo();
        client.Write(new ConversationBuilder().Write(1, 0, new byte[512]).Disconnect().ToArray());
        world.Settle();
        Assert.False(client.IsClosed);
        world.Disk.ReleaseHanging();
        world.Settle();
        ExpectedReply.CheckReplies(client.Output, [new(1, NbdError.None, 0)]);
        Assert.True(client.IsClosed);
    }

    [Fact]
    public void Handshake_that_does_not_begin_is_cut_off_and_a_finished_one_is_not()
    {
        NbdWorld world = new();
        MemoryByteStream silent = world.Connect();
        MemoryByteStream patient = world.ConnectAndGo();
        world.Loop.RunFor(Duration.FromSeconds(61));
        Assert.True(silent.IsClosed);
        Assert.False(patient.IsClosed);
        Assert.Equal(1, world.Server.Counters.ConnectionsStalled);
    }

    [Fact]
    public void Connection_beyond_the_limit_is_refused_and_a_place_that_is_freed_is_given_again()
    {
        NbdWorld world = new(connectionsMax: 2);
        MemoryByteStream first = world.ConnectAndGo();
        world.ConnectAndGo();
        Assert.Null(world.Server.OnAccepted(new MemoryByteStream(world.Loop)));
        first.End();
        world.Settle();
        Assert.True(first.IsClosed);
        MemoryByteStream third = world.ConnectAndGo();
        third.Write(new ConversationBuilder().Read(1, 0, 512).ToArray());
        world.Settle();
        ExpectedReply.CheckReplies(third.Output, [new(1, NbdError.None, 512)]);
    }

    [Fact]
    public void Place_of_a_client_that_left_a_request_at_the_device_is_not_given_away()
    {
        NbdWorld world = new(connectionsMax: 1);
        world.Disk.Hang = _ => true;
        MemoryByteStream client = world.ConnectAndGo();
        client.Write(new ConversationBuilder().Read(1, 0, 512).ToArray());
        world.Settle();
        client.Break();
        world.Settle();
        Assert.True(client.IsClosed);
        Assert.Null(world.Server.OnAccepted(new MemoryByteStream(world.Loop)));
        world.Disk.ReleaseHanging();
        world.Settle();
        world.CheckNothingIsLeft();
        world.ConnectAndGo();
    }

    [Fact]
    public void Flush_of_one_connection_covers_the_writes_of_all()
    {
        // Can-multi-conn promises it; the device's flush is device-wide, and the server forwards it as it is.
        NbdWorld world = new();
        MemoryByteStream writer = world.ConnectAndGo();
        MemoryByteStream flusher = world.ConnectAndGo();
        byte[] data = NbdCorpus.Pattern(4096, 1);
        writer.Write(new ConversationBuilder().Write(1, 0, data).ToArray());
        world.Settle();
        flusher.Write(new ConversationBuilder().Request(NbdCommand.Flush, 1, 0, 0).ToArray());
        world.Settle();
        byte[] medium = world.Disk.PowerCut(new Random(1));
        Assert.Equal(data, medium[..4096]);
    }

    [Fact]
    public void Counters_tell_what_was_served()
    {
        NbdWorld world = new();
        MemoryByteStream client = world.ConnectAndGo();
        client.Write(new ConversationBuilder()
            .Write(1, 0, new byte[1024]).Read(2, 0, 512).Read(3, 1, 512).Disconnect().ToArray());
        world.Settle();
        NbdCounters counters = world.Server.Counters;
        List<long> values =
        [
            counters.ConnectionsAccepted, counters.ConnectionsOpen, counters.Requests, counters.Errors,
            counters.BytesWritten, counters.BytesRead,
        ];
        Assert.Equal([1, 0, 3, 1, 1024, 512], values);
    }

    private sealed class Flag : ILoopMessage
    {
        public int Runs { get; private set; }

        public void Run() => Runs++;
    }
}
