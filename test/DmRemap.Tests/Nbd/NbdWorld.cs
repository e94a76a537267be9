using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.FrontEnds.Nbd;
using DmRemap.Nbd;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Nbd;

/// <summary>A server on a simulated disk, and clients for it.</summary>
internal sealed class NbdWorld
{
    public NbdWorld(
        int slices = 8,
        int sliceBytes = 16 * 1024,
        long blocks = NbdCorpus.ExportBytes / 512,
        int connectionsMax = 4,
        NbdAccess access = NbdAccess.ReadWrite,
        int depth = 16,
        int seed = 1,
        DeviceGeometry? geometry = null,
        NbdTlsMode tls = NbdTlsMode.Off,
        Duration readDeadline = default)
    {
        Disk = new SimulatedDisk(Loop, geometry ?? SimulatedDisk.MakeGeometry(blocks), seed);
        Pool = new BufferPool(slices, sliceBytes);
        Server = new NbdServer(Loop, Pool, Disk, new NbdServerOptions
        {
            ExportName = "disk",
            Description = "a disk",
            Access = access,
            ConnectionsMax = connectionsMax,
            DeviceQueueDepth = depth,
            LargeReadsMax = 1,
            ReadDeadline = readDeadline,
            Tls = tls,
            // What comes next on the same stream is inside.
            StartTls = _ => true,
        });
        Export = new NbdExport("disk", "a disk", Disk.Geometry, access);
    }

    public SimulatedLoop Loop { get; } = new();

    public SimulatedDisk Disk { get; }

    public BufferPool Pool { get; }

    public NbdServer Server { get; }

    public NbdExport Export { get; }

    public MemoryByteStream Connect(Func<int>? cut = null)
    {
        MemoryByteStream stream = new(Loop) { Cut = cut };
        stream.Owner = Server.OnAccepted(stream);
        Assert.NotNull(stream.Owner);
        return stream;
    }

    /// <summary>A client in the transmission phase, its handshake's output taken.</summary>
    public MemoryByteStream ConnectAndGo()
    {
        MemoryByteStream stream = Connect();
        stream.Write(NbdCorpus.Start().ToArray());
        Settle();
        Assert.True(stream.Said > 18);
        stream.ClearOutput();
        return stream;
    }

    /// <summary>Everything that happens without waiting longer than a disk does.</summary>
    public void Settle() => Loop.RunFor(Duration.FromSeconds(1));

    /// <summary>No slot, no slice, no stream is left over.</summary>
    public void CheckNothingIsLeft()
    {
        Assert.Equal(0, Server.OpenConnections);
        Assert.Equal(0, Server.RequestsAtDevice);
        Assert.Equal(Pool.Slices, Pool.FreeCount);
        Assert.Equal(0, Server.Counters.ConnectionsOpen);
    }

    /// <summary>The replies to these bytes of a fresh client, which then closes its side.</summary>
    public byte[] Play(byte[] conversation, Func<int>? cut = null)
    {
        MemoryByteStream stream = Connect(cut);
        stream.Write(conversation);
        stream.End();
        Settle();
        Assert.True(stream.IsClosed);
        return stream.Output.ToArray();
    }
}

/// <summary>
/// One reply a conversation must get: exactly once, with this error or, where faults are allowed, EIO.
/// </summary>
internal sealed record ExpectedReply(ulong Cookie, NbdError Error, int DataBytes)
{
    /// <summary>
    /// Walk a whole conversation as a reader of the protocol would: what the handshake says, then every
    /// request that arrives complete.
    /// </summary>
    public static (byte[] Handshake, List<ExpectedReply> Replies) Of(byte[] conversation, NbdExport export)
    {
        (byte[] handshake, HandshakePhase phase) =
            ServerHandshakeTests.Talk(conversation, out int at, null, export);
        List<ExpectedReply> replies = [];
        TransmissionParser parser = new(export);
        while (phase == HandshakePhase.Transmission
            && conversation.Length - at >= TransmissionParser.HeaderBytes)
        {
            NbdRequest request = parser.Parse(conversation.AsSpan(at));
            at += TransmissionParser.HeaderBytes;
            if (request.Verdict is NbdVerdict.Disconnect or NbdVerdict.Drop)
            {
                break;
            }
            if (conversation.Length - at < request.PayloadBytes)
            {
                break;
            }
            at += (int)request.PayloadBytes;
            bool hasData = request.Command == NbdCommand.Read && request.Error == NbdError.None;
            replies.Add(
                new ExpectedReply(request.Cookie.Value, request.Error, hasData ? (int)request.Length : 0));
        }
        return (handshake, replies);
    }

    /// <summary>Take the output apart; every reply is expected, once. Returns the data by cookie.</summary>
    public static Dictionary<ulong, (NbdError Error, byte[] Data)> Check(
        byte[] output, byte[] handshake, List<ExpectedReply> replies, bool mayFail = false)
    {
        Assert.Equal(Convert.ToHexString(handshake), Convert.ToHexString(output[..handshake.Length]));
        return CheckReplies(output.AsSpan(handshake.Length), replies, mayFail);
    }

    public static Dictionary<ulong, (NbdError Error, byte[] Data)> CheckReplies(
        ReadOnlySpan<byte> rest, List<ExpectedReply> replies, bool mayFail = false)
    {
        Dictionary<ulong, (NbdError, byte[])> got = [];
        List<ExpectedReply> expected = [.. replies];
        while (!rest.IsEmpty)
        {
            Assert.Equal(0x67446698u, System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(rest));
            NbdError error = (NbdError)System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(rest[4..]);
            ulong cookie = System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(rest[8..]);
            int index = expected.FindIndex(reply => reply.Cookie == cookie);
            Assert.True(index >= 0, $"reply to {cookie:x}, which was not asked or is answered");
            ExpectedReply reply = expected[index];
            expected.RemoveAt(index);
            bool isAllowed = error == reply.Error
                || (mayFail && reply.Error == NbdError.None && error == NbdError.InputOutput);
            Assert.True(isAllowed, $"reply to {cookie:x}: {error}, not {reply.Error}");
            int data = error == NbdError.None ? reply.DataBytes : 0;
            got[cookie] = (error, rest.Slice(16, data).ToArray());
            rest = rest[(16 + data)..];
        }
        Assert.Empty(expected);
        return got;
    }
}
