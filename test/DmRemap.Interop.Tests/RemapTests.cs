using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>What is where after sectors failed: right to the byte, through the real program.</summary>
public sealed class RemapTests
{
    private const int Unit = DeviceUnderTest.UnitBytes;
    private const long MiB = DeviceUnderTest.MiB;

    // Runs of units that fail every write: single units, neighbours, a long run, and parts of units.
    private static readonly string[] s_runs =
        ["1024-1031 write", "1048-1079 write", "2049-2050 write", "2560-3071 write", "4096-4103 write",
            "4112-4119 write"];

    [Fact]
    public async Task Requests_of_512_bytes_to_1_MiB_overlapping_remapped_runs_are_right_to_the_byte()
    {
        byte[] model = Content.Of(4 * MiB);
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(model, s_runs);
        using NbdTestClient client = await device.ConnectAsync();
        await WriteAllAsync(client, model, version: 2);
        Assert.NotEqual(0, await device.StatusNumberAsync("remaps"));
        long version = 3;
        foreach (long edge in Edges())
        {
            for (int size = 512; size <= MiB; size *= 2)
            {
                // The edge at the request's end, in its middle, and at its start.
                foreach (long start in new[] { edge - size, edge - size / 2 / 512 * 512, edge })
                {
                    await OverwriteAndReadAsync(client, model, start, size, version++);
                }
            }
        }

        await AssertContentAsync(client, model);
        await device.StopAsync();
        await device.ServeAsync(s_runs);
        using NbdTestClient again = await device.ConnectAsync();
        await AssertContentAsync(again, model);
    }

    [Fact]
    public async Task A_write_of_512_bytes_into_a_failing_unit_keeps_its_seven_neighbours()
    {
        byte[] model = Content.Of(MiB);
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(model, "803-803 write");
        using NbdTestClient client = await device.ConnectAsync();
        Content.Fill(model.AsSpan(803 * 512, 512), 803 * 512, 2);
        Assert.Equal(0u, await client.WriteAsync(803 * 512, model.AsMemory(803 * 512, 512)));
        await AssertContentAsync(client, model);
        Assert.Equal(1, await device.StatusNumberAsync("remaps"));
        await device.StopAsync();
        await device.ServeAsync("803-803 write");
        using NbdTestClient again = await device.ConnectAsync();
        await AssertContentAsync(again, model);
    }

    [Fact]
    public async Task A_sector_that_cannot_be_read_is_an_error_until_it_is_written_and_never_zeros()
    {
        byte[] model = Content.Of(MiB);
        string[] faults = ["1000-1000 read"];
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(model, faults);
        using NbdTestClient client = await device.ConnectAsync();
        byte[] unit = new byte[Unit];
        Assert.Equal(NbdTestClient.ErrorIo, await client.ReadAsync(1000 * 512, unit));
        // The physical sector of the image has 4096 bytes: its eight blocks fail together, the next ones
        // read.
        Assert.Equal(NbdTestClient.ErrorIo, await client.ReadAsync(1007 * 512, new byte[512]));
        byte[] neighbour = new byte[512];
        Assert.Equal(0u, await client.ReadAsync(1008 * 512, neighbour));
        Content.AssertEqual(model.AsSpan(1008 * 512, 512), neighbour, "block 1008");

        // One block written: that one reads, the other seven are still lost.
        Content.Fill(model.AsSpan(1000 * 512, Unit), 1000 * 512, 2);
        Assert.Equal(0u, await client.WriteAsync(1000 * 512, model.AsMemory(1000 * 512, 512)));
        Assert.Equal(0u, await client.ReadAsync(1000 * 512, neighbour));
        Content.AssertEqual(model.AsSpan(1000 * 512, 512), neighbour, "block 1000");
        Assert.Equal(NbdTestClient.ErrorIo, await client.ReadAsync(1001 * 512, new byte[512]));
        Assert.Equal(0u, await client.WriteAsync(1001 * 512, model.AsMemory(1001 * 512, 7 * 512)));
        await AssertContentAsync(client, model);
        await device.KillAsync();
        await device.ServeAsync(faults);
        using NbdTestClient again = await device.ConnectAsync();
        await AssertContentAsync(again, model);
    }

    [Fact]
    public async Task Errors_on_many_sectors_at_once_take_exactly_one_spare_unit_each()
    {
        const int Bad = 200;
        byte[] model = Content.Of(8 * MiB);
        // One bad sector in every tenth unit, each at another place of its unit.
        string[] faults =
            [.. Enumerable.Range(0, Bad).Select(i => $"{i * 80 + i % 8}-{i * 80 + i % 8} write")];
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(model, faults);
        // Eight clients over the same units, so that many fail at the same moment, and each more than once.
        await Task.WhenAll(Enumerable.Range(0, 8).Select(i => WriteUnitsAsync(device, model, Bad, i)));
        Assert.Equal(Bad, await device.StatusNumberAsync("remaps"));
        Assert.Equal(Bad, await device.SpareUnitsUsedAsync());
        using NbdTestClient client = await device.ConnectAsync();
        await AssertContentAsync(client, model);
    }

    [Fact]
    public async Task New_remaps_after_a_restart_never_take_spare_units_that_are_in_use()
    {
        byte[] model = Content.Of(4 * MiB);
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(model);
        for (int round = 0; round < 5; round++)
        {
            string first = (round * 320).ToString(CultureInfo.InvariantCulture);
            (await device.RunAsync("remap", DeviceUnderTest.Name, $"{first}-{round * 320 + 159}")).Expect(0);
            using (NbdTestClient client = await device.ConnectAsync())
            {
                byte[] part = Content.Of(160 * 512, version: round + 2);
                part.CopyTo(model.AsSpan(round * 320 * 512));
                Assert.Equal(0u, await client.WriteAsync(round * 320 * 512, part));
                await AssertContentAsync(client, model);
            }

            await device.StopAsync();
            await device.ServeAsync();
            Assert.Equal((round + 1) * 20, await device.SpareUnitsUsedAsync());
        }

        using NbdTestClient last = await device.ConnectAsync();
        await AssertContentAsync(last, model);
    }

    [Fact]
    public async Task A_spare_that_is_used_to_the_last_unit_still_holds_its_metadata()
    {
        byte[] model = Content.Of(32 * MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(model, 16 * MiB);
        await device.CreateAsync();
        await device.ServeAsync();
        // 8,192 units onto a spare of at most 4,096: refused before the first one moves.
        long free = await device.StatusNumberAsync("spares", "units", "free");
        Assert.InRange(free, 1, 4096);
        (await device.RunAsync("remap", DeviceUnderTest.Name, "0-65535")).Expect(5);
        Assert.Equal(free, await device.StatusNumberAsync("spares", "units", "free"));

        // To the last unit; one more must end in a plain refusal, not in the spare's own metadata.
        (await device.RunAsync("remap", DeviceUnderTest.Name, $"0-{(free * 8) - 1}")).Expect(0);
        Assert.Equal(0, await device.StatusNumberAsync("spares", "units", "free"));
        string refused = (await device.RunAsync("remap", DeviceUnderTest.Name, "65535")).Expect(5).Error;
        Assert.Contains("[DMR-REMAP-NO-ROOM]", refused, StringComparison.Ordinal);
        long used = await device.SpareUnitsUsedAsync();
        Assert.Equal(free, used);
        await device.StopAsync();
        await device.ServeAsync();
        Assert.Equal(used, await device.SpareUnitsUsedAsync());
        using NbdTestClient client = await device.ConnectAsync();
        await WriteAllAsync(client, model, version: 2);
        await AssertContentAsync(client, model);
    }

    [Fact]
    public async Task Read_errors_that_appear_under_load_are_confined_to_the_sectors_that_have_them()
    {
        byte[] model = Content.Of(4 * MiB);
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(model);
        Task<HashSet<long>[]> load =
            Task.WhenAll(Enumerable.Range(0, 4).Select(i => ReadBlocksAsync(device, model, i)));
        List<long> bad = [];
        for (int i = 0; i < 5; i++)
        {
            long first = 500 + i * 1200;
            bad.AddRange(Enumerable.Range(0, 10).Select(k => first + k));
            await device.AddFaultAsync($"{first}-{first + 9} read");
        }

        // The eight blocks of a physical one fail together, once the neighbourhood has been probed.
        HashSet<long> physical = [.. bad.Select(number => number / 8)];
        foreach (HashSet<long> failed in await load)
        {
            Assert.DoesNotContain(failed, number => !physical.Contains(number / 8));
        }

        // Now for certain: what is bad fails, what is not reads right.
        using NbdTestClient client = await device.ConnectAsync();
        byte[] block = new byte[512];
        foreach (long number in bad)
        {
            Assert.Equal(NbdTestClient.ErrorIo, await client.ReadAsync(number * 512, block));
        }
    }

    private static IEnumerable<long> Edges() =>
        [1024 * 512, 1032 * 512, 1080 * 512, 2049 * 512, 2816 * 512, 4108 * 512];

    private static async Task OverwriteAndReadAsync(
        NbdTestClient client, byte[] model, long start, int size, long version)
    {
        long begin = Math.Clamp(start, 0, model.Length - size);
        Memory<byte> part = model.AsMemory((int)begin, size);
        Content.Fill(part.Span, begin, version);
        Assert.Equal(0u, await client.WriteAsync(begin, part));
        // One block more on either side: a request must not touch its neighbours.
        long from = Math.Max(0, begin - 512);
        byte[] read = new byte[Math.Min(model.Length, begin + size + 512) - from];
        Assert.Equal(0u, await client.ReadAsync(from, read));
        Content.AssertEqual(model.AsSpan((int)from, read.Length), read, $"{size} bytes at {begin}");
    }

    private static async Task WriteUnitsAsync(DeviceUnderTest device, byte[] model, int units, int salt)
    {
        using NbdTestClient client = await device.ConnectAsync();
        for (int i = 0; i < units; i++)
        {
            int offset = (i + salt * 25) % units * 10 * Unit;
            Assert.Equal(0u, await client.WriteAsync(offset, model.AsMemory(offset, Unit)));
        }
    }

    /// <summary>Reads random single blocks; gives the numbers of those that failed.</summary>
    private static async Task<HashSet<long>> ReadBlocksAsync(DeviceUnderTest device, byte[] model, int seed)
    {
        using NbdTestClient client = await device.ConnectAsync();
        Random random = new(seed);
        HashSet<long> failed = [];
        byte[] block = new byte[512];
        for (int i = 0; i < 4000; i++)
        {
            long number = random.Next(0, model.Length / 512);
            uint error = await client.ReadAsync(number * 512, block);
            if (error == 0)
            {
                Content.AssertEqual(model.AsSpan((int)number * 512, 512), block,
                    $"seed {seed}, block {number}");
            }
            else
            {
                Assert.Equal(NbdTestClient.ErrorIo, error);
                failed.Add(number);
            }
        }

        return failed;
    }

    private static async Task WriteAllAsync(NbdTestClient client, byte[] model, long version)
    {
        Content.Fill(model, 0, version);
        for (int offset = 0; offset < model.Length; offset += (int)MiB)
        {
            Assert.Equal(0u, await client.WriteAsync(offset, model.AsMemory(offset, (int)MiB)));
        }
    }

    private static async Task AssertContentAsync(NbdTestClient client, byte[] model)
    {
        byte[] all = new byte[model.Length];
        for (int offset = 0; offset < all.Length; offset += (int)MiB)
        {
            Assert.Equal(0u, await client.ReadAsync(offset, all.AsMemory(offset, (int)MiB)));
        }

        Content.AssertEqual(model, all, "the whole device");
    }
}
