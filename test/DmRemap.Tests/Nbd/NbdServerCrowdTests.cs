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
    public void Clients_that_never_begin_make_room_after_two_seconds_when_few_places_are_left()
    {
        NbdWorld world = new(slices: 2 * Places, connectionsMax: Places);
        MemoryByteStream[] slow = [.. Enumerable.Range(0, Places).Select(_ => world.Connect())];
        Assert.Null(world.Server.OnAccepted(new MemoryByteStream(world.Loop)));
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
        for (int second = 0; second < 5; second++)
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

    /// <summary>Again and again: the places of those who were cut off are free for the next.</summary>
    [Fact]
    public void Waves_of_clients_that_never_begin_keep_nobody_out_for_longer_than_three_seconds()
    {
        NbdWorld world = new(slices: 2 * Places, connectionsMax: Places);
        for (int wave = 0; wave < 20; wave++)
        {
            while (world.Server.OpenConnections < Places)
            {
                world.Connect();
            }
            world.Loop.RunFor(Duration.FromSeconds(3));
            MemoryByteStream client = world.ConnectAndGo();
            client.Write(new ConversationBuilder().Disconnect().ToArray());
            world.Settle();
            Assert.True(client.IsClosed);
        }
    }
}
