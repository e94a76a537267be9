using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Linq;
using System.Numerics;
using System.Text;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;

namespace DmRemap.Interop.Tests.Conformance;

/// <summary>What the protocol says of the handshake, without TLS.</summary>
internal static class HandshakeDemands
{
    private const uint OptionInfo = 6;

    public static List<Demand> All { get; } =
    [
        new("C1", GreetingAsync),
        new("C2", UnknownClientFlagAsync),
        new("C3", UnknownOptionAsync),
        new("C4", ListAsync),
        new("C5", ExportNameAsync),
        new("C6", UnknownExportNameAsync),
        new("C7", GoAsync),
        new("C8", InfoTwiceAsync),
        new("C9", UnknownInformationAsync),
        new("C10", BlockSizesAsync),
        new("C11", NoTlsAsync),
        new("C12", LyingNameAsync),
        new("C13", ListContextsAsync),
        new("C14", SetContextsAsync),
        new("C15", LyingQueryAsync),
        new("C16", ManyAtOnceAsync),
    ];

    private static async Task GreetingAsync(WireClient client)
    {
        byte[] greeting = await client.ReceiveAsync(18);
        Deviation.If(!greeting.AsSpan(0, 16).SequenceEqual("NBDMAGICIHAVEOPT"u8), "other magics");
        int flags = BinaryPrimitives.ReadUInt16BigEndian(greeting.AsSpan(16));
        Deviation.If((flags & 1) == 0, "no fixed newstyle");
        Deviation.If((flags & ~3) != 0, $"flags {flags:x}");
    }

    private static async Task UnknownClientFlagAsync(WireClient client)
    {
        await client.ReceiveAsync(18);
        byte[] both = [.. NbdTestClient.ClientFlags(0x4000_0003), .. NbdTestClient.GoOption("")];
        await client.SendAsync(both);
        byte[] said = await client.ReceiveUntilClosedAsync();
        Deviation.If(said.Length > 0, "it goes on");
    }

    private static async Task UnknownOptionAsync(WireClient client)
    {
        await client.GreetAsync();
        foreach (int bytes in new[] { 0, 3, 4000 })
        {
            await client.OptionAsync(0x7777_0000, new byte[bytes]);
            await client.ExpectReplyAsync(0x7777_0000, WireClient.ErrorUnsupported);
        }
        await client.GoAsync();
    }

    private static async Task ListAsync(WireClient client)
    {
        await client.GreetAsync();
        await client.OptionAsync(NbdTestClient.OptionList);
        List<(uint Type, byte[] Data)> replies = await client.RepliesAsync(NbdTestClient.OptionList);
        Deviation.If(replies[^1].Type != WireClient.Ack, $"reply {replies[^1].Type:x}");
        foreach ((_, byte[] data) in replies.SkipLast(1))
        {
            Deviation.If(
                BinaryPrimitives.ReadUInt32BigEndian(data) > data.Length - 4, "a name beyond its reply");
        }
    }

    private static async Task ExportNameAsync(WireClient client)
    {
        int padding = await client.GreetAsync(1) == 3 ? 124 : 0;
        await client.OptionAsync(NbdTestClient.OptionExportName);
        byte[] answer = await client.ReceiveAsync(10 + padding);
        Deviation.If((answer[9] & 1) == 0, "the first flag is not set");
        await client.ExpectAliveAsync();
    }

    /// <summary>Without the zeros, where both have agreed; and another name ends it.</summary>
    private static async Task UnknownExportNameAsync(WireClient client)
    {
        Deviation.If((await client.GreetAsync() & 2) == 0, "the zeros cannot be agreed away");
        await client.OptionAsync(NbdTestClient.OptionExportName);
        await client.ReceiveAsync(10);
        await client.ExpectAliveAsync();
    }

    private static async Task GoAsync(WireClient client)
    {
        await client.GreetAsync();
        await client.SendAsync(NbdTestClient.GoOption(""));
        List<(uint Type, byte[] Data)> replies = await client.RepliesAsync(NbdTestClient.OptionGo);
        int exports = replies.Count(reply => reply is { Type: WireClient.Info, Data: [0, 0, ..] });
        Deviation.If(exports == 0, "no information of the export");
        Deviation.If(
            replies.Any(reply => reply is { Type: WireClient.Info, Data: [0, 0, ..] and not { Length: 12 } }),
            "not 12 bytes");
        // Padding would be taken for a reply.
        await client.ExpectAliveAsync();
    }

    private static async Task InfoTwiceAsync(WireClient client)
    {
        await client.GreetAsync();
        List<string> said = [];
        foreach (uint option in new uint[] { OptionInfo, OptionInfo, NbdTestClient.OptionGo })
        {
            await client.OptionAsync(option, NbdTestClient.GoOption("")[16..]);
            said.Add(string.Join(' ', (await client.RepliesAsync(option)).Select(
                reply => $"{reply.Type:x}:{Convert.ToHexString(reply.Data)}")));
        }
        Deviation.If(said.Distinct().Count() > 1, "other answers");
    }

    private static async Task UnknownInformationAsync(WireClient client)
    {
        await client.GreetAsync();
        byte[] data = [0, 0, 0, 0, 0, 3, 0x70, 0, 0, 1, 0x12, 0x34];
        await client.OptionAsync(OptionInfo, data);
        List<(uint Type, byte[] Data)> replies = await client.RepliesAsync(OptionInfo);
        Deviation.If(replies[^1].Type != WireClient.Ack, $"reply {replies[^1].Type:x}");
    }

    private static async Task BlockSizesAsync(WireClient client)
    {
        await client.GreetAsync();
        byte[] data = [0, 0, 0, 0, 0, 1, 0, 3];
        await client.OptionAsync(OptionInfo, data);
        foreach ((uint type, byte[] info) in await client.RepliesAsync(OptionInfo))
        {
            if (type != WireClient.Info || info is not [0, 3, ..])
            {
                continue;
            }
            Deviation.If(info.Length != 14, "not 14 bytes");
            uint minimum = BinaryPrimitives.ReadUInt32BigEndian(info.AsSpan(2));
            uint preferred = BinaryPrimitives.ReadUInt32BigEndian(info.AsSpan(6));
            uint maximum = BinaryPrimitives.ReadUInt32BigEndian(info.AsSpan(10));
            Deviation.If(!BitOperations.IsPow2(minimum) || minimum > 65_536, $"minimum {minimum}");
            Deviation.If(
                !BitOperations.IsPow2(preferred) || preferred < Math.Max(512, minimum),
                $"preferred {preferred}");
            Deviation.If(
                maximum < preferred || (maximum != uint.MaxValue && maximum % minimum != 0),
                $"maximum {maximum}");
        }
    }

    private static async Task NoTlsAsync(WireClient client)
    {
        await client.GreetAsync();
        await client.OptionAsync(5);
        (uint type, _) = await client.ReplyAsync(5);
        Deviation.If(type < WireClient.FirstError, $"reply {type:x}");
        Deviation.If(type == WireClient.ErrorTlsRequired, "TLS is required for STARTTLS");
        await client.GoAsync();
    }

    private static async Task LyingNameAsync(WireClient client)
    {
        await client.GreetAsync();
        byte[] data = [0, 0, 0, 99, .. "abc"u8, 0, 0];
        await client.OptionAsync(NbdTestClient.OptionGo, data);
        (uint type, _) = await client.ReplyAsync(NbdTestClient.OptionGo);
        Deviation.If(type < WireClient.FirstError, $"reply {type:x}");
        await client.GoAsync();
    }

    private static async Task ListContextsAsync(WireClient client)
    {
        await client.GreetAsync();
        await client.OptionAsync(8);
        await client.ExpectReplyAsync(8, WireClient.Ack);
        await ExpectContextsAsync(client, 9, [], atLeast: 1);
        await ExpectContextsAsync(client, 9, ["base:"], atLeast: 1);
        await ExpectContextsAsync(client, 9, ["x-nobody:", "x-nobody:at-all"], atLeast: 0);
    }

    private static async Task SetContextsAsync(WireClient client)
    {
        await client.GreetAsync();
        await client.OptionAsync(8);
        await client.ExpectReplyAsync(8, WireClient.Ack);
        await ExpectContextsAsync(client, 10, ["base:allocation"], atLeast: 1);
        await ExpectContextsAsync(client, 10, [], atLeast: 0);
        await ExpectContextsAsync(client, 10, ["base:", "base:nothing", "x-nobody:x"], atLeast: 0);
    }

    /// <summary>Exactly none where none are due.</summary>
    private static async Task ExpectContextsAsync(
        WireClient client, uint option, string[] queries, int atLeast)
    {
        await client.OptionAsync(option, WireClient.Contexts(queries));
        List<(uint Type, byte[] Data)> replies = await client.RepliesAsync(option);
        string asked = $"{option} {string.Join(' ', queries)}";
        Deviation.If(replies[^1].Type != WireClient.Ack, $"{asked}: reply {replies[^1].Type:x}");
        string[] names = [.. replies.SkipLast(1).Select(reply => Encoding.ASCII.GetString(reply.Data, 4,
            reply.Data.Length - 4))];
        Deviation.If(names.Length < atLeast, $"{asked}: no context");
        Deviation.If(atLeast == 0 && names.Length > 0, $"{asked}: {string.Join(' ', names)}");
        Deviation.If(names.Any(name => !name.Contains(':', StringComparison.Ordinal)), "no namespace");
    }

    private static async Task LyingQueryAsync(WireClient client)
    {
        await client.GreetAsync();
        await client.OptionAsync(8);
        await client.ExpectReplyAsync(8, WireClient.Ack);
        byte[] data = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 3, 0, .. "base:allocation"u8];
        await client.OptionAsync(10, data);
        await client.ExpectReplyAsync(10, WireClient.ErrorInvalid);
        await client.GoAsync();
    }

    /// <summary>However the bytes arrive, they are the same conversation.</summary>
    private static async Task ManyAtOnceAsync(WireClient client)
    {
        await client.ReceiveAsync(18);
        byte[] all =
        [
            .. NbdTestClient.ClientFlags(), .. NbdTestClient.Option(0x7777_0000, new byte[70]),
            .. NbdTestClient.Option(NbdTestClient.OptionList, []), .. NbdTestClient.GoOption(""),
            .. NbdTestClient.Request(NbdTestClient.CommandRead, 0, 1, 0, 4096),
        ];
        foreach (byte[] some in all.Chunk(7))
        {
            await client.SendAsync(some);
        }
        await client.ExpectReplyAsync(0x7777_0000, WireClient.ErrorUnsupported);
        await client.RepliesAsync(NbdTestClient.OptionList);
        await client.RepliesAsync(NbdTestClient.OptionGo);
        Deviation.If(await client.SimpleAsync(1) != 0, "the read fails");
    }
}
