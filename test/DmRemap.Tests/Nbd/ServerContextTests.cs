using System;
using System.Collections.Generic;
using DmRemap.Nbd;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Nbd;

/// <summary>The options that choose replies and metadata contexts, answer by answer.</summary>
public sealed class ServerContextTests
{
    private const uint Ack = 1;
    private const uint ErrInvalid = 0x8000_0003;
    private const uint ErrUnknown = 0x8000_0006;
    private const uint ErrTooBig = 0x8000_0009;
    private const uint ErrExtended = 0x8000_000a;
    private const uint List = 9;
    private const uint Set = 10;
    private const string Base = "base:allocation";
    private const string State = "x-dmremap:state";

    private static readonly NbdExport s_export =
        new("disk", "a disk", SimulatedDisk.MakeGeometry(2048), NbdAccess.ReadWrite)
        {
            Contexts = NbdContexts.All,
        };

    public static TheoryData<uint, string[], string[]> Queries => new()
    {
        { List, [], [Base, State] },
        { List, ["base:"], [Base] },
        { List, ["x-dmremap:"], [State] },
        { List, ["x-dmremap:", "base:", Base], [Base, State] },
        { List, [State], [State] },
        { List, ["base:nothing", "qemu:", "qemu:dirty-bitmap:b", "x-dmremap:states", "x:y"], [] },
        { Set, [], [] },
        { Set, [Base], [Base] },
        { Set, [State, Base, State], [Base, State] },
        { Set, ["base:", "x-dmremap:"], [] },
        { Set, ["qemu:dirty-bitmap:b", State, "base:allocations"], [State] },
    };

    [Theory]
    [MemberData(nameof(Queries))]
    public void Queries_are_answered_by_the_contexts_they_name(uint option, string[] queries, string[] found)
    {
        ConversationBuilder expected = new ConversationBuilder().Greeting().OptionReply(8, Ack);
        NbdContexts chosen = NbdContexts.None;
        foreach (string context in found)
        {
            chosen |= context == Base ? NbdContexts.Allocation : NbdContexts.State;
            uint id = option == List ? 0u : context == Base ? 1u : 2u;
            expected.OptionReply(option, 4, new ConversationBuilder().UInt32(id).Text(context).ToArray());
        }
        expected.OptionReply(option, Ack);
        (byte[] said, NbdTerms terms) =
            Talk(new ConversationBuilder().ClientFlags().Option(8).Contexts(option, "disk", queries));
        Assert.Equal(Convert.ToHexString(expected.ToArray()), Convert.ToHexString(said));
        Assert.Equal(option == Set ? chosen : NbdContexts.None, terms.Contexts);
    }

    [Fact]
    public void Export_without_known_states_offers_allocation_alone()
    {
        NbdExport plain = new("disk", "", SimulatedDisk.MakeGeometry(8), NbdAccess.ReadWrite);
        (_, NbdTerms terms) = Talk(
            new ConversationBuilder().ClientFlags().Option(8).Contexts(Set, "", Base, State), plain);
        Assert.Equal(NbdContexts.Allocation, terms.Contexts);
    }

    /// <summary>Whatever becomes of a second SET, the first is replaced.</summary>
    [Fact]
    public void Set_that_fails_leaves_no_context_set()
    {
        byte[][] failing =
        [
            new ConversationBuilder().Contexts(Set, "other", Base).ToArray(),
            new ConversationBuilder().Contexts(Set, "", "no colon").ToArray(),
            new ConversationBuilder().Option(Set, new byte[9000]).ToArray(),
            new ConversationBuilder().Option(Set, []).ToArray(),
        ];
        foreach (byte[] second in failing)
        {
            (_, NbdTerms terms) = Talk(
                new ConversationBuilder().ClientFlags().Option(8).Contexts(Set, "", Base).Bytes(second));
            Assert.Equal(NbdContexts.None, terms.Contexts);
        }
        (_, NbdTerms kept) = Talk(new ConversationBuilder().ClientFlags().Option(8)
            .Contexts(Set, "", Base).Contexts(List, "other").Contexts(List, ""));
        Assert.Equal(NbdContexts.Allocation, kept.Contexts);
    }

    [Theory]
    [InlineData(List)]
    [InlineData(Set)]
    public void Context_options_without_structured_replies_are_invalid(uint option) =>
        Check(new ConversationBuilder().Contexts(option, "", Base), ErrInvalid, structured: false);

    [Theory]
    [InlineData(List)]
    [InlineData(Set)]
    public void Context_options_for_an_unknown_export_are_refused(uint option) =>
        Check(new ConversationBuilder().Contexts(option, "other", Base), ErrUnknown);

    [Theory]
    [InlineData(4097u, 0u, 0u)] // a name longer than strings may be
    [InlineData(0xffff_ffffu, 0u, 0u)]
    [InlineData(0u, 1u, 0u)] // one query promised, none there
    [InlineData(0u, 0xffff_ffffu, 0u)]
    [InlineData(0u, 1u, 0xffff_ffffu)]
    public void Context_options_whose_lengths_lie_are_invalid(uint name, uint queries, uint query)
    {
        foreach (uint option in new[] { List, Set })
        {
            ConversationBuilder data = new ConversationBuilder().UInt32(name).UInt32(queries);
            if (query != 0)
            {
                data.UInt32(query).Text("base:allocation");
            }
            Check(new ConversationBuilder().Option(option, data.ToArray()), ErrInvalid);
        }
    }

    [Fact]
    public void Context_options_with_more_than_they_say_are_invalid()
    {
        byte[] data = new ConversationBuilder().UInt32(0).UInt32(0).UInt16(1).ToArray();
        Check(new ConversationBuilder().Option(List, data), ErrInvalid);
    }

    [Fact]
    public void Query_longer_than_a_string_may_be_is_invalid_and_as_long_is_not()
    {
        string longest = "base:" + new string('x', 4091);
        Check(new ConversationBuilder().Contexts(List, "", longest), Ack);
        Check(new ConversationBuilder().Contexts(List, "", longest + "x"), ErrInvalid);
    }

    [Fact]
    public void Option_with_too_many_queries_is_too_big_and_the_next_one_is_answered()
    {
        string[] many = new string[1000];
        Array.Fill(many, Base);
        Check(new ConversationBuilder().Contexts(Set, "", many), ErrTooBig);
    }

    [Fact]
    public void Structured_and_extended_are_acknowledged_again_and_again_but_there_is_no_way_back()
    {
        (byte[] said, NbdTerms terms) = Talk(new ConversationBuilder().ClientFlags()
            .Option(8).Option(8).Option(11).Option(11).Option(8));
        Assert.Equal([Ack, Ack, Ack, Ack, ErrExtended], Types(said));
        Assert.Equal(NbdReplyStyle.Extended, terms.Style);
    }

    [Fact]
    public void Extended_headers_need_no_structured_replies_and_allow_contexts()
    {
        (byte[] said, NbdTerms terms) =
            Talk(new ConversationBuilder().ClientFlags().Option(11).Contexts(Set, "", State));
        Assert.Equal([Ack, 4u, Ack], Types(said));
        Assert.Equal(new NbdTerms(NbdReplyStyle.Extended, NbdContexts.State), terms);
    }

    [Fact]
    public void Export_name_after_extended_headers_ends_the_connection()
    {
        byte[] client = new ConversationBuilder().ClientFlags().Option(11).Option(1).ToArray();
        (byte[] said, HandshakePhase phase) = ServerHandshakeTests.Talk(client, null, s_export);
        Assert.Equal(HandshakePhase.Ended, phase);
        Assert.Equal([Ack], Types(said));
    }

    /// <summary>DF (bit 7) and the payload of BLOCK_STATUS (bit 12).</summary>
    [Theory]
    [InlineData(0u, false, 0)]
    [InlineData(8u, false, 1 << 7)]
    [InlineData(8u, true, 1 << 7)]
    [InlineData(11u, false, 1 << 7)]
    [InlineData(11u, true, (1 << 7) | (1 << 12))]
    public void Transmission_flags_follow_what_was_negotiated(uint style, bool hasContext, int more)
    {
        ConversationBuilder client = new ConversationBuilder().ClientFlags();
        if (style != 0)
        {
            client.Option(style);
        }
        if (hasContext)
        {
            client.Contexts(Set, "", Base);
        }
        (byte[] said, _) = Talk(client.Go());
        int basis = 1 | 4 | 8 | 32 | 64 | 256 | 1024;
        byte[] export =
            new ConversationBuilder().UInt16(0).UInt64(2048 * 512).UInt16(basis | more).ToArray();
        byte[] reply = new ConversationBuilder().OptionReply(7, 3, export).ToArray();
        Assert.True(said.AsSpan().IndexOf(reply) > 0, Convert.ToHexString(said));
    }

    private static void Check(
        ConversationBuilder option, uint type, bool structured = true)
    {
        ConversationBuilder client = new ConversationBuilder().ClientFlags();
        if (structured)
        {
            client.Option(8);
        }
        (byte[] said, _) = Talk(client.Bytes(option.ToArray()).Option(2));
        List<uint> types = Types(said);
        Assert.Equal(structured ? [Ack, type, Ack] : [type, Ack], types);
    }

    private static (byte[] Said, NbdTerms Terms) Talk(ConversationBuilder client, NbdExport? export = null)
    {
        ServerHandshake handshake = new(export ?? s_export);
        byte[] output = new byte[ServerHandshake.OutputBytesMax];
        List<byte> said = [.. output.AsSpan(0, handshake.Start(output))];
        ReadOnlySpan<byte> rest = client.ToArray();
        while (!rest.IsEmpty)
        {
            int taken = handshake.Step(rest, output, out int written);
            said.AddRange(output.AsSpan(0, written));
            if (taken == 0)
            {
                break;
            }
            rest = rest[taken..];
        }
        return ([.. said], handshake.Terms);
    }

    private static List<uint> Types(byte[] said)
    {
        List<uint> types = [];
        ReadOnlySpan<byte> rest = said.AsSpan(18);
        while (!rest.IsEmpty)
        {
            types.Add(System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(rest[12..]));
            rest = rest[(20 + (int)System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(rest[16..]))..];
        }
        return types;
    }
}
