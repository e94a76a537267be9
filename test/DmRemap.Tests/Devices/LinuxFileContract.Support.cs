using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.CompilerServices;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Devices;
using DmRemap.Linux.Loop;
using DmRemap.Tests.Linux;
using DmRemap.Tests.Support;
using Microsoft.Win32.SafeHandles;
using Xunit;

namespace DmRemap.Tests.Devices;

/// <summary>What the tests of files on the ring share.</summary>
public abstract partial class LinuxFileContract
{
    /// <summary>A loop that has ended with one read outstanding; nothing else knows its buffer.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private WeakReference Abandon(SafeFileHandle fifo)
    {
        byte[] memory = GC.AllocateArray<byte>(BlockBytes, pinned: true);
        using ManualResetEventSlim submitted = new();
        KernelLoop loop = LoopRunner.Make(backend: backend);
        loop.Start(started =>
        {
            LinuxFile device = new(
                started, fifo, MakeGeometry(), Options(CacheMode.PageCache) with { MemoryAlignment = 1 });
            Submit(device, new IoRequest(), IoOperation.Read, 0, 1, new BufferSlice(memory, 0, BlockBytes),
                new Counting(1, submitted));
        });
        // In a later turn than the read was handed over at the end of.
        Assert.True(loop.Post(new LoopRunner.Message(submitted.Set)));
        LoopRunner.Wait(submitted, "the message");
        loop.Stop();
        Assert.True(loop.Join(LoopRunner.Patience));
        Assert.Equal(1, loop.OutstandingOperations);
        loop.Dispose();
        return new WeakReference(memory);
    }

    private static void Submit(
        LinuxFile device, IoRequest request, IoOperation operation, long start, long count,
        BufferSlice buffer, IIoOwner owner, IoFlags flags = IoFlags.None)
    {
        request.Prepare(owner, operation, At(start, count), buffer, flags);
        device.Submit(request);
    }

    private static (IoRequest Request, byte[]? Expected) PrepareRandom(Random random, byte[] model, int block,
        int count)
    {
        Span<byte> place = model.AsSpan(block * BlockBytes, count * BlockBytes);
        IoRequest request = new();
        IoOperation operation = (IoOperation)random.Next(1, 6);
        if (operation == IoOperation.Flush)
        {
            operation = IoOperation.Read;
        }
        bool isTransfer = operation is IoOperation.Read or IoOperation.Write;
        BufferSlice buffer = isTransfer ? AlignedMemory.Allocate(count * BlockBytes) : default;
        byte[]? expected = operation == IoOperation.Read ? place.ToArray() : null;
        if (operation == IoOperation.Write)
        {
            random.NextBytes(buffer.Span);
            buffer.Span.CopyTo(place);
        }
        else if (!isTransfer)
        {
            place.Clear();
        }
        // Few are forced: each of those waits for the disk.
        IoFlags flags = random.Next(16) == 0 ? IoFlags.ForceUnitAccess : (IoFlags)(2 * random.Next(2));
        request.Prepare(new Counting(0, null!), operation, At(block, count), buffer, flags);
        return (request, expected);
    }

    private byte[] MakeImage(int blocks, int seed)
    {
        byte[] image = new byte[blocks * BlockBytes];
        new Random(seed).NextBytes(image);
        File.WriteAllBytes(ImagePath, image);
        return image;
    }

    private LinuxFile OpenImage(CacheMode mode, Func<DeviceGeometry, DeviceGeometry>? change = null) => Open(
        mode == CacheMode.Direct
            ? TestFile.OpenDirect(ImagePath)
            : File.OpenHandle(ImagePath, FileMode.Open, FileAccess.ReadWrite),
        mode,
        change ?? (geometry => geometry));

    private LinuxFile Open(SafeFileHandle file, CacheMode mode, Func<DeviceGeometry, DeviceGeometry> change)
    {
        LinuxFile device =
            _runner.Call(() => new LinuxFile(_runner.Loop, file, change(MakeGeometry()), Options(mode)));
        _devices.Add(device);
        return device;
    }

    private IoRequest Do(
        LinuxFile device, IoOperation operation, long start, long count, BufferSlice buffer,
        IoFlags flags = IoFlags.None) =>
        _runner.Do(device, operation, At(start, count), buffer, flags);

    private void Batch(LinuxFile device, List<(IoRequest Request, byte[]? Expected)> batch)
    {
        using ManualResetEventSlim done = new();
        Counting owner = new(batch.Count, done);
        _runner.Call(() =>
        {
            foreach ((IoRequest request, byte[]? _) in batch)
            {
                request.Prepare(owner, request.Operation, request.Extent, request.Buffer, request.Flags);
                device.Submit(request);
            }
        });
        LoopRunner.Wait(done, "the batch");
    }

    private sealed class Counting(int expected, ManualResetEventSlim done) : IIoOwner
    {
        private int _completed;

        public int Ok { get; private set; }

        public void OnCompleted(IoRequest request)
        {
            _completed++;
            Ok += request.Status == IoStatus.Ok ? 1 : 0;
            if (_completed == expected)
            {
                done.Set();
            }
        }
    }

    private sealed class Ignoring(KernelLoop loop, OperationOwner owner) : CompletionTarget(loop, owner)
    {
        protected override void OnCompleted(int result)
        {
        }
    }

    /// <summary>
    /// Keeps 100 requests in flight, more than the quota, a flush now and then; measures after a warm-up.
    /// </summary>
    private sealed class Steady(LinuxFile device, ManualResetEventSlim done) : IIoOwner
    {
        private const int WarmUp = 2_000;
        private const int Measured = 10_000;
        private const int InFlight = 100;

        private long _before;
        private int _completed;
        private int _last = WarmUp + (Allocations.Attempts * Measured);

        public long AllocatedBytes { get; private set; } = -1;

        public int Failures { get; private set; }

        public void Start()
        {
            for (int i = 0; i < InFlight; i++)
            {
                IoRequest request = new() { Token = i };
                Next(request, AlignedMemory.Allocate(4096));
            }
        }

        public void OnCompleted(IoRequest request)
        {
            _completed++;
            Failures += request.Status == IoStatus.Ok ? 0 : 1;
            if (_completed >= WarmUp && (_completed - WarmUp) % Measured == 0)
            {
                Measure();
            }
            if (_completed < _last)
            {
                Next(request, request.Buffer);
            }
            else if (_completed == _last + InFlight - 1)
            {
                done.Set();
            }
        }

        /// <summary>The end of an attempt and the begin of the next, until one allocates nothing.</summary>
        private void Measure()
        {
            long now = GC.GetAllocatedBytesForCurrentThread();
            if (_completed > WarmUp && _completed <= _last)
            {
                AllocatedBytes = AllocatedBytes < 0 ? now - _before : long.Min(AllocatedBytes, now - _before);
                _last = AllocatedBytes == 0 ? int.Min(_last, _completed) : _last;
            }
            _before = now;
        }

        private void Next(IoRequest request, BufferSlice buffer)
        {
            // Writes are few: in rehearsal mode each waits for the disk.
            IoOperation operation = _completed % 200 == 0 ? IoOperation.Write : IoOperation.Read;
            request.Prepare(this, operation, At(request.Token * 8, 8), buffer);
            device.Submit(request);
        }
    }
}
