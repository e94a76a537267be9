using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.FrontEnds.Nbd;
using DmRemap.Nbd;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Nbd;

/// <summary>Reads that fail in part: what was read is delivered, what was not is named.</summary>
public sealed class NbdPartialReadTests
{
    private const int Bytes = (int)NbdCorpus.ExportBytes;
    private const int SliceBytes = 16 * 1024;

    [Fact]
    public void Read_across_a_lost_block_delivers_the_rest_and_names_its_offset_to_the_byte()
    {
        PartialWorld world = new(new HashSet<long> { 3 });
        MemoryByteStream client = world.Connect(new ConversationBuilder().Option(8));
        client.Write(new ConversationBuilder().Read(7, 1024, 2048).ToArray());
        world.Settle();
        byte[] text = "512 bytes at offset 1536: the content is lost; writing it again makes it readable"u8
            .ToArray();
        byte[] expected = new ConversationBuilder()
            .Chunk(7, 0, 1, new ConversationBuilder().UInt64(1024).Bytes(world.Content(1024, 512)))
            .Chunk(7, 0, 0x8002, new ConversationBuilder()
                .UInt32(5).UInt16(text.Length).Bytes(text).UInt64(1536))
            .Chunk(7, 0, 1, new ConversationBuilder().UInt64(2048).Bytes(world.Content(2048, 1024)))
            .Chunk(7, 1, 0, new ConversationBuilder()).ToArray();
        Assert.Equal(Convert.ToHexString(expected), Convert.ToHexString(client.Output));
        Assert.Equal(1, world.Server.Counters.Errors);
    }

    [Fact]
    public void Whole_read_is_one_chunk_of_data_that_is_done()
    {
        PartialWorld world = new([]);
        MemoryByteStream client = world.Connect(new ConversationBuilder().Option(8));
        client.Write(new ConversationBuilder().Read(7, 512, 100 * 512).ToArray());
        world.Settle();
        byte[] expected = new ConversationBuilder()
            .Chunk(7, 1, 1, new ConversationBuilder().UInt64(512).Bytes(world.Content(512, 100 * 512)))
            .ToArray();
        Assert.Equal(Convert.ToHexString(expected), Convert.ToHexString(client.Output));
    }

    [Fact]
    public void Client_without_structured_replies_gets_one_error_and_no_data()
    {
        PartialWorld world = new(new HashSet<long> { 3 });
        MemoryByteStream client = world.Connect(new ConversationBuilder());
        client.Write(new ConversationBuilder().Read(7, 1024, 2048).ToArray());
        world.Settle();
        Assert.Equal(new ConversationBuilder().Reply(7, 5).ToArray(), client.Output.ToArray());
    }

    /// <summary>
    /// Any pattern of bad blocks, any read, any latency and cut, leases and reserves: the chunks together are
    /// the request, good blocks come as they are, bad ones come never.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Any_read_is_answered_by_its_good_blocks_and_the_places_of_its_bad_ones(bool isExtended)
    {
        for (int seed = 0; seed < 60; seed++)
        {
            Random random = new(seed);
            HashSet<long> bad = [];
            for (int i = random.Next(40); i > 0; i--)
            {
                long first = random.Next(Bytes / 512);
                bad.UnionWith(Enumerable.Range((int)first, random.Next(1, 60)).Select(block => (long)block));
            }
            PartialWorld world = new(bad, seed) { Cut = () => random.Next(1, 40_000) };
            MemoryByteStream client =
                world.Connect(new ConversationBuilder().Option(isExtended ? 11u : 8u));
            Dictionary<ulong, (long Start, long Blocks, bool IsWhole)> asked = [];
            for (ulong cookie = 1; cookie <= 12; cookie++)
            {
                long start = random.Next(Bytes / 512);
                long blocks = random.Next(1, (int)Math.Min(cookie % 3 == 0 ? 2048 : 200, 2049 - start));
                blocks = Math.Min(blocks, (Bytes / 512) - start);
                bool isWhole = random.Next(3) == 0;
                asked[cookie] = (start, blocks, isWhole);
                client.Write(Read(isExtended, cookie, start * 512, blocks * 512, isWhole));
                if (random.Next(2) == 0)
                {
                    world.Settle();
                }
            }
            world.Settle();
            var got = ReplyReader.ByCookie(client.Output, isExtended);
            Assert.Equal(asked.Count, got.Count);
            foreach ((ulong cookie, (long start, long blocks, bool isWhole)) in asked)
            {
                Check(world, got[cookie], start, blocks, isWhole, $"seed={seed} cookie={cookie}");
            }
            client.End();
            world.Settle();
            world.CheckNothingIsLeft();
        }
    }

    [Fact]
    public void Dont_fragment_gives_at_most_one_chunk_of_data()
    {
        PartialWorld world = new(new HashSet<long> { 3, 9 });
        MemoryByteStream client = world.Connect(new ConversationBuilder().Option(8));
        client.Write(new ConversationBuilder()
            .Request(NbdCommand.Read, 1, 0, 8192, 4)
            .Request(NbdCommand.Read, 2, 512 * 3, 8192 - 1536, 4)
            .Request(NbdCommand.Read, 3, 8192, Bytes - 8192, 4).ToArray());
        world.Settle();
        var got = ReplyReader.ByCookie(client.Output);
        Assert.Equal([1, 0x8002, 0x8002, 0], got[1].Select(chunk => chunk.Type));
        Assert.Equal([0x8002, 1, 0x8002, 0], got[2].Select(chunk => chunk.Type));
        ReadReply whole = Assert.Single(got[3]);
        Assert.Equal(Bytes - 8192, whole.Data.Length);
    }

    [Fact]
    public void Cache_reads_and_sends_nothing_but_the_places_that_failed()
    {
        PartialWorld world = new(new HashSet<long> { 3 });
        MemoryByteStream client = world.Connect(new ConversationBuilder().Option(8));
        client.Write(new ConversationBuilder()
            .Request(NbdCommand.Cache, 1, 8192, 65_536)
            .Request(NbdCommand.Cache, 2, 0, 8192)
            .Request(NbdCommand.Cache, 3, 0, Bytes * 64u).ToArray());
        world.Settle();
        var got = ReplyReader.ByCookie(client.Output);
        Assert.Equal((true, 0u), (Assert.Single(got[1]).IsSimple, got[1][0].Error));
        Assert.Equal([0x8002, 0], got[2].Select(chunk => chunk.Type));
        Assert.Equal(1536ul, got[2][0].Offset);
        Assert.Equal((uint)NbdError.Overflow, Assert.Single(got[3]).Error);
        Assert.Equal(65_536 + 8192, world.Device.BytesRead);
    }

    [Fact]
    public void Disk_that_stops_in_the_middle_of_a_read_is_one_error_for_all_of_it()
    {
        PartialWorld world = new([]);
        world.Device.StopsAtBlock = 64;
        MemoryByteStream client = world.Connect(new ConversationBuilder().Option(8));
        client.Write(new ConversationBuilder().Read(1, 0, 128 * 512).ToArray());
        world.Settle();
        ReadReply only = Assert.Single(ReplyReader.ByCookie(client.Output)[1]);
        Assert.Equal((ReadReply.ErrorWhole, 108u), (only.Type, only.Error));
        Assert.Equal("the server is stopping", only.Text);
    }

    private static byte[] Read(bool isExtended, ulong cookie, long offset, long length, bool isWhole)
    {
        int flags = isWhole ? 4 : 0;
        ConversationBuilder builder = new();
        return isExtended
            ? builder.Extended(NbdCommand.Read, cookie, (ulong)offset, (ulong)length, flags).ToArray()
            : builder.Request(NbdCommand.Read, cookie, (ulong)offset, (uint)length, flags).ToArray();
    }

    private static void Check(
        PartialWorld world, List<ReadReply> chunks, long start, long blocks, bool isWhole, string where)
    {
        // 0 unknown, 1 given, 2 named as bad.
        int[] seen = new int[blocks];
        foreach (ReadReply chunk in chunks)
        {
            long first = ((long)chunk.Offset / 512) - start;
            if (chunk.Type == ReadReply.OffsetData)
            {
                long count = chunk.Data.Length / 512;
                Assert.True(first >= 0 && first + count <= blocks, where);
                Assert.Equal(world.Content((long)chunk.Offset, chunk.Data.Length), chunk.Data);
                for (long i = first; i < first + count; i++)
                {
                    Assert.True(seen[i] == 0 && !world.Bad.Contains(start + i), where);
                    seen[i] = 1;
                }
            }
            else if (chunk.Type == ReadReply.ErrorOffset)
            {
                int named = int.Parse(chunk.Text.Split(' ')[0], CultureInfo.InvariantCulture) / 512;
                Assert.Equal(5u, chunk.Error);
                for (long i = first; i < first + named; i++)
                {
                    Assert.True(seen[i] == 0 && world.Bad.Contains(start + i), where);
                    seen[i] = 2;
                }
            }
        }
        int dataChunks = chunks.Count(chunk => chunk.Type == ReadReply.OffsetData);
        Assert.True(!isWhole || dataChunks <= 1, where);
        for (long i = 0; i < blocks && !isWhole; i++)
        {
            Assert.True(seen[i] == (world.Bad.Contains(start + i) ? 2 : 1), where);
        }
    }

    /// <summary>A server on a device that reads what it can and says where it cannot.</summary>
    private sealed class PartialWorld
    {
        private readonly SimulatedLoop _loop = new();
        private readonly BufferPool _pool = new(12, SliceBytes);
        private readonly byte[] _content = NbdCorpus.Pattern(Bytes, 99);

        public PartialWorld(HashSet<long> bad, int seed = 0)
        {
            Bad = bad;
            Device = new PartialDevice(_loop, _content, bad, seed);
            Server = new NbdServer(_loop, _pool, Device, new NbdServerOptions
            {
                ExportName = "disk",
                ConnectionsMax = 2,
                LargeReadsMax = 1,
            });
        }

        public HashSet<long> Bad { get; }

        public PartialDevice Device { get; }

        public NbdServer Server { get; }

        public Func<int>? Cut { get; init; }

        public byte[] Content(long offset, int bytes) => _content.AsSpan((int)offset, bytes).ToArray();

        public MemoryByteStream Connect(ConversationBuilder options)
        {
            MemoryByteStream client = new(_loop) { Cut = Cut };
            client.Owner = Server.OnAccepted(client);
            client.Write(new ConversationBuilder().ClientFlags().Bytes(options.ToArray()).Go().ToArray());
            Settle();
            client.ClearOutput();
            return client;
        }

        public void Settle() => _loop.RunFor(Duration.FromSeconds(1));

        public void CheckNothingIsLeft()
        {
            Assert.Equal(0, Server.OpenConnections);
            Assert.Equal(_pool.Slices, _pool.FreeCount);
        }
    }

    private sealed class PartialDevice(IEventLoop loop, byte[] content, HashSet<long> bad, int seed)
        : IBlockDevice
    {
        private readonly Random _random = new(seed);

        public DeviceGeometry Geometry { get; } = SimulatedDisk.MakeGeometry(Bytes / 512);

        public long StopsAtBlock { get; set; } = long.MaxValue;

        public int BytesRead { get; private set; }

        public void Submit(IoRequest request)
        {
            request.MarkSubmitted();
            IoStatus status = IoStatus.Ok;
            List<long> failed = [];
            for (int i = 0; i < request.Extent.Count.Value && request.Operation == IoOperation.Read; i++)
            {
                long block = request.Extent.Start.Value + i;
                Span<byte> target = request.Buffer.Span.Slice(i * 512, 512);
                target.Fill(0xEE);
                if (!bad.Contains(block))
                {
                    content.AsSpan((int)block * 512, 512).CopyTo(target);
                    continue;
                }
                status = IoStatus.Unreadable;
                failed.Add(block);
            }
            BytesRead += request.Buffer.Length;
            Report(request, failed);
            status = request.Extent.End.Value > StopsAtBlock ? IoStatus.ShuttingDown : status;
            request.SetResult(status, 0, Duration.Zero);
            loop.DeliverLater(request);
        }

        /// <summary>
        /// Runs of bad blocks, in any order; a device may also leave "all of it" unsaid.
        /// </summary>
        private void Report(IoRequest request, List<long> failed)
        {
            List<Extent> extents = [];
            foreach (long block in failed)
            {
                if (extents.Count > 0 && extents[^1].End.Value == block)
                {
                    Extent last = extents[^1];
                    extents[^1] = Extent.FromBounds(last.Start, new BlockNumber(block + 1));
                }
                else
                {
                    extents.Add(new Extent(new BlockNumber(block), new BlockCount(1)));
                }
            }
            if (failed.Count == request.Extent.Count.Value && _random.Next(2) == 0)
            {
                return;
            }
            // More would be widened, and good blocks fail with the bad ones.
            Invariant.Check(extents.Count <= Limits.FailedExtentsMax);
            Extent[] shuffled = [.. extents];
            _random.Shuffle(shuffled);
            foreach (Extent extent in shuffled)
            {
                request.Failed.Add(extent);
            }
        }
    }
}
