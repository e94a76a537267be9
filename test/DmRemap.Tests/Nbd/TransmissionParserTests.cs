using System;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Nbd;

public sealed class TransmissionParserTests
{
    private const ulong Size = 8 * 512;

    private static readonly TransmissionParser s_writable = Parser(NbdAccess.ReadWrite);
    private static readonly TransmissionParser s_readOnly = Parser(NbdAccess.ReadOnly);

    [Theory]
    [InlineData(NbdCommand.Read, 0, 0ul, 512u, NbdVerdict.Execute, NbdError.None)]
    // FUA is valid with every command
    [InlineData(NbdCommand.Read, 1, 0ul, 512u, NbdVerdict.Execute, NbdError.None)]
    [InlineData(NbdCommand.Flush, 1, 0ul, 0u, NbdVerdict.Execute, NbdError.None)]
    [InlineData(NbdCommand.Read, 0, Size, 0u, NbdVerdict.Execute, NbdError.None)]
    [InlineData(NbdCommand.Read, 0, Size, 512u, NbdVerdict.Refuse, NbdError.Invalid)]
    [InlineData(NbdCommand.Trim, 0, Size, 512u, NbdVerdict.Refuse, NbdError.Invalid)]
    [InlineData(NbdCommand.Write, 0, Size, 512u, NbdVerdict.RefuseAfterPayload, NbdError.NoSpace)]
    [InlineData(NbdCommand.WriteZeroes, 0, Size, 512u, NbdVerdict.Refuse, NbdError.NoSpace)]
    [InlineData(NbdCommand.Write, 0, ulong.MaxValue - 511, 1024u, NbdVerdict.RefuseAfterPayload,
        NbdError.NoSpace)]
    [InlineData(NbdCommand.Read, 0, 1ul, 512u, NbdVerdict.Refuse, NbdError.Invalid)]
    [InlineData(NbdCommand.Write, 0, 0ul, 100u, NbdVerdict.RefuseAfterPayload, NbdError.Invalid)]
    [InlineData(NbdCommand.Read, 4, 0ul, 512u, NbdVerdict.Refuse, NbdError.Invalid)] // DF was not offered
    [InlineData(NbdCommand.Read, 2, 0ul, 512u, NbdVerdict.Refuse, NbdError.Invalid)] // NO_HOLE is for zeroes
    [InlineData(NbdCommand.WriteZeroes, 2, 0ul, 512u, NbdVerdict.Execute, NbdError.None)]
    // FAST_ZERO was not offered
    [InlineData(NbdCommand.WriteZeroes, 16, 0ul, 512u, NbdVerdict.Refuse, NbdError.Invalid)]
    [InlineData(NbdCommand.Write, 32, 0ul, 512u, NbdVerdict.RefuseAfterPayload, NbdError.Invalid)]
    [InlineData(NbdCommand.Flush, 0, 512ul, 0u, NbdVerdict.Refuse, NbdError.Invalid)]
    [InlineData(NbdCommand.Flush, 0, 0ul, 512u, NbdVerdict.Refuse, NbdError.Invalid)]
    [InlineData(NbdCommand.Cache, 0, 0ul, 512u, NbdVerdict.Execute, NbdError.None)]
    [InlineData(NbdCommand.Cache, 8, 0ul, 512u, NbdVerdict.Refuse, NbdError.Invalid)]
    [InlineData(NbdCommand.Cache, 0, 0ul, 0x0200_0200u, NbdVerdict.Refuse, NbdError.Overflow)]
    [InlineData(NbdCommand.BlockStatus, 0, 0ul, 512u, NbdVerdict.Refuse, NbdError.Invalid)]
    [InlineData(NbdCommand.Resize, 0, 0ul, 512u, NbdVerdict.Refuse, NbdError.Invalid)]
    [InlineData((NbdCommand)9, 0, 0ul, 512u, NbdVerdict.Refuse, NbdError.Invalid)]
    [InlineData((NbdCommand)65535, 0xffff, ulong.MaxValue, uint.MaxValue, NbdVerdict.Refuse,
        NbdError.Invalid)]
    [InlineData(NbdCommand.Disconnect, 0, 0ul, 0u, NbdVerdict.Disconnect, NbdError.None)]
    [InlineData(NbdCommand.Disconnect, 0xffff, 1ul, 1u, NbdVerdict.Disconnect, NbdError.None)]
    [InlineData(NbdCommand.Write, 0, 0ul, 0x0200_0001u, NbdVerdict.Drop, NbdError.None)]
    [InlineData(NbdCommand.Write, 0xffff, ulong.MaxValue, uint.MaxValue, NbdVerdict.Drop, NbdError.None)]
    [InlineData(NbdCommand.Write, 0, 0ul, 0x0200_0000u, NbdVerdict.RefuseAfterPayload, NbdError.NoSpace)]
    [InlineData(NbdCommand.Read, 0, 0ul, 0x0200_0200u, NbdVerdict.Refuse, NbdError.Invalid)]
    [InlineData(NbdCommand.Read, 0, 0ul, uint.MaxValue, NbdVerdict.Refuse, NbdError.Invalid)]
    public void Request_gets_the_verdict_the_protocol_asks_for(
        NbdCommand command, int flags, ulong offset, uint length, NbdVerdict verdict, NbdError error)
    {
        NbdRequest request = s_writable.Parse(Header(command, flags, offset, length));
        Assert.Equal((verdict, error), (request.Verdict, request.Error));
        Assert.Equal((command, offset, (ulong)length), (request.Command, request.Offset, request.Length));
        Assert.Equal(0xfedc_ba98_7654_3210, request.Cookie.Value);
    }

    [Theory]
    [InlineData(NbdCommand.Write, NbdVerdict.RefuseAfterPayload)]
    [InlineData(NbdCommand.Trim, NbdVerdict.Refuse)]
    [InlineData(NbdCommand.WriteZeroes, NbdVerdict.Refuse)]
    public void Change_of_a_read_only_export_is_not_permitted(NbdCommand command, NbdVerdict verdict)
    {
        NbdRequest request = s_readOnly.Parse(Header(command, 0, 0, 512));
        Assert.Equal((verdict, NbdError.NotPermitted), (request.Verdict, request.Error));
    }

    [Fact]
    public void Read_and_flush_of_a_read_only_export_are_executed()
    {
        Assert.Equal(NbdVerdict.Execute, s_readOnly.Parse(Header(NbdCommand.Read, 0, 0, 512)).Verdict);
        Assert.Equal(NbdVerdict.Execute, s_readOnly.Parse(Header(NbdCommand.Flush, 0, 0, 0)).Verdict);
    }

    [Fact]
    public void Header_without_the_magic_drops_the_connection()
    {
        byte[] header = Header(NbdCommand.Read, 0, 0, 512);
        for (int i = 0; i < 4; i++)
        {
            byte[] broken = (byte[])header.Clone();
            broken[i] ^= 1;
            Assert.Equal(NbdVerdict.Drop, s_writable.Parse(broken).Verdict);
        }
    }

    [Fact]
    public void Trim_and_zeroes_may_be_longer_than_the_payload_limit()
    {
        NbdExport large = new("", "", SimulatedDisk.MakeGeometry(1L << 24), NbdAccess.ReadWrite);
        TransmissionParser parser = new(large);
        Assert.Equal(NbdVerdict.Execute, parser.Parse(Header(NbdCommand.Trim, 0, 0, 0xffff_fe00)).Verdict);
        Assert.Equal(NbdVerdict.Execute,
            parser.Parse(Header(NbdCommand.WriteZeroes, 0, 4096, 0xffff_fe00)).Verdict);
        Assert.Equal(NbdVerdict.Execute, parser.Parse(Header(NbdCommand.Write, 0, 0, 0x0200_0000)).Verdict);
    }

    [Fact]
    public void Command_that_was_not_offered_is_invalid()
    {
        DeviceGeometry plain =
            SimulatedDisk.MakeGeometry(8) with { CanDiscard = false, CanWriteZeroes = false };
        TransmissionParser parser = new(new NbdExport("", "", plain, NbdAccess.ReadWrite));
        Assert.Equal(NbdError.Invalid, parser.Parse(Header(NbdCommand.Trim, 0, 0, 512)).Error);
        Assert.Equal(NbdError.Invalid, parser.Parse(Header(NbdCommand.WriteZeroes, 0, 0, 512)).Error);
    }

    [Fact]
    public void Every_place_near_the_export_is_judged_as_the_naive_model_does()
    {
        NbdCommand[] commands = [NbdCommand.Read, NbdCommand.Write, NbdCommand.Trim, NbdCommand.WriteZeroes];
        foreach (NbdCommand command in commands)
        {
            for (ulong offset = 0; offset <= Size + 1024; offset += 128)
            {
                for (uint length = 0; length <= Size + 1024; length += 128)
                {
                    NbdRequest request = s_writable.Parse(Header(command, 0, offset, length));
                    Assert.Equal(Naive(command, offset, length), (request.Verdict, request.Error));
                }
            }
        }
    }

    [Fact]
    public void Fast_zero_is_executed_where_it_is_offered_and_invalid_elsewhere()
    {
        DeviceGeometry fast = SimulatedDisk.MakeGeometry(8) with { CanZeroFast = true };
        TransmissionParser parser = new(new NbdExport("", "", fast, NbdAccess.ReadWrite));
        byte[] request = Header(NbdCommand.WriteZeroes, 16 | 2, 0, 512);
        Assert.Equal(NbdVerdict.Execute, parser.Parse(request).Verdict);
        Assert.Equal((NbdVerdict.Refuse, NbdError.Invalid),
            (s_writable.Parse(request).Verdict, s_writable.Parse(request).Error));
    }

    [Theory]
    [InlineData(NbdCommand.Read, 0, 0ul, 512ul, NbdVerdict.Execute, NbdError.None)]
    [InlineData(NbdCommand.Read, 4, 0ul, 512ul, NbdVerdict.Execute, NbdError.None)]
    [InlineData(NbdCommand.Read, 0, 0ul, ulong.MaxValue, NbdVerdict.Refuse, NbdError.Overflow)]
    [InlineData(NbdCommand.Read, 0, 0ul, 0x1_0000_0000ul, NbdVerdict.Refuse, NbdError.Overflow)]
    // A payload that the command does not have is read past.
    [InlineData(NbdCommand.Read, 32, 0ul, 512ul, NbdVerdict.RefuseAfterPayload, NbdError.Invalid)]
    [InlineData(NbdCommand.Flush, 32, 0ul, 9ul, NbdVerdict.RefuseAfterPayload, NbdError.Invalid)]
    [InlineData(NbdCommand.Trim, 32, 0ul, 0x0200_0000ul, NbdVerdict.RefuseAfterPayload, NbdError.Invalid)]
    [InlineData(NbdCommand.Trim, 32, 0ul, 0x0200_0001ul, NbdVerdict.Drop, NbdError.None)]
    [InlineData((NbdCommand)77, 32, 5ul, 100ul, NbdVerdict.RefuseAfterPayload, NbdError.Invalid)]
    [InlineData(NbdCommand.Write, 32, 0ul, 512ul, NbdVerdict.Execute, NbdError.None)]
    [InlineData(NbdCommand.Write, 33, 0ul, 512ul, NbdVerdict.Execute, NbdError.None)]
    // WRITE must say that it has one.
    [InlineData(NbdCommand.Write, 0, 0ul, 512ul, NbdVerdict.Refuse, NbdError.Invalid)]
    [InlineData(NbdCommand.Write, 0, 0ul, ulong.MaxValue, NbdVerdict.Refuse, NbdError.Invalid)]
    [InlineData(NbdCommand.Write, 32, 0ul, 0ul, NbdVerdict.Refuse, NbdError.Invalid)]
    [InlineData(NbdCommand.Write, 32, 4096ul, 512ul, NbdVerdict.RefuseAfterPayload, NbdError.NoSpace)]
    [InlineData(NbdCommand.Write, 32, 0ul, 0x1_0000_0000ul, NbdVerdict.Drop, NbdError.None)]
    [InlineData(NbdCommand.WriteZeroes, 0, 0ul, ulong.MaxValue, NbdVerdict.Refuse, NbdError.NoSpace)]
    [InlineData(NbdCommand.Disconnect, 0, 0ul, 0ul, NbdVerdict.Disconnect, NbdError.None)]
    public void Extended_request_gets_the_verdict_the_protocol_asks_for(
        NbdCommand command, int flags, ulong offset, ulong length, NbdVerdict verdict, NbdError error)
    {
        TransmissionParser parser = Parser(NbdAccess.ReadWrite);
        parser.Terms = new NbdTerms(NbdReplyStyle.Extended, NbdContexts.None);
        byte[] header = new ConversationBuilder().Extended(command, 7, offset, length, flags).ToArray();
        NbdRequest request = parser.Parse(header, out int taken);
        Assert.Equal((verdict, error), (request.Verdict, request.Error));
        Assert.Equal((32, length, 7ul), (taken, request.Length, request.Cookie.Value));
        Assert.Equal(NbdVerdict.None, parser.Parse(header.AsSpan(0, 31), out taken).Verdict);
        Assert.Equal(0, taken);
    }

    [Fact]
    public void Extended_and_compact_magics_are_not_taken_for_each_other()
    {
        byte[] compact = [.. Header(NbdCommand.Read, 0, 0, 512), 0, 0, 0, 0];
        byte[] extended = new ConversationBuilder().Extended(NbdCommand.Read, 7, 0, 512).ToArray();
        TransmissionParser parser = Parser(NbdAccess.ReadWrite);
        Assert.Equal(NbdVerdict.Drop, parser.Parse(extended).Verdict);
        parser.Terms = new NbdTerms(NbdReplyStyle.Extended, NbdContexts.None);
        Assert.Equal(NbdVerdict.Drop, parser.Parse(compact).Verdict);
        Assert.Equal(NbdVerdict.Execute, parser.Parse(extended).Verdict);
    }

    [Fact]
    public void Every_reason_has_a_text_that_fits_a_chunk()
    {
        foreach (NbdReason reason in Enum.GetValues<NbdReason>())
        {
            Assert.InRange(NbdReasons.TextOf(reason).Length, 1, NbdReasons.TextBytesMax);
        }
    }

    private static (NbdVerdict, NbdError) Naive(NbdCommand command, ulong offset, uint length)
    {
        bool isBeyond = (UInt128)offset + length > Size;
        if (!isBeyond && offset % 512 == 0 && length % 512 == 0)
        {
            return (NbdVerdict.Execute, NbdError.None);
        }
        bool isFull = isBeyond && command is NbdCommand.Write or NbdCommand.WriteZeroes && isBeyond;
        bool hasPayload = command == NbdCommand.Write && length > 0;
        return (
            hasPayload ? NbdVerdict.RefuseAfterPayload : NbdVerdict.Refuse,
            isFull ? NbdError.NoSpace : NbdError.Invalid);
    }

    private static TransmissionParser Parser(NbdAccess access) =>
        new(new NbdExport("disk", "", SimulatedDisk.MakeGeometry(8), access));

    private static byte[] Header(NbdCommand command, int flags, ulong offset, uint length) =>
        new ConversationBuilder().Request(command, 0xfedc_ba98_7654_3210, offset, length, flags).ToArray();
}
