using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;
using DmRemap.Devices;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Devices;

public sealed class FaultInjectingTests : IDisposable
{
    private readonly SimulatedLoop _loop = new();
    private readonly MemoryDevice _memory;
    private readonly FaultInjecting _device;

    public FaultInjectingTests()
    {
        _memory = new MemoryDevice(_loop, MemoryDeviceTests.MakeGeometry(64, 4096));
        _device = new FaultInjecting(_loop, _memory);
    }

    public void Dispose() => _memory.Dispose();

    [Fact]
    public void Failing_write_writes_nothing_and_says_its_errno()
    {
        Add("9 write errno=ENODATA");
        BufferSlice buffer = AlignedMemory.Allocate(8192);
        buffer.Span.Fill(7);
        // Sector 9 lies in block 1: the request begins before it.
        IoRequest write = Do(IoOperation.Write, 0, 2, buffer);
        Assert.Equal((IoStatus.DeviceError, 61), (write.Status, write.Errno));
        Assert.Equal(0, write.Failed.Count);
        Assert.Equal(IoStatus.Ok, Do(IoOperation.Read, 0, 2, buffer).Status);
        Assert.Equal(-1, buffer.Span.IndexOfAnyExcept((byte)0));
        Assert.Equal(1, _device.InjectedErrors);
    }

    [Fact]
    public void Failing_read_leaves_the_buffer_and_a_smaller_read_beside_it_succeeds()
    {
        Add("8-15 read");
        BufferSlice buffer = AlignedMemory.Allocate(12_288);
        buffer.Span.Fill(7);
        Assert.Equal(IoStatus.DeviceError, Do(IoOperation.Read, 0, 3, buffer).Status);
        Assert.Equal(-1, buffer.Span.IndexOfAnyExcept((byte)7));
        Assert.Equal(IoStatus.Ok, Do(IoOperation.Read, 0, 1, buffer.Slice(0, 4096)).Status);
        Assert.Equal(IoStatus.DeviceError, Do(IoOperation.Read, 1, 1, buffer.Slice(0, 4096)).Status);
        Assert.Equal(IoStatus.Ok, Do(IoOperation.Read, 2, 1, buffer.Slice(0, 4096)).Status);
    }

    [Fact]
    public void Zeroing_and_discarding_count_as_writes_and_a_flush_as_nothing()
    {
        Add("0-511 write");
        Assert.Equal(IoStatus.DeviceError, Do(IoOperation.WriteZeroes, 0, 1, default).Status);
        Assert.Equal(IoStatus.DeviceError, Do(IoOperation.Discard, 0, 1, default).Status);
        Assert.Equal(IoStatus.Ok, Do(IoOperation.Flush, 0, 0, default).Status);
    }

    [Fact]
    public void Delay_is_waited_for_and_counts_as_time_at_the_device()
    {
        Add("0 read delay=250");
        Instant start = _loop.Now;
        IoRequest failed = Do(IoOperation.Read, 0, 1, AlignedMemory.Allocate(4096));
        Assert.Equal((IoStatus.DeviceError, 5), (failed.Status, failed.Errno));
        Assert.Equal(Duration.FromMilliseconds(250), _loop.Now - start);
        Assert.Equal(Duration.FromMilliseconds(250), failed.Elapsed);
    }

    [Fact]
    public void Slow_sectors_give_their_data_late_each_request_by_itself()
    {
        Add("0-511 both errno=OK delay=100");
        BufferSlice first = AlignedMemory.Allocate(4096);
        BufferSlice second = AlignedMemory.Allocate(4096);
        first.Span.Fill(1);
        second.Span.Fill(2);
        Recorder owner = new();
        IoRequest[] requests = [new(), new()];
        requests[0].Prepare(owner, IoOperation.Write, At(0, 1), first);
        requests[1].Prepare(owner, IoOperation.Write, At(1, 1), second);
        Instant start = _loop.Now;
        _device.Submit(requests[0]);
        _device.Submit(requests[1]);
        _loop.RunUntilIdle();
        Assert.Equal([IoStatus.Ok, IoStatus.Ok], owner.Statuses);
        Assert.Equal(Duration.FromMilliseconds(100), _loop.Now - start);
        Assert.Equal(Duration.FromMilliseconds(100), requests[1].Elapsed);
        _device.Clear();
        BufferSlice both = AlignedMemory.Allocate(8192);
        Assert.Equal(IoStatus.Ok, Do(IoOperation.Read, 0, 2, both).Status);
        Assert.Equal(1, both.Span[0]);
        Assert.Equal(2, both.Span[4096]);
        Assert.Equal(0, _device.InjectedErrors);
    }

    [Fact]
    public void Weak_sector_reads_after_its_tries()
    {
        Add("0 read tries=2");
        BufferSlice buffer = AlignedMemory.Allocate(4096);
        List<IoStatus> statuses = [];
        for (int i = 0; i < 4; i++)
        {
            statuses.Add(Do(IoOperation.Read, 0, 1, buffer).Status);
        }
        Assert.Equal([IoStatus.DeviceError, IoStatus.DeviceError, IoStatus.Ok, IoStatus.Ok], statuses);
    }

    [Fact]
    public void Request_outside_the_device_is_refused_by_the_device_and_not_by_a_rule()
    {
        Add("0-9999 both");
        Assert.Equal(IoStatus.Invalid, Do(IoOperation.Read, 64, 1, AlignedMemory.Allocate(4096)).Status);
        Assert.Equal(IoStatus.Invalid, Do(IoOperation.WriteZeroes, 0, long.MaxValue, default).Status);
        Assert.Equal(0, _device.InjectedErrors);
    }

    [Fact]
    public void Failure_is_not_delivered_from_inside_submit()
    {
        Add("0 read");
        Recorder owner = new();
        IoRequest request = new();
        request.Prepare(owner, IoOperation.Read, At(0, 1), AlignedMemory.Allocate(4096));
        _device.Submit(request);
        Assert.Empty(owner.Statuses);
        _loop.RunUntilIdle();
        Assert.Single(owner.Statuses);
    }

    [Theory]
    [InlineData("400 read")]
    [InlineData("0 write")]
    public void Requests_that_no_rule_is_about_allocate_nothing(string rule)
    {
        Add(rule);
        BufferSlice block = AlignedMemory.Allocate(4096);
        Recorder owner = new(keeps: false);
        IoRequest request = new();
        Allocations.AssertNone(() =>
        {
            for (int i = 0; i < 10_000; i++)
            {
                request.Prepare(owner, IoOperation.Read, At(i & 7, 1), block);
                _device.Submit(request);
                _loop.RunUntilIdle();
            }
        });
    }

    [Fact]
    public void Requests_that_are_held_back_count_as_outstanding_since_they_came()
    {
        Add("8-15 read delay=5000");
        Assert.False(_device.TryGetOldest(out _));
        Instant came = _loop.Now;
        IoRequest request = new();
        request.Prepare(new Recorder(), IoOperation.Read, At(1, 1), AlignedMemory.Allocate(4096));
        _device.Submit(request);
        _loop.RunFor(Duration.FromSeconds(3));
        Assert.Equal(1, _device.InFlight);
        Assert.True(_device.TryGetOldest(out Instant oldest));
        Assert.Equal(came, oldest);
        _loop.RunUntilIdle();
        Assert.Equal(0, _device.InFlight);
        Assert.False(_device.TryGetOldest(out _));
    }

    private static Extent At(long start, long count) => new(new BlockNumber(start), new BlockCount(count));

    private void Add(string line) => Assert.True(_device.TryAdd(Assert.Single(FaultRules.Parse(line).Rules)));

    private IoRequest Do(IoOperation operation, long start, long count, BufferSlice buffer)
    {
        IoRequest request = new();
        request.Prepare(new Recorder(), operation, At(start, count), buffer);
        _device.Submit(request);
        _loop.RunUntilIdle();
        Assert.False(request.IsSubmitted);
        return request;
    }

    private sealed class Recorder(bool keeps = true) : IIoOwner
    {
        public List<IoStatus> Statuses { get; } = [];

        public void OnCompleted(IoRequest request)
        {
            if (keeps)
            {
                Statuses.Add(request.Status);
            }
        }
    }
}
