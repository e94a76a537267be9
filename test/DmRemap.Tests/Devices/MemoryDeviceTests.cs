using System;
using DmRemap.Core.Abstractions;
using DmRemap.Devices;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Devices;

public sealed class MemoryDeviceTests
{
    private readonly SimulatedLoop _loop = new();

    [Theory]
    [InlineData(512, 1)]
    [InlineData(4096, 2)]
    public void Random_requests_agree_with_a_byte_array_also_across_pieces(int blockBytes, int seed)
    {
        const int Bytes = 33 * 1024 * 1024;
        Random random = new(seed);
        MemoryDevice device = new(_loop, MakeGeometry(Bytes / blockBytes, blockBytes));
        byte[] model = new byte[Bytes];
        BufferSlice memory = AlignedMemory.Allocate(Limits.SliceBytes);
        for (int step = 0; step < 2_000; step++)
        {
            int blocks = random.Next(1, (Limits.SliceBytes / blockBytes) + 1);
            // Near the two seams more often than elsewhere.
            long seam = (random.Next(3) << 24) / blockBytes;
            long start = Math.Clamp(seam + random.Next(-300, 300), 0, (Bytes / blockBytes) - blocks);
            Span<byte> place = model.AsSpan((int)start * blockBytes, blocks * blockBytes);
            IoOperation operation = (IoOperation)random.Next(1, 6);
            BufferSlice buffer = operation is IoOperation.Read or IoOperation.Write
                ? memory.Slice(0, blocks * blockBytes)
                : default;
            if (operation == IoOperation.Write)
            {
                random.NextBytes(buffer.Span);
                buffer.Span.CopyTo(place);
            }
            else if (operation is IoOperation.WriteZeroes or IoOperation.Discard)
            {
                place.Clear();
            }
            IoRequest request = Do(device, operation, start, blocks, buffer);
            Assert.True(request.Status == IoStatus.Ok, $"seed={seed} step={step}");
            bool isEqual = operation != IoOperation.Read || buffer.Span.SequenceEqual(place);
            Assert.True(isEqual, $"seed={seed} step={step}");
        }
    }

    [Fact]
    public void Requests_outside_or_malformed_are_invalid()
    {
        MemoryDevice device = new(_loop, MakeGeometry(8, 512));
        BufferSlice block = AlignedMemory.Allocate(512);
        Assert.Equal(IoStatus.Invalid, Do(device, IoOperation.Read, 8, 1, block).Status);
        Assert.Equal(IoStatus.Invalid, Do(device, IoOperation.Write, long.MaxValue, 1, block).Status);
        Assert.Equal(IoStatus.Invalid, Do(device, IoOperation.Read, 0, 2, block).Status);
        Assert.Equal(IoStatus.Ok, Do(device, IoOperation.Read, 8, 0, default).Status);
    }

    [Fact]
    public void Completion_is_never_delivered_from_inside_submit()
    {
        MemoryDevice device = new(_loop, MakeGeometry(8, 512));
        Recorder owner = new();
        IoRequest request = new();
        request.Prepare(owner, IoOperation.Flush, default, default);
        device.Submit(request);
        Assert.Equal(0, owner.Completions);
        _loop.RunUntilIdle();
        Assert.Equal(1, owner.Completions);
    }

    [Fact]
    public void Steady_io_allocates_nothing()
    {
        MemoryDevice device = new(_loop, MakeGeometry(8, 4096));
        BufferSlice block = AlignedMemory.Allocate(4096);
        Recorder owner = new();
        IoRequest request = new();
        Allocations.AssertNone(() =>
        {
            for (int i = 0; i < 10_000; i++)
            {
                IoOperation operation = (i & 1) == 0 ? IoOperation.Read : IoOperation.Write;
                request.Prepare(owner, operation, At(i & 7, 1), block);
                device.Submit(request);
                _loop.RunUntilIdle();
            }
        });
    }

    internal static DeviceGeometry MakeGeometry(long blocks, int blockBytes) => new()
    {
        LogicalBlockSize = new BlockSize(blockBytes),
        PhysicalBlockBytes = 4096,
        Blocks = new BlockCount(blocks),
        CanDiscard = true,
        CanWriteZeroes = true,
    };

    private static Extent At(long start, long count) => new(new BlockNumber(start), new BlockCount(count));

    private IoRequest Do(
        MemoryDevice device, IoOperation operation, long start, long count, BufferSlice buffer)
    {
        IoRequest request = new();
        request.Prepare(new Recorder(), operation, At(start, count), buffer);
        device.Submit(request);
        _loop.RunUntilIdle();
        Assert.False(request.IsSubmitted);
        return request;
    }

    private sealed class Recorder : IIoOwner
    {
        public int Completions { get; private set; }

        public void OnCompleted(IoRequest request) => Completions++;
    }
}
