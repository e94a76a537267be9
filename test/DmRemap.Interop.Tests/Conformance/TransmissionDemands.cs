using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;

namespace DmRemap.Interop.Tests.Conformance;

/// <summary>
/// What the protocol says of requests and their replies. The export has the tests' content.
/// </summary>
internal static class TransmissionDemands
{
    private const ushort BlockStatus = 7;
    private const ushort FlagNoHole = 2;
    private const ushort FlagDontFragment = 4;
    private const ushort FlagRequestOne = 8;
    private const ushort OffersFlush = 4;
    private const ushort OffersFua = 8;
    private const ushort OffersZeroes = 64;
    private const ushort OffersDontFragment = 128;
    private const ushort OffersFastZero = 2048;
    private const int Some = 65_536;

    /// <summary>Of the export; behind it lies nothing.</summary>
    public const long ExportBytes = 8 << 20;

    public static List<Demand> All { get; } =
    [
        new("C17", FlagsAsync),
        new("C18", ReadAsync),
        new("C19", FailedReadAsync),
        new("C20", UnknownCommandAsync),
        new("C21", FailedWriteAsync),
        new("C22", WriteAsync),
        new("C23", ZeroesAsync),
        new("C24", DisconnectAsync, Times: 8),
        new("C25", ContextsMissingAsync),
        new("C26", StructuredReadAsync),
        new("C27", StructuredErrorAsync),
        new("C28", WholeAsync),
        new("C29", StatusAsync),
        new("C30", StatusOfOneAsync),
        new("C31", DontFragmentIsOfferedAsync),
    ];

    private static async Task FlagsAsync(WireClient client)
    {
        await client.EnterAsync();
        Deviation.If((client.Flags & 1) == 0, "the first flag is not set");
        Deviation.If((client.Flags & OffersDontFragment) != 0, "DF without structured replies");
        Deviation.If(
            (client.Flags & OffersFastZero) != 0 && (client.Flags & OffersZeroes) == 0,
            "FAST_ZERO without WRITE_ZEROES");
    }

    private static async Task ReadAsync(WireClient client)
    {
        await client.EnterAsync();
        foreach (ulong cookie in new ulong[] { 0, 1, 0xffff_ffff_ffff_ffff, 0x0123_4567_89ab_cdef })
        {
            await client.RequestAsync(NbdTestClient.CommandRead, cookie, 4096, Some);
            Deviation.If(await client.SimpleAsync(cookie) != 0, "it fails");
            ExpectContent(await client.ReceiveAsync(Some), 4096);
        }
    }

    /// <summary>No data behind an error, and the connection goes on.</summary>
    private static async Task FailedReadAsync(WireClient client)
    {
        await client.EnterAsync();
        foreach (long offset in new[] { ExportBytes, ExportBytes - 4096, 1L << 62, -4096 })
        {
            await client.RequestAsync(NbdTestClient.CommandRead, 7, offset, 8192);
            Deviation.If(await client.SimpleAsync(7) == 0, $"{offset:x} is read");
            await client.ExpectAliveAsync();
        }
    }

    private static async Task UnknownCommandAsync(WireClient client)
    {
        await client.EnterAsync();
        await client.RequestAsync(777, 7, 0, 512);
        Deviation.If(await client.SimpleAsync(7) == 0, "it succeeds");
        await client.ExpectAliveAsync();
    }

    /// <summary>Its payload is read past.</summary>
    private static async Task FailedWriteAsync(WireClient client)
    {
        await client.EnterAsync();
        await client.RequestAsync(NbdTestClient.CommandWrite, 7, ExportBytes - 4096, 8192);
        await client.SendAsync(new byte[8192]);
        Deviation.If(await client.SimpleAsync(7) == 0, "it succeeds");
        await client.ExpectAliveAsync();
    }

    private static async Task WriteAsync(WireClient client)
    {
        const long Offset = 1 << 20;
        await client.EnterAsync();
        ushort fua = (client.Flags & OffersFua) != 0 ? NbdTestClient.FlagFua : (ushort)0;
        byte[] written = Content.Of(Some, version: 5);
        await client.RequestAsync(NbdTestClient.CommandWrite, 8, Offset, Some, fua);
        await client.SendAsync(written);
        Deviation.If(await client.SimpleAsync(8) != 0, "it fails");
        if ((client.Flags & OffersFlush) != 0)
        {
            await client.RequestAsync(NbdTestClient.CommandFlush, 9, 0, 0);
            Deviation.If(await client.SimpleAsync(9) != 0, "the flush fails");
        }
        await client.RequestAsync(NbdTestClient.CommandRead, 10, Offset, Some);
        Deviation.If(await client.SimpleAsync(10) != 0, "the read fails");
        byte[] read = await client.ReceiveAsync(Some);
        Deviation.If(!written.AsSpan().SequenceEqual(read), "other content");
    }

    private static async Task ZeroesAsync(WireClient client)
    {
        const long Offset = 2 << 20;
        await client.EnterAsync();
        Deviation.If((client.Flags & OffersZeroes) == 0, "not offered");
        foreach (ushort flags in new ushort[] { FlagNoHole, 0 })
        {
            await client.RequestAsync(NbdTestClient.CommandWrite, 1, Offset, Some);
            await client.SendAsync(Content.Of(Some, version: 6));
            Deviation.If(await client.SimpleAsync(1) != 0, "the write fails");
            await client.RequestAsync(NbdTestClient.CommandWriteZeroes, 2, Offset, Some, flags);
            Deviation.If(await client.SimpleAsync(2) != 0, $"flags {flags}: it fails");
            await client.RequestAsync(NbdTestClient.CommandRead, 3, Offset, Some);
            Deviation.If(await client.SimpleAsync(3) != 0, "the read fails");
            byte[] read = await client.ReceiveAsync(Some);
            Deviation.If(read.AsSpan().ContainsAnyExcept((byte)0), $"flags {flags}: no zeros");
        }
    }

    /// <summary>What was asked before it is answered, it is not.</summary>
    private static async Task DisconnectAsync(WireClient client)
    {
        await client.EnterAsync();
        byte[] both =
        [
            .. NbdTestClient.Request(NbdTestClient.CommandRead, 0, 1, 4096, Some),
            .. NbdTestClient.Request(NbdTestClient.CommandDisconnect, 0, 2, 0, 0),
        ];
        await client.SendAsync(both);
        // An error is an answer, too.
        if (await client.SimpleAsync(1) == 0)
        {
            ExpectContent(await client.ReceiveAsync(Some), 4096);
        }
        byte[] more = await client.ReceiveUntilClosedAsync();
        Deviation.If(more.Length > 0, $"{more.Length} bytes more");
    }

    private static async Task ContextsMissingAsync(WireClient client)
    {
        await client.EnterAsync();
        await client.RequestAsync(BlockStatus, 7, 0, 4096);
        Deviation.If(await client.SimpleAsync(7) == 0, "it succeeds");
        await client.ExpectAliveAsync();
    }

    private static async Task StructuredReadAsync(WireClient client)
    {
        await client.EnterAsync(isStructured: true);
        foreach (uint length in new uint[] { 4096, Some, 1 << 20 })
        {
            await client.RequestAsync(NbdTestClient.CommandRead, 3, 4 << 20, length);
            List<WireChunk> chunks = await client.ChunksAsync(3);
            ExpectTiles(chunks, 4 << 20, length);
        }
    }

    /// <summary>Also an early error is in chunks, has a number, and a text that fits.</summary>
    private static async Task StructuredErrorAsync(WireClient client)
    {
        await client.EnterAsync(isStructured: true);
        await client.RequestAsync(NbdTestClient.CommandRead, 3, ExportBytes, 4096);
        List<WireChunk> chunks = await client.ChunksAsync(3);
        Deviation.If(!chunks.Any(chunk => chunk.IsError), "no chunk of an error");
        foreach (WireChunk chunk in chunks)
        {
            Deviation.If(chunk.IsContent, "content that is not there");
            Deviation.If(chunk.Type == WireChunk.None && chunk.Data.Length > 0, "NONE with a payload");
            Deviation.If(chunk.IsError && chunk.Error == 0, "an error of number 0");
            Deviation.If(
                chunk.IsError
                    && BinaryPrimitives.ReadUInt16BigEndian(chunk.Data.AsSpan(4)) > chunk.Data.Length - 6,
                "a text beyond its chunk");
        }
        await client.RequestAsync(NbdTestClient.CommandRead, 4, 0, 4096);
        ExpectTiles(await client.ChunksAsync(4), 0, 4096);
    }

    private static async Task WholeAsync(WireClient client)
    {
        await client.EnterAsync(isStructured: true);
        if ((client.Flags & OffersDontFragment) == 0)
        {
            return;
        }
        await client.RequestAsync(NbdTestClient.CommandRead, 3, 4 << 20, Some, FlagDontFragment);
        List<WireChunk> chunks = await client.ChunksAsync(3);
        ExpectTiles(chunks, 4 << 20, Some);
        Deviation.If(chunks.Count(chunk => chunk.IsContent) > 1, "more than one chunk of content");
    }

    private static Task StatusAsync(WireClient client) => ExpectStatusAsync(client, 0);

    private static Task StatusOfOneAsync(WireClient client) => ExpectStatusAsync(client, FlagRequestOne);

    private static async Task ExpectStatusAsync(WireClient client, ushort flags)
    {
        await client.EnterAsync(isStructured: true, "base:allocation");
        await client.RequestAsync(BlockStatus, 3, 4096, Some, flags);
        List<WireChunk> chunks = await client.ChunksAsync(3);
        WireChunk[] found = [.. chunks.Where(chunk => chunk.Type == WireChunk.BlockStatus)];
        Deviation.If(found.Length != 1, $"{found.Length} chunks of status");
        byte[] data = found[0].Data;
        Deviation.If(data.Length < 12 || data.Length % 8 != 4, $"{data.Length} bytes of status");
        long sum = 0;
        for (int at = 4; at < data.Length; at += 8)
        {
            Deviation.If(sum >= Some, "a descriptor behind the request");
            uint length = BinaryPrimitives.ReadUInt32BigEndian(data.AsSpan(at));
            Deviation.If(length == 0, "a descriptor of length 0");
            sum += length;
        }
        bool isOne = data.Length == 12;
        Deviation.If(flags == FlagRequestOne && !isOne, "more than one descriptor");
        Deviation.If(flags == FlagRequestOne && sum > Some, "a descriptor longer than the request");
    }

    private static async Task DontFragmentIsOfferedAsync(WireClient client)
    {
        await client.EnterAsync(isStructured: true);
        await client.RequestAsync(NbdTestClient.CommandRead, 3, 0, 4096, FlagDontFragment);
        List<WireChunk> chunks = await client.ChunksAsync(3);
        bool isServed = !chunks.Any(chunk => chunk.IsError);
        Deviation.If(isServed && (client.Flags & OffersDontFragment) == 0, "served and not offered");
    }

    /// <summary>No gap, no overlap, nothing outside, and the right content.</summary>
    private static void ExpectTiles(List<WireChunk> chunks, long offset, long length)
    {
        Deviation.If(chunks.Any(chunk => chunk.IsError), "it fails");
        long at = offset;
        foreach (WireChunk chunk in chunks.Where(chunk => chunk.IsContent).OrderBy(chunk => chunk.Offset))
        {
            Deviation.If(chunk.ContentBytes <= 0, "a chunk without content");
            Deviation.If(chunk.Offset != at, "a gap, or an overlap");
            if (chunk.Type == WireChunk.OffsetData)
            {
                ExpectContent(chunk.Data.AsSpan(8), chunk.Offset);
            }
            at += chunk.ContentBytes;
        }
        Deviation.If(at != offset + length, "not all of it");
        Deviation.If(
            chunks.Any(chunk => chunk.Type == WireChunk.None && (chunk.Data.Length > 0 || !chunk.IsDone)),
            "NONE with a payload, or not the last");
    }

    private static void ExpectContent(ReadOnlySpan<byte> read, long offset) =>
        Deviation.If(Content.VersionOf(read, offset) != 1, "other content");
}
