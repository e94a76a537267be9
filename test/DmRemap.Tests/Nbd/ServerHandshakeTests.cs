using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Nbd;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Nbd;

public sealed class ServerHandshakeTests
{
    private const uint ExportName = 1;
    private const uint Abort = 2;
    private const uint List = 3;
    private const uint StartTls = 5;
    private const uint Info = 6;
    private const uint Go = 7;
    private const uint Ack = 1;
    private const uint ErrUnsup = 0x8000_0001;
    private const uint ErrInvalid = 0x8000_0003;
    private const uint ErrUnknown = 0x8000_0006;
    private const uint ErrTooBig = 0x8000_0009;

    // HAS_FLAGS, FLUSH, FUA, TRIM, WRITE_ZEROES, CAN_MULTI_CONN, CACHE.
    private const int Flags = 1 | 4 | 8 | 32 | 64 | 256 | 1024;

    private static readonly NbdExport s_export =
        new("disk", "a disk", SimulatedDisk.MakeGeometry(2048), NbdAccess.ReadWrite);

    public static TheoryData<string> Conversations => [.. s_corpus.Keys];

    private static readonly Dictionary<string, byte[]> s_corpus = NbdCorpus.Handshakes();

    [Fact]
    public void Handshake_greets_with_fixed_newstyle_and_no_zeroes()
    {
        (byte[] output, HandshakePhase phase) = Talk([]);
        Assert.Equal(new ConversationBuilder().Greeting().ToArray(), output);
        Assert.Equal(HandshakePhase.ClientFlags, phase);
    }

    [Fact]
    public void Go_with_block_size_asked_answers_export_and_sizes_without_padding()
    {
        byte[] client = new ConversationBuilder().ClientFlags(1).Go("", Go, 3).ToArray();
        byte[] expected = Described(Go).OptionReply(Go, Ack).ToArray();
        Check(client, expected, HandshakePhase.Transmission);
    }

    [Fact]
    public void Go_without_block_size_asked_is_served_all_the_same() =>
        Check(
            new ConversationBuilder().ClientFlags().Go("disk").ToArray(),
            Described(Go).OptionReply(Go, Ack).ToArray(),
            HandshakePhase.Transmission);

    [Fact]
    public void Go_answers_name_and_description_when_asked_and_ignores_unknown_kinds()
    {
        byte[] client = new ConversationBuilder().ClientFlags().Go("", Go, 1, 99, 2, 3, 1).ToArray();
        byte[] expected = Described(Go)
            .OptionReply(Go, 3, new ConversationBuilder().UInt16(1).Text("disk").ToArray())
            .OptionReply(Go, 3, new ConversationBuilder().UInt16(2).Text("a disk").ToArray())
            .OptionReply(Go, Ack).ToArray();
        Check(client, expected, HandshakePhase.Transmission);
    }

    [Fact]
    public void Info_gives_the_same_answers_twice_and_stays_in_the_options()
    {
        byte[] client = new ConversationBuilder().ClientFlags().Go("disk", Info).Go("disk", Info).ToArray();
        byte[] once = Described(Info).OptionReply(Info, Ack).ToArray()[18..];
        byte[] expected = new ConversationBuilder().Greeting().Bytes(once).Bytes(once).ToArray();
        Check(client, expected, HandshakePhase.Options);
    }

    [Fact]
    public void Go_for_an_unknown_export_is_an_error_and_the_client_may_try_again()
    {
        byte[] client = new ConversationBuilder().ClientFlags().Go("disc").Go("disk").ToArray();
        (byte[] output, HandshakePhase phase) = Talk(client);
        (uint option, uint type, _) = Replies(output)[0];
        Assert.Equal((Go, ErrUnknown), (option, type));
        Assert.Equal(HandshakePhase.Transmission, phase);
    }

    [Theory]
    [InlineData(1u, 124)]
    [InlineData(3u, 0)]
    public void Export_name_is_padded_unless_no_zeroes_was_agreed(uint clientFlags, int zeroes)
    {
        byte[] client =
            new ConversationBuilder().ClientFlags(clientFlags).Option(ExportName,
                "disk"u8.ToArray()).ToArray();
        byte[] expected =
            new ConversationBuilder().Greeting().UInt64(2048 * 512).UInt16(Flags).Zeroes(zeroes).ToArray();
        Check(client, expected, HandshakePhase.Transmission);
    }

    [Fact]
    public void Export_name_of_an_unknown_export_ends_the_connection_without_a_reply() =>
        Check(
            new ConversationBuilder().ClientFlags().Option(ExportName, "other"u8.ToArray()).ToArray(),
            new ConversationBuilder().Greeting().ToArray(),
            HandshakePhase.Ended);

    [Fact]
    public void List_names_the_export_with_its_description() =>
        Check(
            new ConversationBuilder().ClientFlags().Option(List).ToArray(),
            new ConversationBuilder().Greeting()
                .OptionReply(List, 2, new ConversationBuilder().UInt32(4).Text("diska disk").ToArray())
                .OptionReply(List, Ack).ToArray(),
            HandshakePhase.Options);

    [Fact]
    public void Abort_is_acknowledged_even_with_data() =>
        Check(
            new ConversationBuilder().ClientFlags().Option(Abort, [1, 2, 3]).ToArray(),
            new ConversationBuilder().Greeting().OptionReply(Abort, Ack).ToArray(),
            HandshakePhase.Ended);

    [Theory]
    [InlineData(3u, 1, ErrInvalid)] // LIST with data
    [InlineData(5u, 0, ErrUnsup)] // STARTTLS; without TLS the answer is never TLS_REQD
    [InlineData(8u, 1, ErrInvalid)] // STRUCTURED_REPLY with data
    [InlineData(9u, 5000, ErrInvalid)] // LIST_META_CONTEXT before structured replies
    [InlineData(10u, 8, ErrInvalid)]
    [InlineData(10u, 100_000, ErrTooBig)] // SET_META_CONTEXT
    [InlineData(11u, 4, ErrInvalid)] // EXTENDED_HEADERS with data
    [InlineData(12u, 0, ErrUnsup)]
    [InlineData(4u, 7, ErrUnsup)]
    [InlineData(0u, 0, ErrUnsup)]
    [InlineData(0xffff_ffffu, 1_048_576, ErrUnsup)]
    [InlineData(6u, 0, ErrInvalid)] // INFO without a name
    [InlineData(7u, 5, ErrInvalid)]
    [InlineData(7u, 8193, ErrTooBig)]
    [InlineData(6u, 1_048_576, ErrTooBig)]
    public void Option_that_is_refused_is_read_past_and_the_next_one_is_answered(uint option, int bytes,
        uint error)
    {
        byte[] client =
            new ConversationBuilder().ClientFlags().Option(option, new byte[bytes]).Option(Abort).ToArray();
        (byte[] output, HandshakePhase phase) = Talk(client);
        List<(uint Option, uint Type, byte[] Data)> replies = Replies(output);
        Assert.Equal(2, replies.Count);
        Assert.Equal((option, error), (replies[0].Option, replies[0].Type));
        Assert.Equal((Abort, Ack), (replies[1].Option, replies[1].Type));
        Assert.Equal(HandshakePhase.Ended, phase);
    }

    [Theory]
    [InlineData(1, 0)] // one byte of name that is not there
    [InlineData(0xffff_ffffL, 0)]
    [InlineData(0x7fff_ffffL, 0)]
    [InlineData(0, 1)] // one kind promised, none sent
    [InlineData(0, 65535)]
    public void Go_whose_lengths_lie_is_invalid(long nameBytes, int kinds)
    {
        byte[] data = new ConversationBuilder().UInt32((uint)nameBytes).UInt16(kinds).ToArray();
        (byte[] output, _) = Talk(new ConversationBuilder().ClientFlags().Option(Go, data).ToArray());
        Assert.Equal(ErrInvalid, Replies(output).Single().Type);
    }

    [Fact]
    public void Go_with_a_name_longer_than_a_string_may_be_is_invalid()
    {
        (byte[] output, _) =
            Talk(new ConversationBuilder().ClientFlags().Go(new string('x', 4097)).ToArray());
        Assert.Equal(ErrInvalid, Replies(output).Single().Type);
        (output, _) = Talk(new ConversationBuilder().ClientFlags().Go(new string('x', 4096)).ToArray());
        Assert.Equal(ErrUnknown, Replies(output).Single().Type);
    }

    [Theory]
    [InlineData(4u)]
    [InlineData(0x8000_0001u)]
    public void Client_flag_that_is_unknown_ends_the_connection(uint flags) =>
        Check(
            new ConversationBuilder().ClientFlags(flags).Option(List).ToArray(),
            new ConversationBuilder().Greeting().ToArray(),
            HandshakePhase.Ended);

    [Theory]
    [InlineData(0x49484156454F5055ul, 3u, 0u)] // wrong magic
    [InlineData(0x49484156454F5054ul, 3u, 1_048_577u)] // too long to read past
    [InlineData(0x49484156454F5054ul, 7u, 0xffff_ffffu)]
    [InlineData(0x49484156454F5054ul, 1u, 8193u)] // EXPORT_NAME has no error reply
    public void Option_header_beyond_repair_ends_the_connection(ulong magic, uint option, uint length) =>
        Check(
            new ConversationBuilder().ClientFlags().UInt64(magic).UInt32(option).UInt32(length).ToArray(),
            new ConversationBuilder().Greeting().ToArray(),
            HandshakePhase.Ended);

    [Fact]
    public void Options_without_end_end_the_connection()
    {
        ConversationBuilder client = new ConversationBuilder().ClientFlags();
        for (int i = 0; i <= ServerHandshake.OptionsMax; i++)
        {
            client.Option(StartTls);
        }
        (byte[] output, HandshakePhase phase) = Talk(client.ToArray());
        Assert.Equal(ServerHandshake.OptionsMax, Replies(output).Count);
        Assert.Equal(HandshakePhase.Ended, phase);
    }

    [Theory]
    [MemberData(nameof(Conversations))]
    public void Answers_do_not_depend_on_how_the_bytes_are_cut(string name)
    {
        byte[] client = s_corpus[name];
        (byte[] whole, HandshakePhase phase) = Talk(client);
        Assert.Equal((Convert.ToHexString(whole), phase), Hex(Talk(client, () => 1)));
        for (int seed = 0; seed < 20; seed++)
        {
            Random random = new(seed);
            (string, HandshakePhase) cut = Hex(Talk(client, () => random.Next(1, 40)));
            Assert.True((Convert.ToHexString(whole), phase) == cut, $"seed={seed}");
        }
    }

    [Fact]
    public void Random_bytes_never_break_an_invariant_nor_overrun_the_output()
    {
        for (int seed = 0; seed < 3000; seed++)
        {
            Random random = new(seed);
            byte[] client = (byte[])s_corpus.Values.ElementAt(random.Next(s_corpus.Count)).Clone();
            for (int i = 0; i < 1 + random.Next(4) && client.Length > 0; i++)
            {
                client[random.Next(Math.Min(client.Length, 200))] = (byte)random.Next(256);
            }
            try
            {
                (byte[] output, _) = Talk(client);
                _ = Replies(output);
            }
            catch (Exception exception)
            {
                throw new InvalidOperationException($"seed={seed}", exception);
            }
        }
    }

    [Fact]
    public void Longest_names_fit_the_output()
    {
        NbdExport export = new(
            new string('n', NbdExport.NameBytesMax),
            new string('d', NbdExport.DescriptionBytesMax),
            SimulatedDisk.MakeGeometry(8),
            NbdAccess.ReadOnly);
        byte[] client = new ConversationBuilder().ClientFlags().Option(List).Go("", Go, 0, 1, 2, 3).ToArray();
        (byte[] output, HandshakePhase phase) = Talk(client, null, export);
        Assert.Equal(HandshakePhase.Transmission, phase);
        Assert.Equal(2 + 5, Replies(output).Count);
    }

    /// <summary>
    /// A client that feeds its bytes in cuts; unconsumed bytes are shown again with the next ones.
    /// </summary>
    internal static (byte[] Output, HandshakePhase Phase) Talk(
        byte[] client, Func<int>? cut = null, NbdExport? export = null) => Talk(client, out _, cut, export);

    internal static (byte[] Output, HandshakePhase Phase) Talk(
        byte[] client, out int consumed, Func<int>? cut = null, NbdExport? export = null)
    {
        ServerHandshake handshake = new(export ?? s_export);
        byte[] output = new byte[ServerHandshake.OutputBytesMax];
        List<byte> said = [];
        said.AddRange(output.AsSpan(0, handshake.Start(output)));
        consumed = 0;
        int shown = cut is null ? client.Length : 0;
        while (true)
        {
            int taken = handshake.Step(client.AsSpan(consumed, shown - consumed), output, out int written);
            said.AddRange(output.AsSpan(0, written));
            consumed += taken;
            bool isOver = handshake.Phase is HandshakePhase.Transmission or HandshakePhase.Ended;
            if (isOver || (taken == 0 && shown == client.Length))
            {
                return ([.. said], handshake.Phase);
            }
            if (taken == 0)
            {
                shown = Math.Min(client.Length, shown + cut!());
            }
        }
    }

    private static ConversationBuilder Described(uint option) => new ConversationBuilder().Greeting()
        .OptionReply(option, 3,
            new ConversationBuilder().UInt16(0).UInt64(2048 * 512).UInt16(Flags).ToArray())
        .OptionReply(option, 3,
            new ConversationBuilder().UInt16(3).UInt32(512).UInt32(131072).UInt32(33554432).ToArray());

    private static void Check(byte[] client, byte[] expected, HandshakePhase phase)
    {
        (byte[] output, HandshakePhase reached) = Talk(client);
        Assert.Equal(Convert.ToHexString(expected), Convert.ToHexString(output));
        Assert.Equal(phase, reached);
    }

    private static (string, HandshakePhase) Hex((byte[] Output, HandshakePhase Phase) said) =>
        (Convert.ToHexString(said.Output), said.Phase);

    private static List<(uint Option, uint Type, byte[] Data)> Replies(byte[] output)
    {
        List<(uint, uint, byte[])> replies = [];
        ReadOnlySpan<byte> rest = output.AsSpan(18);
        while (rest.Length >= 20
            && System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(rest) == 0x3e889045565a9)
        {
            uint option = System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(rest[8..]);
            uint type = System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(rest[12..]);
            int length = (int)System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(rest[16..]);
            replies.Add((option, type, rest.Slice(20, length).ToArray()));
            rest = rest[(20 + length)..];
        }
        return replies;
    }
}
