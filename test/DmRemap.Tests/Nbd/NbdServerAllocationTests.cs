using DmRemap.Core.Abstractions;
using DmRemap.Nbd;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Nbd;

public sealed class NbdServerAllocationTests
{
    [Fact]
    public void Requests_allocate_nothing()
    {
        NbdWorld world = new(slices: 16);
        MemoryByteStream client = world.ConnectAndGo();
        byte[] conversation = new ConversationBuilder()
            .Write(1, 0, new byte[4096])
            .Read(2, 4096, 8192)
            .Write(3, 32_768, new byte[50_176])
            .Read(4, 0, 65_536)
            .Read(5, 1, 1)
            .Request(NbdCommand.Flush, 6, 0, 0)
            .Request(NbdCommand.WriteZeroes, 7, 0, 4096).ToArray();
        int expected = (7 * 16) + 8192 + 65_536;
        Exchange(world.Loop, client, conversation, expected, 200);
        Allocations.AssertNone(() => Exchange(world.Loop, client, conversation, expected, 1000));
    }

    [Theory]
    [InlineData(8u)]
    [InlineData(11u)]
    public void Chunked_replies_allocate_nothing_whether_they_succeed_or_fail(uint style)
    {
        NbdWorld world = new(slices: 16);
        world.Disk.BadForReading.Add(1000);
        MemoryByteStream client = world.Connect();
        client.Write(new ConversationBuilder().ClientFlags().Option(style)
            .Contexts(10, "", "base:allocation").Go().ToArray());
        world.Settle();
        byte[] conversation = style == 8
            ? new ConversationBuilder().Write(1, 0, new byte[4096]).Read(2, 4096, 8192)
                .Request(NbdCommand.BlockStatus, 3, 0, 1_048_576).Read(4, 1, 1)
                .Read(5, 480_256, 65_536).ToArray()
            : new ConversationBuilder().Extended(NbdCommand.Write, 1, 0, 4096, 32, new byte[4096])
                .Extended(NbdCommand.Read, 2, 4096, 8192)
                .Extended(NbdCommand.BlockStatus, 3, 0, 1_048_576).Extended(NbdCommand.Read, 4, 1, 1)
                .Extended(NbdCommand.Read, 5, 480_256, 65_536).ToArray();
        client.ClearOutput();
        client.Write(conversation);
        world.Settle();
        int expected = client.Said;
        Exchange(world.Loop, client, conversation, expected, 200);
        Allocations.AssertNone(() => Exchange(world.Loop, client, conversation, expected, 1000));
    }

    [Fact]
    public void Short_requests_allocate_nothing_ten_thousand_times()
    {
        NbdWorld world = new(slices: 16);
        MemoryByteStream client = world.ConnectAndGo();
        byte[] conversation =
            new ConversationBuilder().Write(1, 0, new byte[512]).Read(2, 4096, 512).ToArray();
        Exchange(world.Loop, client, conversation, 32 + 512, 200);
        Allocations.AssertNone(() => Exchange(world.Loop, client, conversation, 32 + 512, 10_000));
    }

    [Fact]
    public void Thousand_connections_in_a_row_leave_memory_flat()
    {
        NbdWorld world = new();
        MemoryByteStream stream = new(world.Loop);
        byte[] session = NbdCorpus.Sessions()["long write and read back"];
        for (int i = 0; i < 20; i++)
        {
            Serve(world, stream, session);
        }
        // The server allocates nothing for a connection; the stream is the test's, and used again.
        Allocations.AssertNone(() =>
        {
            for (int i = 0; i < 1000; i++)
            {
                Serve(world, stream, session);
            }
        });
        Assert.True(world.Server.Counters.ConnectionsAccepted >= 1020);
        world.CheckNothingIsLeft();
    }

    private static void Exchange(SimulatedLoop loop, MemoryByteStream client, byte[] conversation, int bytes,
        int times)
    {
        for (int i = 0; i < times; i++)
        {
            client.ClearOutput();
            client.Write(conversation);
            while (client.Said < bytes)
            {
                Invariant.Check(loop.Step());
            }
            Invariant.Check(client.Said == bytes);
        }
    }

    private static void Serve(NbdWorld world, MemoryByteStream stream, byte[] session)
    {
        stream.Reopen();
        stream.Owner = world.Server.OnAccepted(stream);
        Invariant.Check(stream.Owner is not null);
        stream.Write(session);
        while (!stream.IsClosed)
        {
            Invariant.Check(world.Loop.Step());
        }
    }
}
