using System;
using System.Buffers.Binary;
using DmRemap.Nbd;
using Xunit;

namespace DmRemap.Tests.Nbd;

public sealed class ClientTransmissionTests
{
    private readonly ClientTransmission _client = new(4);
    private readonly byte[] _header = new byte[ClientTransmission.HeaderBytes];

    [Fact]
    public void Command_header_is_the_protocols_to_the_byte()
    {
        ulong cookie = Begin(2, NbdCommand.Write, NbdCommandFlags.ForceUnitAccess, 0x1_0000_0200, 4096);
        byte[] expected = new ConversationBuilder()
            .Request(NbdCommand.Write, cookie, 0x1_0000_0200, 4096, 1).ToArray();
        Assert.Equal(expected, _header);
        ClientTransmission.WriteDisconnect(_header);
        Assert.Equal(new ConversationBuilder().Disconnect().ToArray(), _header);
    }

    [Fact]
    public void Replies_out_of_order_find_their_commands()
    {
        ulong read = Begin(0, NbdCommand.Read, NbdCommandFlags.None, 0, 512);
        ulong write = Begin(1, NbdCommand.Write, NbdCommandFlags.None, 0, 1024);
        ulong failed = Begin(3, NbdCommand.Read, NbdCommandFlags.None, 0, 2048);
        Assert.Equal(3, _client.Outstanding);
        Assert.Equal((ReplyVerdict.Answer, 3, NbdError.InputOutput, 0), Take(Reply(failed, 5)));
        Assert.Equal((ReplyVerdict.Answer, 1, NbdError.None, 0), Take(Reply(write)));
        Assert.Equal((ReplyVerdict.Data, 0, NbdError.None, 512), Take(Reply(read)));
        Assert.Equal(0, _client.Outstanding);
    }

    [Fact]
    public void Second_reply_to_one_command_is_a_reply_to_nothing()
    {
        ulong cookie = Begin(1, NbdCommand.Flush, NbdCommandFlags.None, 0, 0);
        Assert.Equal(ReplyVerdict.Answer, Take(Reply(cookie)).Verdict);
        Assert.Equal(ReplyVerdict.Broken, Take(Reply(cookie)).Verdict);
        // Nor is it one to the command that has the slot now.
        ulong later = Begin(1, NbdCommand.Flush, NbdCommandFlags.None, 0, 0);
        Assert.NotEqual(cookie, later);
        Assert.Equal(ReplyVerdict.Broken, Take(Reply(cookie)).Verdict);
        Assert.Equal(ReplyVerdict.Answer, Take(Reply(later)).Verdict);
    }

    [Fact]
    public void What_is_no_reply_to_anything_asked_is_broken()
    {
        ulong cookie = Begin(1, NbdCommand.Read, NbdCommandFlags.None, 0, 512);
        Assert.Equal(ReplyVerdict.Broken, Take(Reply(0)).Verdict);
        Assert.Equal(ReplyVerdict.Broken, Take(Reply(cookie + 1)).Verdict);
        Assert.Equal(ReplyVerdict.Broken, Take(Reply(cookie | 0xffff)).Verdict);
        Assert.Equal(ReplyVerdict.Broken, Take(Reply(ulong.MaxValue)).Verdict);
        byte[] structured = Reply(cookie);
        BinaryPrimitives.WriteUInt32BigEndian(structured, 0x668e33ef);
        Assert.Equal(ReplyVerdict.Broken, Take(structured).Verdict);
        Assert.Equal(1, _client.Outstanding);
    }

    [Theory]
    [InlineData(1, NbdError.NotPermitted)]
    [InlineData(5, NbdError.InputOutput)]
    [InlineData(28, NbdError.NoSpace)]
    [InlineData(61, NbdError.Invalid)]
    [InlineData(84, NbdError.Invalid)]
    [InlineData(95, NbdError.NotSupported)]
    [InlineData(108, NbdError.Shutdown)]
    [InlineData(uint.MaxValue, NbdError.Invalid)]
    public void Only_the_protocols_errors_pass(uint number, NbdError error)
    {
        ulong cookie = Begin(0, NbdCommand.Write, NbdCommandFlags.None, 0, 512);
        Assert.Equal(error, Take(Reply(cookie, number)).Error);
    }

    [Fact]
    public void Nothing_is_outstanding_after_the_connection_has_ended()
    {
        ulong cookie = Begin(0, NbdCommand.Write, NbdCommandFlags.None, 0, 512);
        _client.Clear();
        Assert.Equal(0, _client.Outstanding);
        Assert.Equal(ReplyVerdict.Broken, Take(Reply(cookie)).Verdict);
    }

    private static byte[] Reply(ulong cookie, uint error = 0) =>
        new ConversationBuilder().Reply(cookie, error).ToArray();

    private ulong Begin(int slot, NbdCommand command, NbdCommandFlags flags, long offset, int length)
    {
        _client.Begin(slot, command, flags, offset, length, _header);
        return BinaryPrimitives.ReadUInt64BigEndian(_header.AsSpan(8));
    }

    private (ReplyVerdict Verdict, int Slot, NbdError Error, int DataBytes) Take(byte[] header)
    {
        ReplyVerdict verdict = _client.Take(header, out int slot, out NbdError error, out int dataBytes);
        return (verdict, slot, error, dataBytes);
    }
}
