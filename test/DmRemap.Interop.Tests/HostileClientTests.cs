using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net.Sockets;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// Clients that break the protocol, over the real socket. The server and its other clients do not mind.
/// </summary>
public sealed class HostileClientTests
{
    private const int Unit = DeviceUnderTest.UnitBytes;
    private const long Bytes = 2 * DeviceUnderTest.MiB;
    private const int ConnectionsInARow = 1000;
    private const int WarmUp = 200;

    [Fact]
    public async Task A_conversation_cut_off_after_any_byte_harms_nobody()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(Bytes));
        byte[] talk =
        [
            .. NbdTestClient.ClientFlags(), .. NbdTestClient.Option(NbdTestClient.OptionList, []),
            .. NbdTestClient.GoOption(DeviceUnderTest.Name),
            .. NbdTestClient.Request(NbdTestClient.CommandRead, 0, 1, 0, 512),
            .. NbdTestClient.Request(NbdTestClient.CommandFlush, 0, 2, 0, 0),
        ];
        for (int length = 0; length <= talk.Length; length++)
        {
            using NbdTestClient client = await NbdTestClient.ConnectAsync(device.SocketPath);
            await client.SendAsync(talk.AsMemory(0, length));
        }

        await AssertStillServesAsync(device);
    }

    [Fact]
    public async Task A_disconnect_in_the_middle_of_a_payload_writes_nothing_beyond_it()
    {
        byte[] model = Content.Of(Bytes);
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(model);
        for (int sent = 1; sent < 256 * 1024; sent *= 3)
        {
            using NbdTestClient client = await device.ConnectAsync();
            await client.SendAsync(NbdTestClient.Request(NbdTestClient.CommandWrite, 0, 1, 0, 256 * 1024));
            await client.SendAsync(new byte[sent]);
        }

        using NbdTestClient healthy = await device.ConnectAsync();
        byte[] rest = new byte[Bytes - 256 * 1024];
        Assert.Equal(0u, await healthy.ReadAsync(256 * 1024, rest));
        Content.AssertEqual(model.AsSpan(256 * 1024), rest, "what no request was about");
        await AssertStillServesAsync(device);
    }

    [Fact]
    public async Task An_unknown_option_is_refused_and_the_conversation_goes_on()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(Bytes));
        using NbdTestClient client = await NbdTestClient.ConnectAsync(device.SocketPath);
        await client.SendAsync(NbdTestClient.ClientFlags());
        foreach (uint option in new uint[] { 0, 9999, uint.MaxValue })
        {
            await client.SendAsync(NbdTestClient.Option(option, new byte[100]));
            Assert.Equal(NbdTestClient.ReplyErrorUnsupported, (await client.ReadOptionReplyAsync()).Type);
        }

        await client.SendAsync(NbdTestClient.GoOption(""));
        await client.ReadGoRepliesAsync();
        Assert.Equal(Bytes, client.SizeBytes);
        Assert.Equal(0u, await client.ReadAsync(0, new byte[512]));
    }

    [Fact]
    public async Task An_unknown_command_a_bad_range_and_a_length_of_0_are_answered_without_a_disconnect()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(Bytes));
        using NbdTestClient client = await device.ConnectAsync();
        Assert.Equal(NbdTestClient.ErrorInvalid, await client.AskAsync(77, 0, 0, 0, default));
        Assert.Equal(NbdTestClient.ErrorInvalid,
            await client.AskAsync(NbdTestClient.CommandRead, 0, Bytes, 512, default));
        Assert.Equal(NbdTestClient.ErrorInvalid,
            await client.AskAsync(NbdTestClient.CommandRead, 0, -512, 512, default));
        Assert.Equal(NbdTestClient.ErrorInvalid,
            await client.AskAsync(NbdTestClient.CommandRead, 0, 3, 512, default));
        Assert.NotEqual(0u, await client.WriteAsync(Bytes - 512, new byte[1024]));
        Assert.NotEqual(0u, await client.WriteAsync(long.MaxValue - 511, new byte[512]));
        Assert.NotEqual(0u,
            await client.AskAsync(NbdTestClient.CommandTrim, 0, Bytes, uint.MaxValue, default));
        // The protocol leaves the answer to a length of 0 open; it only must not end the conversation.
        await client.AskAsync(NbdTestClient.CommandRead, 0, 0, 0, default);
        Assert.Equal(0u, await client.ReadAsync(0, new byte[512]));
    }

    [Fact]
    public async Task Huge_lengths_end_the_one_connection_and_nothing_else()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(Bytes));
        using (NbdTestClient option = await NbdTestClient.ConnectAsync(device.SocketPath))
        {
            await option.SendAsync(NbdTestClient.ClientFlags());
            await option.SendAsync(
                NbdTestClient.Option(NbdTestClient.OptionGo, [], claimedLength: uint.MaxValue));
        }

        using (NbdTestClient write = await device.ConnectAsync())
        {
            await write.SendAsync(NbdTestClient.Request(NbdTestClient.CommandWrite, 0, 1, 0, uint.MaxValue));
            Assert.True(await write.IsClosedByServerAsync(), "a payload of 4 GiB is waited for");
        }

        using (NbdTestClient read = await device.ConnectAsync())
        {
            Assert.NotEqual(
                0u, await read.AskAsync(NbdTestClient.CommandRead, 0, 0, 0xFFFF_F000, default));
        }

        await AssertStillServesAsync(device);
    }

    [Fact]
    public async Task Noise_instead_of_a_conversation_harms_nobody()
    {
        const int Seed = 99;
        Random random = new(Seed);
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(Bytes));
        for (int i = 0; i < 100; i++)
        {
            byte[] noise = new byte[random.Next(1, 2000)];
            random.NextBytes(noise);
            using NbdTestClient client = i % 2 == 0
                ? await NbdTestClient.ConnectAsync(device.SocketPath) : await device.ConnectAsync();
            try
            {
                await client.SendAsync(noise);
            }
            catch (IOException)
            {
                // Closed at the first wrong byte: as good an answer as any.
            }
        }

        Assert.False(device.Server.HasEnded, $"seed {Seed}: {device.Server.Said}");
        await AssertStillServesAsync(device);
    }

    [Fact]
    public async Task A_thousand_connections_in_a_row_leave_no_descriptor_and_no_memory_behind()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(Bytes));
        await ComeAndGoAsync(device, WarmUp);
        int descriptors = Descriptors(device);
        long resident = ResidentKiB(device);
        await ComeAndGoAsync(device, ConnectionsInARow);
        using (NbdTestClient last = await device.ConnectAsync())
        {
            // The server has seen the others' ends once it answers this one; its own descriptor is one more.
            Assert.Equal(0u, await last.ReadAsync(0, new byte[Unit]));
            Assert.InRange(Descriptors(device), descriptors - 2, descriptors + 2);
        }

        Assert.InRange(ResidentKiB(device), 0, resident + 8 * 1024);
        await AssertStillServesAsync(device);
        await device.StopAsync();
    }

    [Fact]
    public async Task Connections_beyond_the_limit_are_closed_and_the_others_go_on()
    {
        const int More = 80;
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(Bytes));
        List<NbdTestClient> clients = [];
        try
        {
            for (int i = 0; i < More; i++)
            {
                try
                {
                    clients.Add(await device.ConnectAsync());
                }
                catch (Exception error) when (error is IOException or SocketException)
                {
                    // Over the limit.
                }
            }

            Assert.InRange(clients.Count, 8, More - 1);
            foreach (NbdTestClient client in clients)
            {
                Assert.Equal(0u, await client.ReadAsync(0, new byte[Unit]));
            }
        }
        finally
        {
            clients.ForEach(client => client.Dispose());
        }

        await AssertStillServesAsync(device);
    }

    /// <summary>
    /// Connections of all kinds of ends: polite, without a word, in the middle of a request.
    /// </summary>
    private static async Task ComeAndGoAsync(DeviceUnderTest device, int count)
    {
        for (int i = 0; i < count; i++)
        {
            using NbdTestClient client = await device.ConnectAsync();
            Assert.Equal(0u, await client.ReadAsync(0, new byte[Unit]));
            switch (i % 3)
            {
                case 0:
                    await client.DisconnectAsync();
                    break;
                case 1:
                    await client.SendAsync(NbdTestClient.Request(NbdTestClient.CommandWrite, 0, 1, 0, Unit));
                    break;
                default:
                    break;
            }
        }
    }

    private static async Task AssertStillServesAsync(DeviceUnderTest device)
    {
        Assert.False(device.Server.HasEnded, device.Server.Said);
        using NbdTestClient client = await device.ConnectAsync();
        byte[] content = Content.Of(Unit, version: 77);
        byte[] read = new byte[Unit];
        Assert.Equal(0u, await client.WriteAsync(Bytes - Unit, content, NbdTestClient.FlagFua));
        Assert.Equal(0u, await client.ReadAsync(Bytes - Unit, read));
        Content.AssertEqual(content, read, "the last unit");
        await client.DisconnectAsync();
    }

    private static int Descriptors(DeviceUnderTest device) =>
        Directory.EnumerateFileSystemEntries($"/proc/{device.Server.Id}/fd").Count();

    private static long ResidentKiB(DeviceUnderTest device)
    {
        string line = File.ReadLines($"/proc/{device.Server.Id}/status")
            .First(text => text.StartsWith("VmRSS:", StringComparison.Ordinal));
        string number = string.Concat(line.Where(char.IsAsciiDigit));
        return long.Parse(number, CultureInfo.InvariantCulture);
    }
}
