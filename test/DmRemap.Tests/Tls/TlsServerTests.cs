using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Net.Sockets;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Tests.Linux;
using DmRemap.Tests.Nbd;
using Xunit;

namespace DmRemap.Tests.Tls;

/// <summary>
/// Real clients on a real server in this process, in TLS and outside it, that stall or die where it hurts
/// most. Another client is served meanwhile, and nothing is left of them.
/// </summary>
[Collection(nameof(DescriptorCounting))]
public sealed class TlsServerTests : IDisposable
{
    private readonly TlsServerWorld _world = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _world.Dispose();

    [Fact]
    public async Task Client_that_takes_no_replies_is_cut_off_when_others_wait_for_its_buffers()
    {
        using TlsTestClient greedy = await _world.EnterAsync();
        // More than the pool, the pair of sockets and the kernel hold, and less than the time it has.
        for (ulong i = 0; i < 64; i++)
        {
            await greedy.SendAsync(new ConversationBuilder().Read(i, 0, 1_048_576).ToArray());
        }
        await _world.UntilStillAsync();
        using TlsTestClient other = await _world.EnterAsync();
        // Eight pieces: of only one is it sure.
        Task<byte[]> answer = other.ReadAsync(7, 0, 1_048_576);
        Assert.Equal(1_048_576, (await answer.WaitAsync(LoopRunner.Patience, Cancellation)).Length);
        Assert.Equal(1, _world.Server.Counters.ConnectionsStalled);
        await _world.UntilAsync(() => _world.OpenConnections == 1);
        greedy.Dispose();
        await _world.UntilAsync(() => _world.Relays == 1);
    }

    /// <summary>
    /// In TLS as outside: at each byte that the client sends until its first reply has come.
    /// </summary>
    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public async Task Client_that_dies_at_any_byte_of_the_negotiation_leaves_nothing(bool isTls, bool isReset)
    {
        using TlsTestClient witness = await _world.EnterAsync();
        long whole = await _world.CountBytesAsync(isTls);
        await _world.UntilAsync(() => _world.OpenConnections == 1 && _world.Relays == 1);
        int sockets = TlsServerWorld.Sockets();
        for (int bytes = 0; bytes <= whole; bytes++)
        {
            await _world.DieAfterAsync(isTls, bytes, isReset);
            // The next one finds a place: how many the server has is not what is tested.
            await _world.UntilAsync(() => _world.OpenConnections < TlsServerWorld.Places / 2);
            if (bytes % 64 == 0)
            {
                Assert.Equal(512, (await witness.ReadAsync((ulong)bytes, 0, 512)).Length);
            }
        }
        await _world.UntilAsync(() => _world.OpenConnections == 1 && _world.Relays == 1);
        Assert.InRange(TlsServerWorld.Sockets(), 0, sockets);
        using TlsTestClient last = await _world.EnterAsync();
        Assert.Equal(512, (await last.ReadAsync(1, 0, 512)).Length);
    }

    /// <summary>All places but one, silent behind STARTTLS or in the middle of their hello.</summary>
    [Theory]
    [InlineData("")]
    [InlineData("16030100")]
    [InlineData("160301010001000100")]
    public async Task Half_open_tls_keeps_no_other_client_out(string hello)
    {
        using TlsTestClient witness = await _world.EnterAsync();
        List<Socket> slow = [];
        for (int i = 0; i < TlsServerWorld.Places - 1; i++)
        {
            Socket socket = await _world.ConnectAsync();
            slow.Add(socket);
            await socket.SendAsync(new ConversationBuilder().ClientFlags().Option(5).ToArray(), Cancellation);
            await socket.SendAsync(Convert.FromHexString(hello), Cancellation);
        }
        Assert.Equal(512, (await witness.ReadAsync(1, 0, 512)).Length);
        using TlsTestClient late = await _world.EnterPatientlyAsync(TimeSpan.FromSeconds(6));
        Assert.Equal(512, (await late.ReadAsync(2, 0, 512)).Length);
        slow.ForEach(socket => socket.Dispose());
        await _world.UntilAsync(() => _world.OpenConnections == 2 && _world.Relays == 2);
    }

    [Fact]
    public async Task Ending_waits_for_no_handshake_and_for_every_last_reply()
    {
        using Socket halfOpen = await _world.ConnectAsync();
        await halfOpen.SendAsync(new ConversationBuilder().ClientFlags().Option(5).ToArray(), Cancellation);
        using TlsTestClient busy = await _world.EnterAsync();
        await busy.SendAsync(new ConversationBuilder().Read(1, 0, 196_608).ToArray());
        await _world.UntilAsync(() => _world.Server.Counters.Requests > 0);
        Task ended = _world.StopAsync();
        // The half-open one is gone; the busy one has not taken its reply.
        await _world.UntilAsync(() => _world.Relays <= 1);
        byte[] header = await busy.ReceiveAsync(16);
        Assert.Equal(0u, BinaryPrimitives.ReadUInt32BigEndian(header.AsSpan(4)));
        await busy.ReceiveAsync(196_608);
        await ended.WaitAsync(LoopRunner.Patience, Cancellation);
        Assert.Equal(0, await busy.Stream.ReadAsync(new byte[1], Cancellation));
    }
}
