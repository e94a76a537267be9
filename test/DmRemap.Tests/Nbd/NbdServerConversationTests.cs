using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.FrontEnds.Nbd;
using DmRemap.Nbd;
using Xunit;

namespace DmRemap.Tests.Nbd;

public sealed class NbdServerConversationTests
{
    private static readonly Dictionary<string, byte[]> s_all = All();

    public static TheoryData<string> Names => [.. s_all.Keys];

    public static TheoryData<string> Sessions => [.. NbdCorpus.Sessions().Keys];

    [Fact]
    public void Write_flush_and_read_back_are_answered_to_the_byte()
    {
        NbdWorld world = new();
        MemoryByteStream client = world.ConnectAndGo();
        byte[] data = NbdCorpus.Pattern(1024, 1);
        client.Write(new ConversationBuilder().Write(0xA, 512, data).ToArray());
        world.Settle();
        client.Write(new ConversationBuilder().Request(NbdCommand.Flush, 0xB, 0, 0).ToArray());
        world.Settle();
        client.Write(new ConversationBuilder().Read(0xC, 1024, 512).ToArray());
        world.Settle();
        byte[] expected =
            new ConversationBuilder().Reply(0xA).Reply(0xB).Reply(0xC, 0, data[512..]).ToArray();
        Assert.Equal(Convert.ToHexString(expected), Convert.ToHexString(client.Output));
        client.Write(new ConversationBuilder().Disconnect().ToArray());
        world.Settle();
        Assert.True(client.IsClosed);
        world.CheckNothingIsLeft();
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Conversation_gets_every_reply_once_however_it_is_cut(string name)
    {
        byte[] conversation = s_all[name];
        NbdWorld world = new();
        (byte[] handshake, List<ExpectedReply> replies) = ExpectedReply.Of(conversation, world.Export);
        byte[] whole = world.Play(conversation);
        Dictionary<ulong, (NbdError, byte[] Data)> got = ExpectedReply.Check(whole, handshake, replies);
        world.CheckNothingIsLeft();
        for (int seed = 0; seed < 4; seed++)
        {
            Random random = new(seed);
            Func<int> cut = seed == 0 ? () => 1 : () => random.Next(1, 700);
            Array.Clear(world.Disk.Content);
            Dictionary<ulong, (NbdError, byte[] Data)> cutGot = ExpectedReply.Check(
                world.Play(conversation, cut), handshake, replies);
            foreach (ulong cookie in got.Keys)
            {
                Assert.Equal(Convert.ToHexString(got[cookie].Data), Convert.ToHexString(cutGot[cookie].Data));
            }
            world.CheckNothingIsLeft();
        }
    }

    [Theory]
    [MemberData(nameof(Sessions))]
    public void Conversation_that_breaks_off_anywhere_leaves_nothing_behind(string name)
    {
        byte[] conversation = s_all[name];
        NbdWorld world = new();
        int step = conversation.Length > 2000 ? 997 : 1;
        for (int length = 0; length <= conversation.Length; length += length < 200 ? 1 : step)
        {
            byte[] broken = conversation[..length];
            (byte[] handshake, List<ExpectedReply> replies) = ExpectedReply.Of(broken, world.Export);
            ExpectedReply.Check(world.Play(broken), handshake, replies);
            MemoryByteStream vanishing = world.Connect();
            vanishing.Write(broken);
            world.Settle();
            vanishing.Break();
            world.Settle();
            if (!vanishing.IsClosed)
            {
                Assert.Fail($"still open after {length} bytes and a reset");
            }
            world.CheckNothingIsLeft();
        }
    }

    [Fact]
    public void Beyond_the_end_and_unaligned_have_their_errors_and_do_not_disconnect()
    {
        NbdWorld world = new();
        byte[] conversation = NbdCorpus.Sessions()["beyond the end"];
        (byte[] handshake, List<ExpectedReply> replies) = ExpectedReply.Of(conversation, world.Export);
        NbdError[] errors = [.. replies.Select(reply => reply.Error)];
        Assert.Equal(
            [NbdError.Invalid, NbdError.NoSpace, NbdError.Invalid, NbdError.NoSpace, NbdError.Invalid,
                NbdError.None],
            errors);
        ExpectedReply.Check(world.Play(conversation), handshake, replies);
        Assert.Equal(5, world.Server.Counters.Errors);
        Assert.Equal(6, world.Server.Counters.Requests);
    }

    [Fact]
    public void Read_only_export_refuses_changes_and_keeps_its_content()
    {
        NbdWorld world = new(access: NbdAccess.ReadOnly);
        NbdCorpus.Pattern(world.Disk.Content.Length, 3).CopyTo(world.Disk.Content, 0);
        byte[] before = (byte[])world.Disk.Content.Clone();
        MemoryByteStream client = world.ConnectAndGo();
        client.Write(new ConversationBuilder()
            .Write(1, 0, new byte[20_480])
            .Request(NbdCommand.Trim, 2, 0, 512)
            .Request(NbdCommand.WriteZeroes, 3, 0, 512)
            .Read(4, 0, 512).ToArray());
        world.Settle();
        Dictionary<ulong, (NbdError Error, byte[] Data)> got = ExpectedReply.CheckReplies(client.Output,
        [
            new(1, NbdError.NotPermitted, 0),
            new(2, NbdError.NotPermitted, 0),
            new(3, NbdError.NotPermitted, 0),
            new(4, NbdError.None, 512),
        ]);
        Assert.Equal(before[..512], got[4].Data);
        Assert.Equal(before, world.Disk.Content);
    }

    [Fact]
    public void Fua_no_hole_and_long_zeroes_reach_the_device_as_one_request_each()
    {
        NbdWorld world = new(geometry: Support.SimulatedDisk.MakeGeometry(200_000));
        world.Disk.Log = [];
        MemoryByteStream client = world.ConnectAndGo();
        client.Write(new ConversationBuilder()
            .Write(1, 512, new byte[512], 1)
            .Request(NbdCommand.WriteZeroes, 2, 0, 64 * 1024 * 1024, 3)
            .Request(NbdCommand.Trim, 3, 4096, 64 * 1024 * 1024, 1)
            .Request(NbdCommand.WriteZeroes, 4, 0, 512)
            .Request(NbdCommand.Flush, 5, 0, 0, 1)
            .Request(NbdCommand.Read, 6, 0, 512, 1).ToArray());
        world.Settle();
        Assert.Equal(
            [
                "Write [1, 2) ForceUnitAccess",
                "WriteZeroes [0, 131072) ForceUnitAccess, KeepAllocated",
                "Discard [8, 131080) ForceUnitAccess",
                "WriteZeroes [0, 1) None",
                "Flush [0, 0) None",
                "Read [0, 1) None",
            ],
            world.Disk.Log);
        Assert.Equal(6, world.Server.Counters.Requests);
        Assert.Equal(0, world.Server.Counters.Errors);
    }

    [Fact]
    public void Failed_piece_fails_the_whole_read_with_eio_and_no_data()
    {
        NbdWorld world = new();
        world.Disk.BadForReading.Add(100);
        world.Disk.ErrnoOfBadBlocks = 61;
        MemoryByteStream client = world.ConnectAndGo();
        client.Write(new ConversationBuilder().Read(1, 0, 65_536).Read(2, 65_536, 512).ToArray());
        world.Settle();
        ExpectedReply.CheckReplies(client.Output,
            [new(1, NbdError.InputOutput, 0), new(2, NbdError.None, 512)]);
    }

    [Fact]
    public void Failed_piece_fails_the_whole_write_and_the_connection_goes_on()
    {
        NbdWorld world = new();
        world.Disk.BadForWriting.Add(40);
        MemoryByteStream client = world.ConnectAndGo();
        client.Write(
            new ConversationBuilder().Write(1, 0, NbdCorpus.Pattern(65_536, 1)).Read(2, 0, 512).ToArray());
        world.Settle();
        ExpectedReply.CheckReplies(client.Output,
            [new(1, NbdError.InputOutput, 0), new(2, NbdError.None, 512)]);
    }

    [Fact]
    public void Full_spare_is_eio_and_never_enospc()
    {
        NbdWorld world = new();
        StatusDevice device = new(world.Loop, world.Disk.Geometry) { Status = IoStatus.OutOfSpares };
        NbdServer server = new(
            world.Loop, world.Pool, device,
            new NbdServerOptions { ExportName = "", ConnectionsMax = 1, LargeReadsMax = 1 });
        MemoryByteStream client = new(world.Loop);
        client.Owner = server.OnAccepted(client);
        client.Write(NbdCorpus.Start().Write(1, 0, new byte[512]).ToArray());
        world.Settle();
        byte[] reply = new ConversationBuilder().Reply(1, 5).ToArray();
        Assert.Equal(Convert.ToHexString(reply), Convert.ToHexString(client.Output[^16..]));
    }

    private sealed class StatusDevice(IEventLoop loop, DeviceGeometry geometry) : IBlockDevice
    {
        public IoStatus Status { get; init; }

        public DeviceGeometry Geometry { get; } = geometry;

        public void Submit(IoRequest request)
        {
            request.MarkSubmitted();
            request.SetResult(Status, 0, Duration.Zero);
            loop.DeliverLater(request);
        }
    }

    private static Dictionary<string, byte[]> All()
    {
        Dictionary<string, byte[]> all = NbdCorpus.Sessions();
        foreach ((string name, byte[] bytes) in NbdCorpus.Handshakes())
        {
            all.Add(name, bytes);
        }
        return all;
    }
}
