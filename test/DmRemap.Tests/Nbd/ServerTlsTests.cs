using System;
using System.Collections.Generic;
using DmRemap.Nbd;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Nbd;

/// <summary>The handshake's part of TLS: bytes in, bytes out; TLS itself is somebody else's.</summary>
public sealed class ServerTlsTests
{
    private const uint StartTls = 5;
    private const uint Go = 7;
    private const uint StructuredReply = 8;
    private const uint Ack = 1;
    private const uint ErrInvalid = 0x8000_0003;
    private const uint ErrTlsRequired = 0x8000_0005;

    private static readonly NbdExport s_export =
        new("disk", "a disk", SimulatedDisk.MakeGeometry(2048), NbdAccess.ReadWrite);

    [Fact]
    public void Every_option_but_abort_is_answered_tls_required_before_tls()
    {
        foreach (uint option in new uint[] { 3, 4, 6, 7, 8, 9, 10, 11, 99 })
        {
            byte[] client = new ConversationBuilder().ClientFlags().Option(option, [1, 2, 3]).ToArray();
            Check(
                new ServerHandshake(s_export, NbdTlsMode.Require), client,
                new ConversationBuilder()
                    .OptionReply(option, ErrTlsRequired, Text("the server requires TLS")),
                HandshakePhase.Options);
        }
        byte[] abort = new ConversationBuilder().ClientFlags().Option(2).ToArray();
        Check(
            new ServerHandshake(s_export, NbdTlsMode.Require), abort,
            new ConversationBuilder().OptionReply(2, Ack), HandshakePhase.Ended);
    }

    [Fact]
    public void Export_name_before_tls_that_is_required_ends_the_connection() =>
        Check(
            new ServerHandshake(s_export, NbdTlsMode.Require),
            new ConversationBuilder().ClientFlags().Option(1, Text("disk")).ToArray(),
            new ConversationBuilder(), HandshakePhase.Ended);

    [Theory]
    [InlineData(NbdTlsMode.Allow)]
    [InlineData(NbdTlsMode.Require)]
    public void Starttls_is_acknowledged_and_takes_nothing_that_was_sent_after_it(NbdTlsMode mode)
    {
        ServerHandshake handshake = new(s_export, mode);
        byte[] client = new ConversationBuilder().ClientFlags().Option(StartTls).Go().ToArray();
        Check(
            handshake, client, new ConversationBuilder().OptionReply(StartTls, Ack),
            HandshakePhase.StartingTls);
    }

    [Fact]
    public void Starttls_with_data_or_inside_tls_is_invalid_and_the_handshake_goes_on()
    {
        ServerHandshake handshake = new(s_export, NbdTlsMode.Require);
        byte[] client = new ConversationBuilder().ClientFlags().Option(StartTls, [1]).Option(StartTls)
            .ToArray();
        Check(
            handshake, client,
            new ConversationBuilder()
                .OptionReply(StartTls, ErrInvalid, Text("STARTTLS takes no data"))
                .OptionReply(StartTls, Ack),
            HandshakePhase.StartingTls);
        handshake.ContinueInsideTls();
        (byte[] output, _) = Feed(handshake, new ConversationBuilder().Option(StartTls).ToArray());
        Assert.Equal(
            new ConversationBuilder()
                .OptionReply(StartTls, ErrInvalid, Text("TLS is in use already")).ToArray(),
            output);
        Feed(handshake, new ConversationBuilder().Go().ToArray());
        Assert.Equal(HandshakePhase.Transmission, handshake.Phase);
    }

    /// <summary>Such a client is not told of TLS: it is served without, or not at all.</summary>
    [Theory]
    [InlineData(NbdTlsMode.Allow)]
    [InlineData(NbdTlsMode.Require)]
    public void Client_that_has_not_agreed_to_fixed_newstyle_gets_no_tls(NbdTlsMode mode)
    {
        byte[] client = new ConversationBuilder().ClientFlags(0).Option(StartTls).ToArray();
        ConversationBuilder expected = mode == NbdTlsMode.Require
            ? new ConversationBuilder()
            : new ConversationBuilder().OptionReply(StartTls, 0x8000_0001, Text("TLS is not supported"));
        Check(
            new ServerHandshake(s_export, mode), client, expected,
            mode == NbdTlsMode.Require ? HandshakePhase.Ended : HandshakePhase.Options);
    }

    [Fact]
    public void What_was_agreed_before_tls_is_forgotten()
    {
        ServerHandshake handshake = new(s_export, NbdTlsMode.Allow);
        handshake.Start(new byte[ServerHandshake.OutputBytesMax]);
        Feed(handshake, new ConversationBuilder().ClientFlags().Option(StructuredReply).ToArray());
        Assert.Equal(NbdReplyStyle.Structured, handshake.Terms.Style);
        Feed(handshake, new ConversationBuilder().Option(StartTls).ToArray());
        handshake.ContinueInsideTls();
        Assert.Equal(default, handshake.Terms);
        // The next client on the same object begins outside again.
        ServerHandshake again = handshake;
        again.Start(new byte[ServerHandshake.OutputBytesMax]);
        Feed(again, new ConversationBuilder().ClientFlags().Option(StartTls).ToArray());
        Assert.Equal(HandshakePhase.StartingTls, again.Phase);
    }

    private static byte[] Text(string text) => new ConversationBuilder().Text(text).ToArray();

    private static void Check(
        ServerHandshake handshake, byte[] client, ConversationBuilder expected, HandshakePhase phase)
    {
        handshake.Start(new byte[ServerHandshake.OutputBytesMax]);
        (byte[] output, int left) = Feed(handshake, client);
        Assert.Equal(expected.ToArray(), output);
        Assert.Equal(phase, handshake.Phase);
        Assert.True(
            left == 0 || phase is HandshakePhase.StartingTls or HandshakePhase.Ended,
            $"{left} bytes were not taken");
    }

    private static (byte[] Output, int Left) Feed(ServerHandshake handshake, byte[] client)
    {
        List<byte> output = [];
        byte[] buffer = new byte[ServerHandshake.OutputBytesMax];
        ReadOnlySpan<byte> rest = client;
        int consumed;
        do
        {
            consumed = handshake.Step(rest, buffer, out int written);
            output.AddRange(buffer.AsSpan(0, written));
            rest = rest[consumed..];
        }
        while (consumed > 0);
        return ([.. output], rest.Length);
    }
}
