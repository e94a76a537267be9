using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.FrontEnds.Nbd;
using DmRemap.Nbd;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Nbd;

public sealed class NbdBlockStatusTests
{
    private const string Base = "base:allocation";
    private const string State = "x-dmremap:state";
    private const int Blocks = 2048;
    private const int RequestOne = 8;
    private const int Payload = 32;

    [Fact]
    public void Status_of_both_contexts_is_answered_to_the_byte()
    {
        StatusWorld world = new();
        world.Device.Health.AsSpan(8, 8).Fill(BlockHealth.Remapped);
        world.Device.Health[16] = BlockHealth.Lost;
        MemoryByteStream client = world.Connect(Options(8, Base, State));
        client.Write(new ConversationBuilder().Request(NbdCommand.BlockStatus, 9, 2048, 8192).ToArray());
        world.Settle();
        byte[] expected = new ConversationBuilder()
            .Chunk(9, 0, 5, new ConversationBuilder().UInt32(1).UInt32(8192).UInt32(0))
            .Chunk(9, 1, 5, new ConversationBuilder().UInt32(2)
                .UInt32(2048).UInt32(0).UInt32(4096).UInt32(1).UInt32(512).UInt32(2).UInt32(1536).UInt32(0))
            .ToArray();
        Assert.Equal(Convert.ToHexString(expected), Convert.ToHexString(client.Output));
    }

    [Fact]
    public void Extended_status_is_answered_to_the_byte_also_for_a_length_of_64_bits()
    {
        StatusWorld world = new(blocks: 1L << 40);
        MemoryByteStream client = world.Connect(Options(11, State));
        ulong bytes = (1UL << 49) - 4096;
        client.Write(new ConversationBuilder()
            .Extended(NbdCommand.BlockStatus, 9, 4096, bytes).ToArray());
        world.Settle();
        byte[] expected = new ConversationBuilder()
            .ExtendedChunk(9, 4096, 1, 6, new ConversationBuilder()
                .UInt32(2).UInt32(1).UInt64(bytes).UInt64(0))
            .ToArray();
        Assert.Equal(Convert.ToHexString(expected), Convert.ToHexString(client.Output));
    }

    [Fact]
    public void Request_one_gets_one_descriptor_within_the_request()
    {
        StatusWorld world = new();
        world.Device.Health.AsSpan(8, 8).Fill(BlockHealth.Suspect);
        MemoryByteStream client = world.Connect(Options(8, State));
        client.Write(new ConversationBuilder()
            .Request(NbdCommand.BlockStatus, 1, 4096, 8192, RequestOne)
            .Request(NbdCommand.BlockStatus, 2, 4096, 1024, RequestOne).ToArray());
        world.Settle();
        var got = ReplyReader.ByCookie(client.Output);
        Assert.Equal([(4096ul, 3ul)], Descriptors(Assert.Single(got[1])));
        Assert.Equal([(1024ul, 3ul)], Descriptors(Assert.Single(got[2])));
    }

    /// <summary>A client that goes on where each answer ends sees everything; answers stay small.</summary>
    [Theory]
    [InlineData(8u)]
    [InlineData(11u)]
    public void Answers_are_bounded_and_lead_through_the_whole_export(uint style)
    {
        StatusWorld world = new();
        for (int i = 0; i < Blocks; i++)
        {
            world.Device.Health[i] = (BlockHealth)(i % 4);
        }
        MemoryByteStream client = world.Connect(Options(style, Base, State));
        ulong at = 0;
        int asked = 0;
        while (at < Blocks * 512)
        {
            client.ClearOutput();
            ulong rest = (Blocks * 512) - at;
            client.Write(style == 11
                ? new ConversationBuilder().Extended(NbdCommand.BlockStatus, 1, at, rest).ToArray()
                : new ConversationBuilder().Request(NbdCommand.BlockStatus, 1, at, (uint)rest).ToArray());
            world.Settle();
            List<ReadReply> chunks = ReplyReader.ByCookie(client.Output, style == 11)[1];
            Assert.Equal(2, chunks.Count);
            Assert.InRange(client.Said, 1, 10_000);
            foreach ((ulong bytes, ulong flags) in Descriptors(chunks[1]))
            {
                Assert.Equal((512ul, (at / 512) % 4), (bytes, flags));
                at += bytes;
            }
            asked++;
        }
        Assert.Equal(Blocks / NbdServer.StatusRunsMax, asked);
    }

    [Fact]
    public void Many_status_requests_at_once_are_all_answered()
    {
        StatusWorld world = new();
        for (int i = 0; i < Blocks; i++)
        {
            world.Device.Health[i] = (BlockHealth)(i % 2);
        }
        MemoryByteStream client = world.Connect(Options(8, Base, State));
        ConversationBuilder requests = new();
        for (ulong cookie = 1; cookie <= 500; cookie++)
        {
            requests.Request(NbdCommand.BlockStatus, cookie, 0, Blocks * 512);
        }
        client.Write(requests.ToArray());
        world.Settle();
        var got = ReplyReader.ByCookie(client.Output);
        Assert.Equal(500, got.Count);
        Assert.All(got.Values, chunks => Assert.Equal(2, chunks.Count));
    }

    [Theory]
    [InlineData(0ul, 0u, 0)] // no length
    [InlineData(0ul, 1_049_088u, 0)] // beyond the end
    [InlineData(1_048_576ul, 512u, 0)]
    [InlineData(0ul, 100u, 0)] // unaligned
    [InlineData(1ul, 512u, 0)]
    [InlineData(0ul, 512u, 4)] // DF is for READ
    [InlineData(0ul, 512u, 2)]
    public void Status_that_is_malformed_is_invalid_with_a_text(ulong offset, uint length, int flags)
    {
        StatusWorld world = new();
        MemoryByteStream client = world.Connect(Options(8, Base));
        client.Write(
            new ConversationBuilder().Request(NbdCommand.BlockStatus, 1, offset, length, flags).ToArray());
        world.Settle();
        ReadReply only = Assert.Single(ReplyReader.ByCookie(client.Output)[1]);
        Assert.Equal((ReadReply.ErrorWhole, 22u), (only.Type, only.Error));
        Assert.NotEqual("", only.Text);
    }

    [Fact]
    public void Status_without_a_context_is_invalid()
    {
        StatusWorld world = new();
        foreach (ConversationBuilder options in new[] { Options(8), Options(8, "base:nothing") })
        {
            MemoryByteStream client = world.Connect(options);
            client.Write(new ConversationBuilder().Request(NbdCommand.BlockStatus, 1, 0, 512).ToArray());
            world.Settle();
            Assert.Equal(22u, Assert.Single(ReplyReader.ByCookie(client.Output)[1]).Error);
            client.End();
            world.Settle();
        }
        MemoryByteStream simple = world.Connect(new ConversationBuilder());
        simple.Write(new ConversationBuilder().Request(NbdCommand.BlockStatus, 1, 0, 512).ToArray());
        world.Settle();
        Assert.Equal(new ConversationBuilder().Reply(1, 22).ToArray(), simple.Output.ToArray());
    }

    /// <summary>The payload of BLOCK_STATUS chooses among the negotiated contexts.</summary>
    [Fact]
    public void Status_payload_limits_the_answer_to_the_contexts_it_names()
    {
        StatusWorld world = new();
        MemoryByteStream client = world.Connect(Options(11, Base, State));
        byte[] asked = new ConversationBuilder().UInt64(4096).UInt32(2).ToArray();
        // In pieces: a payload may come later than its header.
        byte[] request = new ConversationBuilder()
            .Extended(NbdCommand.BlockStatus, 1, 512, 12, Payload, asked).ToArray();
        client.Write(request.AsSpan(0, 34));
        world.Settle();
        Assert.Equal(0, client.Said);
        client.Write(request.AsSpan(34));
        world.Settle();
        byte[] expected = new ConversationBuilder()
            .ExtendedChunk(1, 512, 1, 6, new ConversationBuilder()
                .UInt32(2).UInt32(1).UInt64(4096).UInt64(0)).ToArray();
        Assert.Equal(Convert.ToHexString(expected), Convert.ToHexString(client.Output));
    }

    [Fact]
    public void Status_payload_that_is_wrong_is_read_past_and_invalid()
    {
        byte[][] payloads =
        [
            new ConversationBuilder().UInt64(512).ToArray(), // no id
            new ConversationBuilder().UInt64(512).UInt32(1).UInt32(1).ToArray(), // one twice
            new ConversationBuilder().UInt64(512).UInt32(3).ToArray(), // unknown
            new ConversationBuilder().UInt64(512).UInt32(0).ToArray(),
            new ConversationBuilder().UInt64(512).UInt32(2).ToArray(), // known, not negotiated
            new ConversationBuilder().UInt64(512).UInt16(1).ToArray(),
            new ConversationBuilder().UInt64(0).UInt32(1).ToArray(),
            new ConversationBuilder().UInt64(ulong.MaxValue).UInt32(1).ToArray(),
            new byte[4],
            new byte[50_000],
        ];
        StatusWorld world = new();
        MemoryByteStream client = world.Connect(Options(11, Base));
        ConversationBuilder requests = new();
        for (int i = 0; i < payloads.Length; i++)
        {
            requests.Extended(
                NbdCommand.BlockStatus, (ulong)i, 0, (ulong)payloads[i].Length, Payload, payloads[i]);
        }
        requests.Extended(NbdCommand.Read, 99, 0, 512);
        client.Write(requests.ToArray());
        world.Settle();
        var got = ReplyReader.ByCookie(client.Output, isExtended: true);
        for (int i = 0; i < payloads.Length; i++)
        {
            Assert.Equal(22u, Assert.Single(got[(ulong)i]).Error);
        }
        Assert.Equal(512, Assert.Single(got[99]).Data.Length);
    }

    private static ConversationBuilder Options(uint style, params string[] contexts) =>
        new ConversationBuilder().Option(style).Contexts(10, "", contexts);

    private static List<(ulong Bytes, ulong Flags)> Descriptors(ReadReply chunk)
    {
        bool isExtended = chunk.Type == ReadReply.StatusExtended;
        List<(ulong, ulong)> all = [];
        ReadOnlySpan<byte> rest = chunk.Data.AsSpan(isExtended ? 8 : 4);
        for (; !rest.IsEmpty; rest = rest[(isExtended ? 16 : 8)..])
        {
            ulong length = isExtended
                ? BinaryPrimitives.ReadUInt64BigEndian(rest) : BinaryPrimitives.ReadUInt32BigEndian(rest);
            ulong flags = isExtended
                ? BinaryPrimitives.ReadUInt64BigEndian(rest[8..])
                : BinaryPrimitives.ReadUInt32BigEndian(rest[4..]);
            all.Add((length, flags));
        }
        Assert.NotEmpty(all);
        Assert.True(!isExtended || BinaryPrimitives.ReadUInt32BigEndian(chunk.Data.AsSpan(4)) == all.Count);
        return all;
    }

    private sealed class StatusWorld
    {
        private readonly SimulatedLoop _loop = new();
        private readonly NbdServer _server;

        public StatusWorld(long blocks = Blocks)
        {
            Device = new HealthDevice(_loop, blocks);
            _server = new NbdServer(_loop, new BufferPool(8, 16 * 1024), Device, new NbdServerOptions
            {
                ExportName = "disk",
                ConnectionsMax = 3,
                LargeReadsMax = 1,
            });
        }

        public HealthDevice Device { get; }

        public MemoryByteStream Connect(ConversationBuilder options)
        {
            MemoryByteStream client = new(_loop);
            client.Owner = _server.OnAccepted(client);
            client.Write(new ConversationBuilder().ClientFlags().Bytes(options.ToArray()).Go().ToArray());
            Settle();
            client.ClearOutput();
            return client;
        }

        public void Settle() => _loop.RunFor(Duration.FromSeconds(1));
    }

    private sealed class HealthDevice(IEventLoop loop, long blocks) : IBlockDevice, IBlockHealthSource
    {
        public DeviceGeometry Geometry { get; } = SimulatedDisk.MakeGeometry(blocks);

        public BlockHealth[] Health { get; } = new BlockHealth[Blocks];

        public void Submit(IoRequest request)
        {
            request.MarkSubmitted();
            request.SetResult(IoStatus.Ok, 0, Duration.Zero);
            loop.DeliverLater(request);
        }

        public int ListHealth(Extent extent, Span<HealthRun> into)
        {
            if (extent.Count.Value > Blocks)
            {
                into[0] = new HealthRun(BlockHealth.Healthy, extent.Count);
                return 1;
            }
            int runs = 0;
            for (int i = (int)extent.Start.Value; i < extent.End.Value; i++)
            {
                if (runs > 0 && into[runs - 1].Health == Health[i])
                {
                    into[runs - 1] = new(Health[i], into[runs - 1].Count + new BlockCount(1));
                }
                else if (runs == into.Length)
                {
                    break;
                }
                else
                {
                    into[runs] = new(Health[i], new BlockCount(1));
                    runs++;
                }
            }
            return runs;
        }
    }
}
