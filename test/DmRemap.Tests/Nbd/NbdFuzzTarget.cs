using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Numerics;
using DmRemap.Nbd;
using Xunit;

namespace DmRemap.Tests.Nbd;

/// <summary>
/// Plays one conversation to the handshake's machine and to whole servers, in each of the three modes of TLS,
/// whose other client is served all the while. It throws when something is broken, and says what was seen:
/// an input that shows something new is worth changing further.
/// </summary>
internal sealed class NbdFuzzTarget
{
    private const int SegmentsMax = 6;
    private const int GreetingBytes = 18;
    private const uint StartTls = 5;
    private const uint Ack = 1;
    private const uint ErrInvalid = 0x8000_0003;
    private const uint ErrTlsRequired = 0x8000_0005;

    private static readonly NbdExport s_export = new NbdWorld().Export;

    private readonly Served[] _served =
        [new(NbdTlsMode.Off), new(NbdTlsMode.Allow), new(NbdTlsMode.Require)];

    /// <summary>Conversations that came as far as requests.</summary>
    public int Entered { get; private set; }

    /// <summary>Replies to requests.</summary>
    public long Answered { get; private set; }

    public HashSet<string> Run(byte[] input)
    {
        NbdTlsMode mode = (NbdTlsMode)(input[0] % 3);
        byte[] conversation = input[ConversationMutation.SetupBytes..];
        Random cuts = new(input[1]);
        HashSet<string> seen = [];
        Shaken whole = Shake(mode, conversation, int.MaxValue, null);
        Shaken cut = Shake(mode, conversation, 1, cuts);
        Assert.Equal(Convert.ToHexString(whole.Output), Convert.ToHexString(cut.Output));
        Assert.Equal((whole.Phase, whole.Terms, whole.Consumed), (cut.Phase, cut.Terms, cut.Consumed));
        CheckReplies(mode, whole, seen);
        byte[] said = _served[(int)mode].Play(conversation, cuts);
        if (mode == NbdTlsMode.Off)
        {
            CheckServer(whole, said, seen);
        }
        return seen;
    }

    private static Shaken Shake(NbdTlsMode mode, byte[] conversation, int step, Random? cuts)
    {
        ServerHandshake handshake = new(s_export, mode);
        byte[] buffer = new byte[ServerHandshake.OutputBytesMax];
        List<byte> output = [.. buffer.AsSpan(0, handshake.Start(buffer))];
        int shown = 0;
        int consumed = 0;
        bool isInside = false;
        while (handshake.Phase is not (HandshakePhase.Transmission or HandshakePhase.Ended))
        {
            if (handshake.Phase == HandshakePhase.StartingTls)
            {
                isInside = true;
                handshake.ContinueInsideTls();
            }
            ReadOnlySpan<byte> waiting = conversation.AsSpan(consumed, shown - consumed);
            int taken = handshake.Step(waiting, buffer, out int wrote);
            Assert.InRange(taken, 0, shown - consumed);
            Assert.InRange(wrote, 0, ServerHandshake.OutputBytesMax);
            output.AddRange(buffer.AsSpan(0, wrote));
            consumed += taken;
            if (taken == 0)
            {
                if (shown == conversation.Length)
                {
                    break;
                }
                // What is waited for always fits the buffer that it is received into.
                Assert.True(shown - consumed < ServerHandshake.InputBytesMax);
                int more = cuts?.Next(1, 600) ?? step;
                shown = (int)Math.Min(conversation.Length, (long)shown + more);
            }
        }
        return new Shaken([.. output], handshake.Phase, handshake.Terms, consumed, isInside);
    }

    /// <summary>
    /// Whole replies, each to an option; before TLS that is required, nothing but that it is.
    /// </summary>
    private static void CheckReplies(NbdTlsMode mode, Shaken shaken, HashSet<string> seen)
    {
        ReadOnlySpan<byte> rest = shaken.Output.AsSpan(GreetingBytes);
        bool isInside = false;
        string last = "";
        while (rest.Length >= 20 && BinaryPrimitives.ReadUInt64BigEndian(rest) == 0x3e889045565a9)
        {
            uint option = BinaryPrimitives.ReadUInt32BigEndian(rest[8..]);
            uint type = BinaryPrimitives.ReadUInt32BigEndian(rest[12..]);
            int length = BinaryPrimitives.ReadInt32BigEndian(rest[16..]);
            Assert.InRange(length, 0, rest.Length - 20);
            rest = rest[(20 + length)..];
            if (mode == NbdTlsMode.Require && !isInside)
            {
                bool isAllowed = type == ErrTlsRequired || (option == 2 && type == Ack)
                    || (option == StartTls && type is Ack or ErrInvalid);
                Assert.True(isAllowed, $"option {option} was answered {type:x} before TLS");
            }
            Assert.False(type == ErrTlsRequired && (isInside || mode != NbdTlsMode.Require));
            isInside |= option == StartTls && type == Ack;
            string now = $"{option}:{type:x}";
            seen.Add($"{mode} {last} {now}");
            last = now;
        }
        Assert.True(rest.Length is 0 or 10 or 134, $"{rest.Length} bytes are no reply");
        Assert.True(rest.IsEmpty || shaken.Phase == HandshakePhase.Transmission);
        if (shaken.Phase == HandshakePhase.Transmission && mode == NbdTlsMode.Require)
        {
            Assert.True(shaken.IsInside, "requests are taken without TLS");
        }
        seen.Add($"{mode} {last} {shaken.Phase} {shaken.Terms}");
    }

    private void CheckServer(Shaken shaken, byte[] said, HashSet<string> seen)
    {
        int common = Math.Min(said.Length, shaken.Output.Length);
        Assert.Equal(
            Convert.ToHexString(shaken.Output.AsSpan(0, common)),
            Convert.ToHexString(said.AsSpan(0, common)));
        if (shaken.Phase != HandshakePhase.Transmission)
        {
            Assert.Equal(shaken.Output.Length, said.Length);
            return;
        }
        Entered++;
        ReadOnlySpan<byte> replies = said.AsSpan(common);
        if (shaken.Terms.Style == NbdReplyStyle.Simple)
        {
            // How much data follows is known to the requests only; the tests of conversations look at it.
            seen.Add($"simple {BitsOf(replies.Length)}");
            Answered += replies.IsEmpty ? 0 : 1;
            return;
        }
        bool isExtended = shaken.Terms.Style == NbdReplyStyle.Extended;
        string last = "";
        foreach (ReadReply reply in ReplyReader.ReadAll(replies, isExtended))
        {
            Answered++;
            string now = $"{reply.Type:x} {reply.Error} {reply.IsDone} {BitsOf(reply.Data.Length)}";
            seen.Add($"{isExtended} {last} {now}");
            last = now;
        }
    }

    private static int BitsOf(int number) => 32 - BitOperations.LeadingZeroCount((uint)number);

    private sealed record Shaken(
        byte[] Output, HandshakePhase Phase, NbdTerms Terms, int Consumed, bool IsInside);

    /// <summary>One server for many conversations, and a client that must never notice them.</summary>
    private sealed class Served
    {
        private readonly NbdWorld _world;
        private readonly MemoryByteStream _witness;
        private ulong _cookie;

        public Served(NbdTlsMode mode)
        {
            _world = new NbdWorld(tls: mode);
            _witness = _world.Connect();
            _witness.Write(new ConversationBuilder().ClientFlags().ToArray());
            if (mode != NbdTlsMode.Off)
            {
                _witness.Write(new ConversationBuilder().Option(StartTls).ToArray());
                _world.Settle();
            }
            _witness.Write(new ConversationBuilder().Go().ToArray());
            _world.Settle();
            _witness.ClearOutput();
        }

        public byte[] Play(byte[] conversation, Random cuts)
        {
            MemoryByteStream client = _world.Connect(() => cuts.Next(1, 5000));
            int at = 0;
            for (int segment = cuts.Next(SegmentsMax); segment > 0 && !client.IsCloseCalled; segment--)
            {
                int end = cuts.Next(at, conversation.Length + 1);
                client.Write(conversation.AsSpan(at, end - at));
                at = end;
                AskWitness();
            }
            if (!client.IsCloseCalled)
            {
                client.Write(conversation.AsSpan(at));
            }
            client.End();
            _world.Settle();
            Assert.True(client.IsClosed, "the connection does not end");
            AskWitness();
            Assert.Equal(1, _world.Server.OpenConnections);
            Assert.Equal(0, _world.Server.RequestsAtDevice);
            Assert.Equal(_world.Pool.Slices, _world.Pool.FreeCount);
            return client.Output.ToArray();
        }

        private void AskWitness()
        {
            _cookie++;
            _witness.Write(new ConversationBuilder().Read(_cookie, 1024, 512).ToArray());
            _world.Settle();
            Assert.Equal(16 + 512, _witness.Said);
            Assert.Equal(0u, BinaryPrimitives.ReadUInt32BigEndian(_witness.Output[4..]));
            Assert.Equal(_cookie, BinaryPrimitives.ReadUInt64BigEndian(_witness.Output[8..]));
            _witness.ClearOutput();
        }
    }
}
