using System;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Devices;
using DmRemap.Tests.Linux;
using Xunit;

namespace DmRemap.Tests.Devices;

/// <summary>Files that the loop's thread copies from and to.</summary>
public abstract partial class LinuxFileContract
{
    [Fact]
    public void Short_transfers_in_memory_are_copies_and_others_are_the_kernels()
    {
        byte[] image = MakeImage(Blocks, 1);
        LinuxFile device = OpenImage(CacheMode.InMemory);
        BufferSlice block = AlignedMemory.Allocate(BlockBytes);
        block.Span.Fill(9);
        Assert.Equal(IoStatus.Ok, Do(device, IoOperation.Write, 3, 1, block).Status);
        IoRequest read = Do(device, IoOperation.Read, 3, 1, block);
        Assert.Equal((IoStatus.Ok, 9), (read.Status, block.Span[BlockBytes - 1]));
        Assert.True(read.Elapsed > Duration.Zero);
        Assert.Equal(0, device.Operations.Completed);
        BufferSlice longer = AlignedMemory.Allocate(Limits.LoopCopyBytesMax + BlockBytes);
        long blocks = longer.Length / BlockBytes;
        Assert.Equal(IoStatus.Ok, Do(device, IoOperation.Read, 4, blocks, longer).Status);
        Assert.True(longer.Span.SequenceEqual(image.AsSpan(4 * BlockBytes, longer.Length)));
        Assert.Equal(1, device.Operations.Completed);
    }

    [Fact]
    public void Write_in_memory_beside_a_zeroing_waits_where_that_does()
    {
        MakeImage(Blocks, 1);
        LinuxFile device = OpenImage(CacheMode.InMemory);
        Assert.Equal(IoStatus.Ok, Do(device, IoOperation.WriteZeroes, 0, 8, default).Status);
        long ofZeroing = device.Operations.Completed;
        using ManualResetEventSlim done = new();
        Counting owner = new(2, done);
        BufferSlice block = AlignedMemory.Allocate(BlockBytes);
        block.Span.Fill(9);
        _runner.Call(() =>
        {
            IoRequest zeroing = new();
            zeroing.Prepare(owner, IoOperation.WriteZeroes, At(0, 8), default);
            device.Submit(zeroing);
            IoRequest write = new();
            write.Prepare(owner, IoOperation.Write, At(8, 1), block);
            device.Submit(write);
        });
        LoopRunner.Wait(done, "both");
        Assert.Equal((2 * ofZeroing) + 1, device.Operations.Completed);
    }
}
