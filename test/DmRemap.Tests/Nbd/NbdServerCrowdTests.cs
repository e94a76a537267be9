using System;
using System.Linq;
using DmRemap.Core.Abstractions;
using Xunit;

namespace DmRemap.Tests.Nbd;

/// <summary>Clients that take a place and never begin, and what is left for those who do.</summary>
public sealed class NbdServerCrowdTests
{
    private const int Places = 8;

    [Fact]
    public void Clients_that_never_begin_make_room_after_some_seconds_when_few_places_are_left()
    {
        NbdWorld world = new(slices: 2 * Places, connectionsMax: Places);
        MemoryByteStream[] slow = [.. Enumerable.Range(0, Places).Select(_ => world.Connect())];
        Assert.Null(world.Server.OnAccepted(new MemoryByteStream(world.Loop)));
        world.Loop.RunFor(Duration.FromSeconds(4));
        Assert.DoesNotContain(slow, client => client.IsClosed);
        world.Loop.RunFor(Duration.FromSeconds(3));
        Assert.All(slow, client => Assert.True(client.IsClosed));
        Assert.Equal(Places, world.Server.Counters.ConnectionsStalled);
        MemoryByteStream late = world.ConnectAndGo();
        late.Write(new ConversationBuilder().Read(1, 0, 512).ToArray());
        world.Settle();
        Assert.Equal(16 + 512, late.Said);
    }

    /// <summary>One byte a second is as good as none.</summary>
    [Fact]
    public void Slow_loris_makes_room_too_and_clients_that_have_begun_never_do()
    {
        NbdWorld world = new(slices: 2 * Places, connectionsMax: Places);
        MemoryByteStream[] begun = [.. Enumerable.Range(0, 4).Select(_ => world.ConnectAndGo())];
        MemoryByteStream[] slow = [.. Enumerable.Range(0, 4).Select(_ => world.Connect())];
        byte[] said = NbdCorpus.Start().ToArray();
        for (int second = 0; second < 8; second++)
        {
            foreach (MemoryByteStream client in slow.Where(client => !client.IsClosed))
            {
                client.Write(said.AsSpan(second, 1));
            }
            world.Settle();
        }
        Assert.All(slow, client => Assert.True(client.IsClosed));
        Assert.DoesNotContain(begun, client => client.IsClosed);
    }

    [Fact]
    public void Where_there_is_room_a_client_has_a_minute_to_begin()
    {
        NbdWorld world = new(slices: 2 * Places, connectionsMax: Places);
        MemoryByteStream[] slow = [.. Enumerable.Range(0, Places - 2).Select(_ => world.Connect())];
        world.Loop.RunFor(Duration.FromSeconds(59));
        Assert.DoesNotContain(slow, client => client.IsClosed);
        world.Loop.RunFor(Duration.FromSeconds(2));
        Assert.All(slow, client => Assert.True(client.IsClosed));
        world.CheckNothingIsLeft();
    }

    /// <summary>Many who are served are no reason to hurry the few who begin.</summary>
    [Fact]
    public void Client_on_a_slow_line_has_its_time_while_more_places_are_free_than_begin()
    {
        NbdWorld world = new(slices: 2 * Places, connectionsMax: Places);
        for (int i = 0; i < Places - 2; i++)
        {
            world.ConnectAndGo();
        }
        MemoryByteStream slow = world.Connect();
        world.Loop.RunFor(Duration.FromSeconds(30));
        Assert.False(slow.IsClosed);
    }

    [Fact]
    public void Writers_that_never_finish_their_payload_hold_one_buffer_each_and_stop_nobody()
    {
        NbdWorld world = new(slices: 8, connectionsMax: 4);
        byte[] request = new ConversationBuilder().Write(1, 0, new byte[262_144]).ToArray();
        MemoryByteStream[] slow = [world.ConnectAndGo(), world.ConnectAndGo(), world.ConnectAndGo()];
        MemoryByteStream other = world.ConnectAndGo();
        for (int second = 0; second < 100; second++)
        {
            Array.ForEach(slow, client => client.Write(request.AsSpan(second, 1)));
            other.Write(new ConversationBuilder().Read((ulong)second, 0, 65_536).ToArray());
            world.Settle();
            Assert.Equal(16 + 65_536, other.Said);
            other.ClearOutput();
        }
    }

    /// <summary>Again and again: the places of those who were cut off are free for the next.</summary>
    [Fact]
    public void Waves_of_clients_that_never_begin_keep_nobody_out_for_longer_than_seven_seconds()
    {
        NbdWorld world = new(slices: 2 * Places, connectionsMax: Places);
        for (int wave = 0; wave < 20; wave++)
        {
            while (world.Server.OpenConnections < Places)
            {
                world.Connect();
            }
            world.Loop.RunFor(Duration.FromSeconds(7));
            MemoryByteStream client = world.ConnectAndGo();
            client.Write(new ConversationBuilder().Disconnect().ToArray());
            world.Settle();
            Assert.True(client.IsClosed);
        }
    }
}
