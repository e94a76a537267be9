using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Devices;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Native;
using DmRemap.Tests.Linux;
using Microsoft.Win32.SafeHandles;
using Xunit;

namespace DmRemap.Tests.Devices;

public abstract partial class LinuxFileContract(LoopBackend backend) : IDisposable
{
    private const int BlockBytes = 512;
    private const int Blocks = 4096;

    private readonly string _directory = Directory.CreateTempSubdirectory("dmremap-file-").FullName;
    private readonly LoopRunner _runner = new(backend: backend);
    private readonly List<LinuxFile> _devices = [];

    private string ImagePath => Path.Combine(_directory, "image");

    public void Dispose()
    {
        GC.SuppressFinalize(this);
        _runner.Dispose();
        foreach (LinuxFile device in _devices)
        {
            device.Dispose();
        }
        Directory.Delete(_directory, recursive: true);
    }

    [Theory]
    [InlineData(CacheMode.Direct, 1)]
    [InlineData(CacheMode.Direct, 2)]
    [InlineData(CacheMode.PageCache, 3)]
    [InlineData(CacheMode.InMemory, 4)]
    public void Random_requests_many_at_once_agree_with_a_byte_array(CacheMode mode, int seed)
    {
        Random random = new(seed);
        byte[] model = MakeImage(Blocks, seed);
        LinuxFile device = OpenImage(mode);
        for (int round = 0; round < 20; round++)
        {
            List<(IoRequest Request, byte[]? Expected)> batch = [];
            int block = 0;
            while (block < Blocks && batch.Count < 200)
            {
                block += random.Next(0, 30);
                int count = Math.Min(random.Next(1, 60), Blocks - block);
                if (count <= 0)
                {
                    break;
                }
                batch.Add(PrepareRandom(random, model, block, count));
                block += count;
            }
            Batch(device, batch);
            foreach ((IoRequest request, byte[]? expected) in batch)
            {
                Assert.True(request.Status == IoStatus.Ok, $"seed={seed} round={round} {Describe(request)}");
                bool isEqual = expected is null || request.Buffer.Span.SequenceEqual(expected);
                Assert.True(isEqual, $"seed={seed} round={round} {Describe(request)}");
            }
        }
        Assert.Equal(IoStatus.Ok, _runner.Do(device, IoOperation.Flush, default, default).Status);
        Assert.True(model.AsSpan().SequenceEqual(File.ReadAllBytes(ImagePath)), $"seed={seed}");
    }

    [Fact]
    public void Requests_outside_malformed_or_misaligned_are_invalid()
    {
        MakeImage(Blocks, 1);
        LinuxFile device = OpenImage(CacheMode.Direct);
        BufferSlice block = AlignedMemory.Allocate(BlockBytes);
        BufferSlice tooLong = AlignedMemory.Allocate(Limits.SliceBytes + BlockBytes);
        BufferSlice misaligned = AlignedMemory.Allocate(2 * BlockBytes).Slice(100, BlockBytes);
        foreach (IoOperation operation in (IoOperation[])[IoOperation.Read, IoOperation.Write])
        {
            Assert.Equal(IoStatus.Invalid, Do(device, operation, Blocks, 1, block).Status);
            Assert.Equal(IoStatus.Invalid,
                Do(device, operation, Blocks - 1, 2, AlignedMemory.Allocate(1024)).Status);
            Assert.Equal(IoStatus.Invalid, Do(device, operation, long.MaxValue, 1, block).Status);
            Assert.Equal(IoStatus.Invalid, Do(device, operation, 0, long.MaxValue, block).Status);
            Assert.Equal(IoStatus.Invalid, Do(device, operation, 0, 2, block).Status);
            Assert.Equal(IoStatus.Invalid, Do(device, operation, 0, 257, tooLong).Status);
            Assert.Equal(IoStatus.Invalid, Do(device, operation, 0, 1, misaligned).Status);
            Assert.Equal(IoStatus.Ok, Do(device, operation, 0, 0, default).Status);
        }
        Assert.Equal(IoStatus.Invalid, Do(device, IoOperation.WriteZeroes, Blocks, 1, default).Status);
        Assert.Equal(IoStatus.Invalid, Do(device, IoOperation.None, 0, 1, default).Status);
        Assert.Equal(0, device.Operations.Outstanding);
        Assert.Equal(0, _runner.Call(() => device.InFlight));
    }

    [Fact]
    public void Changes_to_a_read_only_device_and_operations_it_has_not_are_refused()
    {
        MakeImage(Blocks, 1);
        BufferSlice block = AlignedMemory.Allocate(BlockBytes);
        LinuxFile readOnly = OpenImage(CacheMode.Direct, geometry => geometry with { IsReadOnly = true });
        Assert.Equal(IoStatus.ReadOnly, Do(readOnly, IoOperation.Write, 0, 1, block).Status);
        Assert.Equal(IoStatus.ReadOnly, Do(readOnly, IoOperation.WriteZeroes, 0, 1, default).Status);
        Assert.Equal(IoStatus.ReadOnly, Do(readOnly, IoOperation.Discard, 0, 1, default).Status);
        Assert.Equal(IoStatus.Ok, Do(readOnly, IoOperation.Read, 0, 1, block).Status);
        LinuxFile plain = OpenImage(
            CacheMode.Direct, geometry => geometry with { CanDiscard = false, CanWriteZeroes = false });
        Assert.Equal(IoStatus.Unsupported, Do(plain, IoOperation.WriteZeroes, 0, 1, default).Status);
        Assert.Equal(IoStatus.Unsupported, Do(plain, IoOperation.Discard, 0, 1, default).Status);
    }

    [Theory]
    [InlineData(CacheMode.Direct, 10 * BlockBytes)]
    [InlineData(CacheMode.PageCache, 10 * BlockBytes)]
    [InlineData(CacheMode.PageCache, (10 * BlockBytes) + 100)]
    [InlineData(CacheMode.InMemory, (10 * BlockBytes) + 100)]
    public void File_that_has_shrunk_is_gone_and_never_zeros(CacheMode mode, int newLength)
    {
        MakeImage(Blocks, 1);
        LinuxFile device = OpenImage(mode);
        using (FileStream file = new(ImagePath, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            file.SetLength(newLength);
        }
        BufferSlice buffer = AlignedMemory.Allocate(8 * BlockBytes);
        IoRequest across = Do(device, IoOperation.Read, 6, 8, buffer);
        Assert.Equal((IoStatus.DeviceError, Errno.ENXIO), (across.Status, across.Errno));
        IoRequest behind = Do(device, IoOperation.Read, 100, 8, buffer);
        Assert.Equal((IoStatus.DeviceError, Errno.ENXIO), (behind.Status, behind.Errno));
        Assert.Equal(IoStatus.Ok, Do(device, IoOperation.Read, 2, 8, buffer).Status);

        using (FileStream file = new(ImagePath, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            file.SetLength(Blocks * BlockBytes);
        }
        behind = Do(device, IoOperation.Read, 100, 8, buffer);
        Assert.Equal((IoStatus.DeviceError, Errno.ENXIO), (behind.Status, behind.Errno));
        IoRequest written = Do(device, IoOperation.Write, 100, 8, buffer);
        Assert.Equal((IoStatus.DeviceError, Errno.ENXIO), (written.Status, written.Errno));
        Assert.Equal(IoStatus.Ok, Do(device, IoOperation.Read, 2, 8, buffer).Status);
    }

    [Fact]
    public void Short_transfer_goes_on_where_it_ended()
    {
        // A FIFO gives what it has, which a disk seldom does.
        SafeFileHandle fifo = TestFile.OpenFifo(ImagePath);
        LinuxFile device = Open(fifo, CacheMode.PageCache, geometry => geometry);
        byte[] content = new byte[4 * BlockBytes];
        new Random(5).NextBytes(content);
        using FileStream writer =
            new(ImagePath, FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        writer.Write(content.AsSpan(0, BlockBytes));
        BufferSlice buffer = AlignedMemory.Allocate(4 * BlockBytes);
        using ManualResetEventSlim done = new();
        IoRequest request = new();
        _runner.Call(() => Submit(device, request, IoOperation.Read, 0, 4, buffer, new Counting(1, done)));
        _runner.WaitUntil(() => device.Operations.Completed == 1, "the first part");
        Assert.False(done.IsSet);
        writer.Write(content.AsSpan(BlockBytes));
        LoopRunner.Wait(done, "the whole");
        Assert.Equal(IoStatus.Ok, request.Status);
        Assert.True(request.Elapsed > Duration.Zero);
        Assert.True(buffer.Span.SequenceEqual(content));
    }

    [Fact]
    public void Oldest_operation_with_the_kernel_is_known_until_it_comes_back()
    {
        LinuxFile device = Open(TestFile.OpenFifo(ImagePath), CacheMode.PageCache, geometry => geometry);
        using FileStream writer =
            new(ImagePath, FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        using ManualResetEventSlim done = new();
        Counting owner = new(2, done);
        IoRequest[] requests = [new(), new()];
        BufferSlice buffer = AlignedMemory.Allocate(BlockBytes);
        Assert.False(_runner.Call(() => device.TryGetOldest(out _)));
        _runner.Call(() => Submit(device, requests[0], IoOperation.Read, 0, 1, buffer, owner));
        Instant first = _runner.Call(() => device.TryGetOldest(out Instant oldest) ? oldest : default);
        _runner.Call(() => Submit(device, requests[1], IoOperation.Read, 0, 1, buffer, owner));
        Assert.Equal(first, _runner.Call(() => device.TryGetOldest(out Instant oldest) ? oldest : default));
        Assert.Equal(first, requests[0].SubmittedAt);
        Assert.Equal(2, _runner.Call(() => device.InFlight));
        writer.Write(new byte[2 * BlockBytes]);
        LoopRunner.Wait(done, "both");
        Assert.False(_runner.Call(() => device.TryGetOldest(out _)));
    }

    [Fact]
    public void Error_of_the_kernel_comes_with_its_errno()
    {
        MakeImage(Blocks, 1);
        LinuxFile device = Open(
            File.OpenHandle(ImagePath, FileMode.Open, FileAccess.Read), CacheMode.PageCache, geometry =>
                geometry);
        BufferSlice block = AlignedMemory.Allocate(BlockBytes);
        IoRequest write = Do(device, IoOperation.Write, 0, 1, block);
        Assert.Equal((IoStatus.DeviceError, Errno.EBADF), (write.Status, write.Errno));
        IoRequest zeroes = Do(device, IoOperation.WriteZeroes, 0, 1, default);
        Assert.Equal((IoStatus.DeviceError, Errno.EBADF), (zeroes.Status, zeroes.Errno));
    }

    [Fact]
    public void Kernel_gets_at_most_the_quota_and_every_request_completes()
    {
        MakeImage(Blocks, 1);
        LinuxFile device = OpenImage(CacheMode.Direct);
        using ManualResetEventSlim done = new();
        Counting owner = new(520, done);
        _runner.Call(() =>
        {
            for (int i = 0; i < 500; i++)
            {
                Submit(device, new IoRequest(), IoOperation.Read, i, 1, AlignedMemory.Allocate(BlockBytes),
                    owner);
            }
            for (int i = 0; i < 10; i++)
            {
                Submit(device, new IoRequest(), IoOperation.WriteZeroes, 1000 + i, 1, default, owner);
            }
            Assert.Equal(Limits.MemberQueueDepth + Limits.MemberZeroingDepth, device.Operations.Outstanding);
            Assert.Equal(510, device.InFlight);
            // Metadata does not stand in line behind data (F-19).
            for (int i = 0; i < 10; i++)
            {
                Submit(device, new IoRequest(), IoOperation.Read, i, 1, AlignedMemory.Allocate(BlockBytes),
                    owner, IoFlags.Metadata);
            }
            Assert.Equal(
                Limits.MemberQueueDepth + Limits.MemberMetadataDepth + Limits.MemberZeroingDepth,
                device.Operations.Outstanding);
        });
        LoopRunner.Wait(done, "the last completion");
        Assert.Equal(520, owner.Ok);
        Assert.Equal(520, device.Operations.Completed);
    }

    [Fact]
    public void Flushes_that_arrive_while_one_runs_share_the_next_and_not_the_running_one()
    {
        MakeImage(Blocks, 1);
        LinuxFile device = OpenImage(CacheMode.Direct);
        using ManualResetEventSlim done = new();
        Counting owner = new(10, done);
        _runner.Call(() =>
        {
            for (int i = 0; i < 10; i++)
            {
                Submit(device, new IoRequest(), IoOperation.Flush, 0, 0, default, owner);
                Assert.Equal(1, device.Operations.Outstanding);
            }
        });
        LoopRunner.Wait(done, "the last flush");
        Assert.Equal(10, owner.Ok);
        Assert.Equal(2, device.Operations.Completed);
    }

    [Fact]
    public void Flush_that_fails_fails_for_everybody_it_served()
    {
        // A FIFO has no fdatasync.
        LinuxFile device = Open(TestFile.OpenFifo(ImagePath), CacheMode.PageCache, geometry => geometry);
        IoRequest flush = Do(device, IoOperation.Flush, 0, 0, default);
        Assert.Equal((IoStatus.DeviceError, Errno.EINVAL), (flush.Status, flush.Errno));
    }

    [Fact]
    public void Rehearsal_write_and_a_forced_one_leave_nothing_in_the_page_cache()
    {
        MakeImage(Blocks, 1);
        using SafeFileHandle plain = File.OpenHandle(ImagePath, FileMode.Open, FileAccess.ReadWrite);
        RandomAccess.FlushToDisk(plain);
        Assert.SkipUnless(TestFile.CountDirtyPages(plain) == 0, "this file system's pages are never clean");
        RandomAccess.Write(plain, new byte[BlockBytes], 0);
        Assert.NotEqual(0, TestFile.CountDirtyPages(plain));
        RandomAccess.FlushToDisk(plain);

        LinuxFile device = OpenImage(CacheMode.PageCache);
        BufferSlice block = AlignedMemory.Allocate(BlockBytes);
        Assert.Equal(IoStatus.Ok, Do(device, IoOperation.Write, 7, 1, block).Status);
        Assert.Equal(0, TestFile.CountDirtyPages(plain));
    }

    [Theory]
    [InlineData(WriteDurability.Cached)]
    [InlineData(WriteDurability.Durable)]
    public void Durable_write_is_on_the_disk_when_it_completes_and_a_cached_one_is_not(
        WriteDurability durability)
    {
        MakeImage(Blocks, 1);
        using SafeFileHandle file = File.OpenHandle(ImagePath, FileMode.Open, FileAccess.ReadWrite);
        RandomAccess.FlushToDisk(file);
        Assert.SkipUnless(TestFile.CountDirtyPages(file) == 0, "this file system's pages are never clean");
        BufferSlice block = AlignedMemory.Allocate(BlockBytes);
        OperationOwner owner = _runner.Call(() => _runner.Loop.CreateOwner("file"));
        Ignoring target = _runner.Call(() => new Ignoring(_runner.Loop, owner));
        _runner.Call(() =>
            _runner.Loop.SubmitWrite(target, (int)file.DangerousGetHandle(), block, 0, durability));
        _runner.WaitUntil(() => owner.Completed == 1, "the write");
        Assert.Equal(durability == WriteDurability.Cached, TestFile.CountDirtyPages(file) != 0);
    }

    [Theory]
    [InlineData(IoOperation.WriteZeroes, IoFlags.None)]
    [InlineData(IoOperation.WriteZeroes, IoFlags.KeepAllocated)]
    [InlineData(IoOperation.WriteZeroes, IoFlags.ForceUnitAccess)]
    [InlineData(IoOperation.Discard, IoFlags.None)]
    public void Zeroed_blocks_read_as_zeros_and_their_neighbours_as_before(IoOperation operation,
        IoFlags flags)
    {
        byte[] model = MakeImage(Blocks, 1);
        LinuxFile device = OpenImage(CacheMode.Direct);
        Assert.Equal(IoStatus.Ok, Do(device, operation, 3, 1000, default, flags).Status);
        model.AsSpan(3 * BlockBytes, 1000 * BlockBytes).Clear();
        Assert.True(model.AsSpan().SequenceEqual(File.ReadAllBytes(ImagePath)));
        Assert.Equal((flags & IoFlags.ForceUnitAccess) != 0 ? 2 : 1, device.Operations.Completed);
    }

    [Fact]
    public void Large_zeroing_is_done_slice_by_slice()
    {
        const long LargeBlocks = ((3L * Limits.ZeroingSliceBytes) + 4096) / BlockBytes;
        using (FileStream file = File.Create(ImagePath))
        {
            file.SetLength(LargeBlocks * BlockBytes);
            file.Seek(-4, SeekOrigin.End);
            file.Write([1, 2, 3, 4]);
        }
        LinuxFile device =
            OpenImage(CacheMode.Direct, geometry => geometry with { Blocks = new BlockCount(LargeBlocks) });
        Assert.Equal(IoStatus.Ok, Do(device, IoOperation.Discard, 0, LargeBlocks, default).Status);
        Assert.Equal(4, device.Operations.Completed);
        BufferSlice block = AlignedMemory.Allocate(BlockBytes);
        Assert.Equal(IoStatus.Ok, Do(device, IoOperation.Read, LargeBlocks - 1, 1, block).Status);
        Assert.Equal(-1, block.Span.IndexOfAnyExcept((byte)0));
    }

    [Fact]
    public void Zeroing_that_the_file_system_has_not_is_unsupported()
    {
        Assert.SkipUnless(Directory.Exists("/dev/shm"), "no tmpfs at /dev/shm");
        string path = $"/dev/shm/dmremap-test-{Guid.NewGuid():N}";
        try
        {
            File.WriteAllBytes(path, new byte[Blocks * BlockBytes]);
            LinuxFile device = Open(
                File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite), CacheMode.PageCache, geometry =>
                    geometry);
            IoRequest request = Do(device, IoOperation.WriteZeroes, 0, 8, default, IoFlags.KeepAllocated);
            Assert.SkipWhen(request.Status == IoStatus.Ok, "/dev/shm can zero a range");
            Assert.Equal((IoStatus.Unsupported, Errno.EOPNOTSUPP), (request.Status, request.Errno));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void Retired_device_refuses_and_then_closes_its_file()
    {
        MakeImage(Blocks, 1);
        SafeFileHandle handle = TestFile.OpenDirect(ImagePath);
        LinuxFile device = Open(handle, CacheMode.Direct, geometry => geometry);
        BufferSlice block = AlignedMemory.Allocate(BlockBytes);
        Assert.Equal(IoStatus.Ok, Do(device, IoOperation.Read, 0, 1, block).Status);
        _runner.Call(device.Retire);
        Assert.Equal(IoStatus.ShuttingDown, Do(device, IoOperation.Read, 0, 1, block).Status);
        Assert.Equal(IoStatus.ShuttingDown, Do(device, IoOperation.Flush, 0, 0, default).Status);
        Assert.False(handle.IsClosed);
        device.Dispose();
        Assert.True(handle.IsClosed);
    }

    [Fact]
    public void Stop_with_a_stuck_read_ends_and_the_device_is_named()
    {
        KernelLoop loop = LoopRunner.Make(backend: backend);
        SafeFileHandle fifo = TestFile.OpenFifo(ImagePath);
        using ManualResetEventSlim done = new();
        Counting owner = new(1, done);
        LinuxFile? device = null;
        loop.Start(started =>
        {
            device = new LinuxFile(started, fifo, MakeGeometry(), Options(CacheMode.PageCache));
            Submit(device, new IoRequest(), IoOperation.Read, 0, 1, AlignedMemory.Allocate(BlockBytes),
                owner);
        });
        loop.Stop();
        Assert.True(loop.Join(LoopRunner.Patience));
        Assert.Equal(1, loop.OutstandingOperations);
        Assert.Equal("image", Assert.Single(loop.Owners, o => o.Outstanding > 0).Name);
        Assert.False(done.IsSet);
        loop.Dispose();
        Assert.Throws<InvariantException>(device!.Dispose);
        Assert.False(fifo.IsClosed);
        // A thread that waits for it would do so until the end of the process.
        using FileStream writer =
            new(ImagePath, FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        writer.Write(new byte[BlockBytes]);
    }

    [Fact]
    public void Stuck_reads_delay_neither_the_devices_flush_nor_another_device()
    {
        LinuxFile stuck = Open(TestFile.OpenFifo(ImagePath), CacheMode.PageCache, geometry => geometry);
        using FileStream writer =
            new(ImagePath, FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        string path = Path.Combine(_directory, "other");
        File.WriteAllBytes(path, new byte[Blocks * BlockBytes]);
        LinuxFile other = Open(
            File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite), CacheMode.PageCache, geometry =>
                geometry);
        const int Reads = 2 * Limits.MemberQueueDepth;
        using ManualResetEventSlim done = new();
        Counting owner = new(Reads, done);
        _runner.Call(() =>
        {
            for (int i = 0; i < Reads; i++)
            {
                Submit(stuck, new IoRequest(), IoOperation.Read, i, 1, AlignedMemory.Allocate(BlockBytes),
                    owner);
            }
        });
        BufferSlice block = AlignedMemory.Allocate(BlockBytes);
        // A FIFO has no fdatasync: the kernel has answered, whatever it says.
        Assert.Equal(Errno.EINVAL, Do(stuck, IoOperation.Flush, 0, 0, default).Errno);
        Assert.Equal(IoStatus.Ok, Do(other, IoOperation.Write, 0, 1, block).Status);
        Assert.Equal(IoStatus.Ok, Do(other, IoOperation.Flush, 0, 0, default).Status);
        Assert.Equal(IoStatus.Ok, Do(other, IoOperation.Discard, 0, 8, default).Status);
        Assert.Equal(Reads, _runner.Call(() => stuck.InFlight));
        writer.Write(new byte[Reads * BlockBytes / 2]);
        writer.Write(new byte[Reads * BlockBytes / 2]);
        LoopRunner.Wait(done, "the last read");
        Assert.Equal(Reads, owner.Ok);
    }

    [Fact]
    public void Buffer_of_a_stuck_read_outlives_the_loop_and_whoever_submitted_it()
    {
        SafeFileHandle fifo = TestFile.OpenFifo(ImagePath);
        WeakReference memory = Abandon(fifo);
#pragma warning disable RS0030 // What has to be there is what nothing here refers to any more.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
#pragma warning restore RS0030
        Assert.True(memory.IsAlive, "the memory is free, and the kernel may write into it");
        if (backend == LoopBackend.Epoll)
        {
            // A ring's operation ends with the thread that submitted it; a thread's goes on.
            using FileStream writer =
                new(ImagePath, FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
            writer.Write([.. new byte[BlockBytes - 1], 42]);
            byte[] array = (byte[])memory.Target!;
            Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref array[^1]) == 42, LoopRunner.Patience));
        }
    }

    [Theory]
    [InlineData(CacheMode.Direct)]
    [InlineData(CacheMode.PageCache)]
    [InlineData(CacheMode.InMemory)]
    public void Steady_io_allocates_nothing_on_the_loop(CacheMode mode)
    {
        MakeImage(Blocks, 1);
        LinuxFile device = OpenImage(mode);
        using ManualResetEventSlim done = new();
        Steady steady = new(device, done);
        _runner.Call(steady.Start);
        LoopRunner.Wait(done, "the last completion");
        Assert.Equal(0, steady.AllocatedBytes);
        Assert.Equal(0, steady.Failures);
    }

    private static string Describe(IoRequest request) =>
        $"{request.Operation} {request.Extent} {request.Status} {Errno.Name(request.Errno)}";

    private static DeviceGeometry MakeGeometry() => new()
    {
        LogicalBlockSize = new BlockSize(BlockBytes),
        PhysicalBlockBytes = 4096,
        Blocks = new BlockCount(Blocks),
        CanDiscard = true,
        CanWriteZeroes = true,
    };

    private static LinuxFileOptions Options(CacheMode mode) =>
        new() { Name = "image", Kind = MemberKind.File, CacheMode = mode };

    private static Extent At(long start, long count) => new(new BlockNumber(start), new BlockCount(count));
}
