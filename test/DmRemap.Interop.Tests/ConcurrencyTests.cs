using System;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>Several hands on one unit.</summary>
public sealed class ConcurrencyTests
{
    private const int Unit = DeviceUnderTest.UnitBytes;
    private const int Block = 512;
    private const int BlocksPerUnit = Unit / Block;
    private const int BadUnits = 16;
    private const int FirstBadUnit = 32;

    [Fact]
    public async Task Concurrent_parts_of_one_failing_unit_are_all_kept()
    {
        byte[] model = Content.Of(DeviceUnderTest.MiB);
        int firstSector = FirstBadUnit * BlocksPerUnit;
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(
            model, $"{firstSector}-{firstSector + BadUnits * BlocksPerUnit - 1} write");
        // Eight writers, each with its own block of every unit: they meet in the same redirection.
        await Task.WhenAll(
            Enumerable.Range(0, BlocksPerUnit).Select(i => WriteBlocksAsync(device, model, i)));
        await AssertContentAsync(device, model);
        Assert.Equal(BadUnits, await device.SpareUnitsUsedAsync());
    }

    [Fact]
    public async Task A_remap_by_hand_under_load_loses_no_write()
    {
        byte[] model = Content.Of(DeviceUnderTest.MiB);
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(model);
        using CancellationTokenSource end = new();
        Task[] load = [.. Enumerable.Range(0, 4).Select(i => OverwriteAsync(device, model, i, end.Token))];
        for (int first = 0; first < 2048; first += 256)
        {
            (await device.RunAsync("remap", DeviceUnderTest.Name, $"{first}-{first + 255}")).Expect(0);
        }

        await end.CancelAsync();
        await Task.WhenAll(load);
        Assert.Equal(256, await device.StatusNumberAsync("remaps"));
        await AssertContentAsync(device, model);
        await device.KillAsync();
        await device.ServeAsync();
        await AssertContentAsync(device, model);
    }

    private static async Task WriteBlocksAsync(DeviceUnderTest device, byte[] model, int index)
    {
        using NbdTestClient client = await device.ConnectAsync();
        for (int unit = FirstBadUnit; unit < FirstBadUnit + BadUnits; unit++)
        {
            int offset = unit * Unit + index * Block;
            Content.Fill(model.AsSpan(offset, Block), offset, index + 2);
            Assert.Equal(0u, await client.WriteAsync(offset, model.AsMemory(offset, Block)));
        }
    }

    /// <summary>New content for random units of one's own (every fourth), until told to end.</summary>
    private static async Task OverwriteAsync(
        DeviceUnderTest device, byte[] model, int writer, CancellationToken end)
    {
        using NbdTestClient client = await device.ConnectAsync();
        Random random = new(writer);
        for (long version = 2; !end.IsCancellationRequested; version++)
        {
            int offset = (random.Next(0, model.Length / Unit / 4) * 4 + writer) * Unit;
            Content.Fill(model.AsSpan(offset, Unit), offset, version * 4 + writer);
            Assert.Equal(0u, await client.WriteAsync(offset, model.AsMemory(offset, Unit)));
        }
    }

    private static async Task AssertContentAsync(DeviceUnderTest device, byte[] model)
    {
        using NbdTestClient client = await device.ConnectAsync();
        byte[] all = new byte[model.Length];
        Assert.Equal(0u, await client.ReadAsync(0, all));
        Content.AssertEqual(model, all, "the whole device");
    }
}
