using System;
using System.Collections.Generic;
using System.Text;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;
using Xunit;

namespace DmRemap.Tests.Nbd;

public sealed class ClientHandshakeTests
{
    private const uint Go = 7;
    private const uint Info = 3;
    private const uint Ack = 1;
    private const uint ErrUnsup = 0x8000_0001;
    private const int Flags = 1 | 4 | 8;

    // What a client says: its flags, GO with the block sizes asked for.
    private static readonly byte[] s_flagsAndGo =
        new ConversationBuilder().UInt32(3).Go("disk", Go, 3).ToArray();

    public static TheoryData<string> HostileServers => [.. s_hostile.Keys];

    private static readonly Dictionary<string, byte[]> s_hostile = new()
    {
        ["no nbd at all"] = Encoding.ASCII.GetBytes("HTTP/1.1 400 Bad Request\r\n\r\n"),
        ["zeros"] = new byte[64],
        ["the old form"] = new ConversationBuilder().UInt64(0x4e42444d41474943).UInt64(0x420281861253)
            .UInt64(1024).UInt32(0).ToArray(),
        ["a reply without its magic"] = Greeting().UInt64(1).UInt32(Go).UInt32(Ack).UInt32(0).ToArray(),
        ["a reply to another option"] = Greeting().OptionReply(6, Ack).ToArray(),
        ["a reply of 4 GiB"] =
            Greeting().UInt64(0x3e889045565a9).UInt32(Go).UInt32(Info).UInt32(uint.MaxValue).ToArray(),
        ["a reply longer than any"] = Greeting().OptionReply(Go, Info, new byte[9000]).ToArray(),
        ["an end without an export"] = Greeting().OptionReply(Go, Ack).ToArray(),
        ["an end with data"] = Greeting().OptionReply(Go, Info, Export(4096, Flags))
            .OptionReply(Go, Ack, new byte[1]).ToArray(),
        ["an export of no bytes"] = Served(Export(0, Flags)),
        ["an export of more bytes than there are numbers"] = Served(Export(1UL << 63, Flags)),
        ["an export without flags"] = Served(Export(4096, 0)),
        ["an export cut short"] = Served(Export(4096, Flags)[..11]),
        ["an info of one byte"] = Served(new byte[1]),
        ["a minimum of 0"] = Served(BlockSizes(0, 4096, 1 << 25)),
        ["a minimum of 3"] = Served(BlockSizes(3, 4096, 1 << 25)),
        ["a minimum of 128 KiB"] = Served(BlockSizes(1 << 17, 1 << 17, 1 << 25)),
        ["a preference below the minimum"] = Served(BlockSizes(4096, 512, 1 << 25)),
        ["a preference of 2 GiB"] = Served(BlockSizes(1, 1u << 31, uint.MaxValue)),
        ["a maximum of 0"] = Served(BlockSizes(1, 4096, 0)),
        ["a maximum that is no multiple"] = Served(BlockSizes(512, 4096, 1000)),
        ["no such export"] =
            Greeting().OptionReply(Go, 0x8000_0006, "no \u001b[31m here"u8.ToArray()).ToArray(),
        ["tls"] = Greeting().OptionReply(Go, 0x8000_0005).ToArray(),
        ["policy"] = Greeting().OptionReply(Go, 0x8000_0002).ToArray(),
        ["a reply of no known type"] = Greeting().OptionReply(Go, 99).ToArray(),
        ["infos without an end"] = ManyInfos(),
        ["export name: no bytes"] =
            Greeting().OptionReply(Go, ErrUnsup).UInt64(0).UInt16(Flags).ToArray(),
    };

    [Fact]
    public void Go_asks_for_block_sizes_and_takes_what_the_server_says()
    {
        byte[] server = Greeting().OptionReply(Go, Info, Export(1 << 20, Flags))
            .OptionReply(Go, Info, BlockSizes(512, 4096, 1 << 25))
            .OptionReply(Go, Info, [0, 2, (byte)'x'])
            .OptionReply(Go, Ack).ToArray();
        ClientHandshake client = Talk(server, out byte[] said);
        Assert.Equal(s_flagsAndGo, said);
        Assert.Equal(ClientHandshakePhase.Transmission, client.Phase);
        Assert.Equal(1 << 20, client.Export!.SizeBytes);
        Assert.Equal(512, client.Export.MinimumBlockBytes);
        Assert.Equal(4096, client.Export.PreferredBlockBytes);
        Assert.Equal(1 << 25, client.Export.PayloadBytesMax);
        Assert.True(client.Export is { CanFlush: true, CanForceUnitAccess: true, CanTrim: false });
    }

    [Fact]
    public void Server_that_does_not_know_go_is_asked_by_name()
    {
        byte[] server = Greeting().OptionReply(Go, ErrUnsup, "what?"u8.ToArray())
            .UInt64(8192).UInt16(Flags | 2).ToArray();
        ClientHandshake client = Talk(server, out byte[] said);
        Assert.Equal(
            new ConversationBuilder().Bytes(s_flagsAndGo).Option(1, "disk"u8.ToArray()).ToArray(), said);
        Assert.Equal(8192, client.Export!.SizeBytes);
        Assert.True(client.Export.IsReadOnly);
        Assert.Equal(1, client.Export.MinimumBlockBytes);
    }

    [Fact]
    public void Server_without_no_zeroes_pads_its_answer_by_name()
    {
        byte[] server = new ConversationBuilder().UInt64(0x4e42444d41474943).UInt64(0x49484156454F5054)
            .UInt16(1).OptionReply(Go, ErrUnsup).UInt64(8192).UInt16(Flags).Zeroes(124).ToArray();
        ClientHandshake client = Talk(server, out byte[] said);
        Assert.Equal(1, said[3]);
        Assert.Equal(ClientHandshakePhase.Transmission, client.Phase);
        client = Talk(server[..^1], out _);
        Assert.Equal(ClientHandshakePhase.ByName, client.Phase);
    }

    [Fact]
    public void Server_that_is_not_fixed_is_asked_by_name_at_once()
    {
        byte[] server = new ConversationBuilder().UInt64(0x4e42444d41474943).UInt64(0x49484156454F5054)
            .UInt16(2).UInt64(8192).UInt16(Flags).ToArray();
        ClientHandshake client = Talk(server, out byte[] said);
        Assert.Equal(
            new ConversationBuilder().UInt32(2).Option(1, "disk"u8.ToArray()).ToArray(), said);
        Assert.Equal(ClientHandshakePhase.Transmission, client.Phase);
    }

    [Theory]
    [MemberData(nameof(HostileServers))]
    public void Hostile_server_ends_the_handshake_with_a_reason(string name)
    {
        ClientHandshake client = Talk(s_hostile[name], out _);
        Assert.Equal(ClientHandshakePhase.Failed, client.Phase);
        Assert.NotEqual(ClientHandshakeFailure.None, client.Failure);
        Assert.NotEmpty(client.Problem);
        Assert.DoesNotContain('\u001b', client.Problem);
        Assert.Null(client.Export);
    }

    [Fact]
    public void Export_that_is_not_there_is_told_from_one_that_is_refused()
    {
        Assert.Equal(ClientHandshakeFailure.NoSuchExport, Talk(s_hostile["no such export"], out _).Failure);
        Assert.Equal(ClientHandshakeFailure.Refused, Talk(s_hostile["tls"], out _).Failure);
        Assert.Equal(ClientHandshakeFailure.Protocol, Talk(s_hostile["zeros"], out _).Failure);
    }

    [Fact]
    public void Every_cut_and_every_flipped_bit_of_a_conversation_is_survived()
    {
        byte[] server = Greeting().OptionReply(Go, Info, BlockSizes(1, 4096, uint.MaxValue))
            .OptionReply(Go, Info, Export(1 << 20, Flags)).OptionReply(Go, Ack).ToArray();
        for (int length = 0; length < server.Length; length++)
        {
            ClientHandshake cut = Talk(server[..length], out _);
            Assert.True(cut.Phase is ClientHandshakePhase.Greeting or ClientHandshakePhase.GoReplies);
        }
        for (int bit = 0; bit < server.Length * 8; bit++)
        {
            byte[] flipped = (byte[])server.Clone();
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            ClientHandshake client = Talk(flipped, out _);
            if (client.Export is ClientExport export && export.FindProblem(512).Length == 0)
            {
                DeviceGeometry geometry = export.ToGeometry(512, 0, NbdAccess.ReadWrite);
                Assert.InRange(geometry.Bytes.Value, 512, export.SizeBytes);
            }
        }
    }

    [Theory]
    [InlineData(1, 4096, 512, 4096)]
    [InlineData(512, 4096, 512, 4096)]
    [InlineData(512, 512, 512, 4096)]
    [InlineData(1024, 4096, 4096, 4096)]
    [InlineData(4096, 8192, 4096, 8192)]
    [InlineData(1, 131_072, 512, 4096)]
    public void Block_sizes_become_a_geometry(int minimum, int preferred, int logical, int physical)
    {
        ClientExport export = new()
        {
            SizeBytes = (1 << 20) + 100,
            Flags = (NbdTransmissionFlags)(Flags | 32 | 64),
            MinimumBlockBytes = minimum,
            PreferredBlockBytes = preferred,
        };
        Assert.Equal(logical, export.LogicalBlockBytes);
        Assert.Equal(string.Empty, export.FindProblem(logical));
        DeviceGeometry geometry = export.ToGeometry(logical, 0, NbdAccess.ReadWrite);
        Assert.Equal(physical, geometry.PhysicalBlockBytes);
        Assert.Equal(1 << 20, geometry.Bytes.Value);
        Assert.True(geometry is { CanDiscard: true, CanWriteZeroes: true, IsReadOnly: false });
        geometry = export.ToGeometry(logical, 0, NbdAccess.ReadOnly);
        Assert.True(geometry is { CanDiscard: false, CanWriteZeroes: false, IsReadOnly: true });
    }

    [Fact]
    public void Export_that_no_device_can_be_made_of_is_refused_with_the_reason()
    {
        ClientExport export = new() { SizeBytes = 1 << 20, Flags = NbdTransmissionFlags.HasFlags };
        AssertProblem("smallest block", export with { MinimumBlockBytes = 8192 }, 4096);
        AssertProblem("smallest block", export with { MinimumBlockBytes = 4096 }, 512);
        AssertProblem("at most", export with { PayloadBytesMax = 65_536 }, 512);
        AssertProblem("smaller", export with { SizeBytes = 511 }, 512);
    }

    private static void AssertProblem(string part, ClientExport export, int logicalBlockBytes) =>
        Assert.Contains(part, export.FindProblem(logicalBlockBytes), StringComparison.Ordinal);

    private static ConversationBuilder Greeting() => new ConversationBuilder().Greeting();

    private static byte[] Export(ulong size, int flags) =>
        new ConversationBuilder().UInt16(0).UInt64(size).UInt16(flags).ToArray();

    private static byte[] BlockSizes(uint minimum, uint preferred, uint maximum) =>
        new ConversationBuilder().UInt16(3).UInt32(minimum).UInt32(preferred).UInt32(maximum).ToArray();

    private static byte[] Served(byte[] info) =>
        Greeting().OptionReply(Go, Info, Export(1 << 20, Flags)).OptionReply(Go, Info, info)
            .OptionReply(Go, Ack).ToArray();

    private static byte[] ManyInfos()
    {
        ConversationBuilder server = Greeting();
        for (int i = 0; i < 100; i++)
        {
            server.OptionReply(Go, Info, [0, 1]);
        }
        return server.OptionReply(Go, Ack).ToArray();
    }

    /// <summary>Twice: in one piece, and byte by byte. Both must be the same.</summary>
    private static ClientHandshake Talk(byte[] server, out byte[] said)
    {
        ClientHandshake whole = Talk(server, server.Length, out said);
        ClientHandshake cut = Talk(server, 1, out byte[] saidCut);
        Assert.Equal(said, saidCut);
        Assert.Equal(whole.Phase, cut.Phase);
        Assert.Equal(whole.Problem, cut.Problem);
        Assert.Equal(whole.Export, cut.Export);
        return whole;
    }

    private static ClientHandshake Talk(byte[] server, int pieceBytes, out byte[] said)
    {
        ClientHandshake client = new("disk");
        client.Start();
        List<byte> all = [];
        byte[] output = new byte[ClientHandshake.OutputBytesMax];
        int start = 0;
        for (int end = 0; end < server.Length;)
        {
            end = Math.Min(end + pieceBytes, server.Length);
            int consumed;
            do
            {
                // No more at once than the client says it needs.
                int most = Math.Min(end - start, ClientHandshake.InputBytesMax);
                consumed = client.Step(server.AsSpan(start, most), output, out int written);
                Assert.InRange(consumed, 0, most);
                start += consumed;
                all.AddRange(output.AsSpan(0, written));
            }
            while (consumed > 0);
        }
        said = [.. all];
        return client;
    }
}
