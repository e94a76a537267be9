using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;
using Xunit;

namespace DmRemap.Tests.Nbd;

/// <summary>
/// Conversations in chunks, whole and mutilated: every output can be read, and nothing is left.
/// </summary>
public sealed class NbdChunkRandomTests
{
    private static readonly Dictionary<string, byte[]> s_sessions = NbdCorpus.ChunkSessions();

    public static TheoryData<string> Sessions => [.. s_sessions.Keys];

    [Theory]
    [MemberData(nameof(Sessions))]
    public void Conversation_gets_the_same_chunks_however_it_is_cut(string name)
    {
        NbdWorld world = new();
        string whole = Describe(world.Play(s_sessions[name]), s_sessions[name], world.Export);
        for (int seed = 0; seed < 4; seed++)
        {
            Random random = new(seed);
            Func<int> cut = seed == 0 ? () => 1 : () => random.Next(1, 700);
            Array.Clear(world.Disk.Content);
            string cutUp = Describe(world.Play(s_sessions[name], cut), s_sessions[name], world.Export);
            Assert.Equal(whole, cutUp);
            world.CheckNothingIsLeft();
        }
    }

    [Fact]
    public void Mutilated_conversations_are_answered_in_whole_chunks_and_leave_nothing_behind()
    {
        NbdWorld world = new(seed: 5);
        world.Disk.LatencyMax = Duration.FromMilliseconds(1);
        world.Disk.Fault = (operation, _) => operation % 7 == 3 ? 5 : 0;
        byte[][] sessions = [.. s_sessions.Values];
        for (int seed = 0; seed < 2000; seed++)
        {
            Random random = new(seed);
            byte[] conversation = (byte[])sessions[random.Next(sessions.Length)].Clone();
            for (int change = random.Next(5); change > 0; change--)
            {
                int place = random.Next(Math.Min(conversation.Length, 600));
                conversation[place] = random.Next(2) == 0 ? (byte)random.Next(256)
                    : (byte)(conversation[place] ^ (1 << random.Next(8)));
            }
            try
            {
                Play(world, conversation, random);
            }
            catch (Exception exception)
            {
                throw new InvalidOperationException($"seed={seed}", exception);
            }
        }
    }

    private static void Play(NbdWorld world, byte[] conversation, Random random)
    {
        MemoryByteStream client = world.Connect(() => random.Next(1, 5000));
        client.Write(conversation);
        if (random.Next(3) == 0)
        {
            for (int events = random.Next(60); events > 0; events--)
            {
                world.Loop.Step();
            }
            client.Break();
            world.Settle();
        }
        else
        {
            client.End();
            world.Settle();
            Describe(client.Output.ToArray(), conversation, world.Export);
        }
        Assert.True(client.IsClosed);
        world.CheckNothingIsLeft();
    }

    /// <summary>
    /// Each request's answer, in the order of their cookies; of simple replies nothing.
    /// </summary>
    private static string Describe(byte[] output, byte[] conversation, NbdExport export)
    {
        ServerHandshake handshake = new(export);
        byte[] said = new byte[ServerHandshake.OutputBytesMax];
        int length = handshake.Start(said);
        ReadOnlySpan<byte> rest = conversation;
        while (handshake.Phase is not HandshakePhase.Transmission and not HandshakePhase.Ended)
        {
            int taken = handshake.Step(rest, said, out int written);
            length += written;
            if (taken == 0)
            {
                break;
            }
            rest = rest[taken..];
        }
        ReadOnlySpan<byte> replies = output.AsSpan(length);
        if (handshake.Terms.Style == NbdReplyStyle.Simple)
        {
            return "";
        }
        Dictionary<ulong, List<ReadReply>> all = [];
        bool isExtended = handshake.Terms.Style == NbdReplyStyle.Extended;
        foreach (ReadReply reply in ReplyReader.ReadAll(replies, isExtended))
        {
            // Mutilated cookies may be the same, so their chunks are only counted.
            all[reply.Cookie] = [.. all.GetValueOrDefault(reply.Cookie, []), reply];
        }
        Assert.All(all.Values, chunks => Assert.True(chunks[^1].IsDone));
        return string.Join('\n', all.OrderBy(pair => pair.Key).Select(pair => pair.Key + ": " + string.Join(
            ", ", pair.Value.Select(chunk =>
                $"{chunk.Type:x} {chunk.Error} {chunk.Offset} {Convert.ToHexString(chunk.Data)}"))));
    }
}
