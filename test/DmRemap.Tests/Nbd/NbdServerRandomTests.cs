using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;
using Xunit;

namespace DmRemap.Tests.Nbd;

public sealed class NbdServerRandomTests
{
    private const int Regions = 8;
    private const int RegionBytes = (int)NbdCorpus.ExportBytes / Regions;

    [Fact]
    public void Random_requests_over_several_connections_match_a_byte_array()
    {
        for (int seed = 0; seed < 6; seed++)
        {
            try
            {
                CompareWithModel(new Random(seed), seed);
            }
            catch (Exception exception)
            {
                throw new InvalidOperationException($"seed={seed}", exception);
            }
        }
    }

    [Fact]
    public void Mutilated_conversations_leave_nothing_behind_and_are_answered_at_most_once()
    {
        NbdWorld world = new(seed: 5);
        world.Disk.LatencyMax = Duration.FromMilliseconds(1);
        world.Disk.Fault = (operation, _) => operation % 7 == 3 ? 5 : 0;
        byte[][] seeds = [.. NbdCorpus.Sessions().Values];
        for (int seed = 0; seed < 1500; seed++)
        {
            Random random = new(seed);
            byte[] conversation = Mutilate((byte[])seeds[random.Next(seeds.Length)].Clone(), random);
            try
            {
                PlayAndMaybeVanish(world, conversation, random);
            }
            catch (Exception exception)
            {
                throw new InvalidOperationException($"seed={seed}", exception);
            }
        }
    }

    [Fact]
    public void Clients_that_vanish_at_any_moment_leave_nothing_behind()
    {
        byte[] conversation = NbdCorpus.Start()
            .Write(1, 0, new byte[100_352]).Read(2, 0, 65_536).Read(3, 0, 524_288).Write(4, 512,
                new byte[40_960])
            .Request(NbdCommand.Flush, 5, 0, 0).Read(6, 0, 512).ToArray();
        NbdWorld world = new(depth: 3);
        world.Disk.LatencyMax = Duration.FromMilliseconds(1);
        for (int events = 0; events < 250; events++)
        {
            Random random = new(events);
            MemoryByteStream client = world.Connect(() => random.Next(1, 20_000));
            MemoryByteStream other = world.Connect();
            client.Write(conversation);
            other.Write(conversation);
            for (int i = 0; i < events; i++)
            {
                world.Loop.Step();
            }
            client.Break();
            other.End();
            world.Settle();
            (byte[] handshake, List<ExpectedReply> replies) = ExpectedReply.Of(conversation, world.Export);
            ExpectedReply.Check(other.Output.ToArray(), handshake, replies);
            Assert.True(other.IsClosed);
            Assert.True(client.IsClosed, $"events={events}");
            world.CheckNothingIsLeft();
        }
    }

    private static byte[] Mutilate(byte[] conversation, Random random)
    {
        int handshake = NbdCorpus.Start().ToArray().Length;
        int changes = random.Next(4);
        for (int i = 0; i < changes; i++)
        {
            // The headers of the first requests, more often than not.
            int from = random.Next(4) == 0 ? 0 : handshake;
            int place = from + random.Next(Math.Min(120, conversation.Length - from));
            conversation[place] = random.Next(2) == 0 ? (byte)random.Next(256)
                : (byte)(conversation[place] ^ (1 << random.Next(8)));
        }
        return random.Next(3) == 0 ? conversation[..random.Next(conversation.Length)] : conversation;
    }

    private static void PlayAndMaybeVanish(NbdWorld world, byte[] conversation, Random random)
    {
        MemoryByteStream client = world.Connect(() => random.Next(1, 5000));
        client.Write(conversation);
        if (random.Next(3) == 0)
        {
            int events = random.Next(60);
            for (int i = 0; i < events; i++)
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
            (byte[] handshake, List<ExpectedReply> replies) = ExpectedReply.Of(conversation, world.Export);
            ExpectedReply.Check(client.Output.ToArray(), handshake, replies, mayFail: true);
        }
        Assert.True(client.IsClosed);
        world.CheckNothingIsLeft();
    }

    /// <summary>
    /// Each round puts one request into each of some regions, so that the order of completion is free.
    /// </summary>
    private static void CompareWithModel(Random random, int seed)
    {
        NbdWorld world = new(slices: 12, connectionsMax: 3, depth: 5, seed: seed);
        world.Disk.LatencyMax = Duration.FromMilliseconds(1);
        byte[] model = new byte[NbdCorpus.ExportBytes];
        MemoryByteStream[] clients = [world.ConnectAndGo(), world.ConnectAndGo(), world.ConnectAndGo()];
        foreach (MemoryByteStream client in clients)
        {
            client.Cut = () => random.Next(1, 60_000);
        }
        for (int round = 0; round < 60; round++)
        {
            List<ExpectedReply>[] expected = [[], [], []];
            Dictionary<ulong, byte[]> reads = [];
            for (int region = 0; region < Regions; region++)
            {
                int chosen = random.Next(clients.Length);
                clients[chosen].Write(Ask(random, region, model, expected[chosen], reads));
            }
            world.Settle();
            for (int i = 0; i < clients.Length; i++)
            {
                Dictionary<ulong, (NbdError, byte[] Data)> got =
                    ExpectedReply.CheckReplies(clients[i].Output, expected[i]);
                foreach (ExpectedReply reply in expected[i])
                {
                    if (reads.TryGetValue(reply.Cookie, out byte[]? data))
                    {
                        Assert.True(data.AsSpan().SequenceEqual(got[reply.Cookie].Data), $"round {round}");
                    }
                }
                clients[i].ClearOutput();
            }
        }
        Assert.True(model.AsSpan().SequenceEqual(world.Disk.Content));
    }

    private static byte[] Ask(
        Random random, int region, byte[] model,
        List<ExpectedReply> expected, Dictionary<ulong, byte[]> reads)
    {
        ulong cookie = (ulong)random.NextInt64();
        int blocks = random.Next(RegionBytes / 512);
        int count = random.Next(3) == 0 ? random.Next((RegionBytes / 512) - blocks)
            : Math.Min(8, (RegionBytes / 512) - blocks);
        int offset = (region * RegionBytes) + (blocks * 512);
        int length = count * 512;
        ConversationBuilder request = new();
        int kind = random.Next(10);
        if (kind < 5)
        {
            byte[] data = NbdCorpus.Pattern(length, random.Next());
            data.CopyTo(model, offset);
            request.Write(cookie, (ulong)offset, data, random.Next(2));
        }
        else if (kind == 5)
        {
            model.AsSpan(offset, length).Clear();
            request.Request(NbdCommand.WriteZeroes, cookie, (ulong)offset, (uint)length, random.Next(4));
        }
        else if (kind == 6)
        {
            request.Request(NbdCommand.Flush, cookie, 0, 0);
        }
        else
        {
            reads[cookie] = model.AsSpan(offset, length).ToArray();
            request.Read(cookie, (ulong)offset, (uint)length);
        }
        expected.Add(new ExpectedReply(cookie, NbdError.None, kind > 6 ? length : 0));
        return request.ToArray();
    }
}
