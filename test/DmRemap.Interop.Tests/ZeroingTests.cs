using System;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>TRIM and WRITE_ZEROES over healthy, remapped and lost blocks.</summary>
public sealed class ZeroingTests
{
    private const int Bytes = (int)DeviceUnderTest.MiB;
    private const int LostBlock = 1200;
    private const int RemappedBlock = 800;
    private const int RemappedBlocks = 64;

    // What fails to be written moves to the spare; what fails to be read is lost.
    private static readonly string[] s_faults = ["800-863 write", "1200-1200 read"];

    [Fact]
    public async Task Zeroes_over_the_whole_device_read_as_zeros_also_where_content_was_lost()
    {
        await using DeviceUnderTest device = await StartAsync();
        using NbdTestClient client = await device.ConnectAsync();
        Assert.Equal(0u, await client.AskAsync(NbdTestClient.CommandWriteZeroes, 0, 0, Bytes, default));
        byte[] read = new byte[Bytes];
        Assert.Equal(0u, await client.ReadAsync(0, read));
        Content.AssertEqual(new byte[Bytes], read, "the whole device");
        await device.KillAsync();
        await device.ServeAsync(s_faults);
        using NbdTestClient again = await device.ConnectAsync();
        Assert.Equal(0u, await again.ReadAsync(0, read));
        Content.AssertEqual(new byte[Bytes], read, "the whole device, after a kill");
    }

    [Fact]
    public async Task A_trim_leaves_lost_blocks_lost_and_brings_back_nothing_old()
    {
        await using DeviceUnderTest device = await StartAsync();
        using NbdTestClient client = await device.ConnectAsync();
        byte[] before = new byte[RemappedBlocks * 512];
        Assert.Equal(0u, await client.ReadAsync(RemappedBlock * 512, before));
        // ENOTSUP is an answer; success must mean: the old content, or zeros, and never the primary's of
        // before.
        await client.AskAsync(NbdTestClient.CommandTrim, 0, 0, Bytes, default);
        byte[] after = new byte[before.Length];
        Assert.Equal(0u, await client.ReadAsync(RemappedBlock * 512, after));
        for (int block = 0; block < RemappedBlocks; block++)
        {
            ReadOnlySpan<byte> now = after.AsSpan(block * 512, 512);
            Assert.True(
                now.SequenceEqual(before.AsSpan(block * 512, 512)) || !now.ContainsAnyExcept((byte)0),
                $"block {RemappedBlock + block} is neither what it was nor zeros");
        }

        Assert.Equal(NbdTestClient.ErrorIo, await client.ReadAsync(LostBlock * 512, new byte[512]));
    }

    /// <summary>Served, with one run on the spare holding new content, and one block lost for good.</summary>
    private static async Task<DeviceUnderTest> StartAsync()
    {
        DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(Bytes), s_faults);
        using NbdTestClient client = await device.ConnectAsync();
        byte[] newer = Content.Of(RemappedBlocks * 512, version: 2);
        Assert.Equal(0u, await client.WriteAsync(RemappedBlock * 512, newer));
        foreach (int _ in Enumerable.Range(0, 5))
        {
            Assert.Equal(NbdTestClient.ErrorIo, await client.ReadAsync(LostBlock * 512, new byte[512]));
        }

        return device;
    }
}
