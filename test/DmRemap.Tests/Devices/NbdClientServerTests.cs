using System;
using DmRemap.Core.Abstractions;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Devices;

/// <summary>
/// Our client with our server: the same bytes on both sides, whatever is cut and in whatever order.
/// </summary>
public sealed class NbdClientServerTests
{
    private const int Blocks = 2048;
    private const int BlockBytes = 512;

    public static TheoryData<int> Seeds => [1, 2, 3, 4, 5, 6, 7, 8];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Random_requests_match_a_byte_array(int seed)
    {
        Random random = new(seed);
        NbdPair pair = Connected(seed);
        byte[] model = new byte[Blocks * BlockBytes];
        Job[] jobs = new Job[12];
        for (int i = 0; i < jobs.Length; i++)
        {
            jobs[i] = new Job(pair, model, random, i);
        }
        for (int done = 0; done < 2000; done++)
        {
            Job job = jobs[random.Next(jobs.Length)];
            pair.RunUntil(() => !job.IsBusy);
            job.Start();
        }
        pair.RunUntil(() => pair.Client.InFlight == 0);
        Assert.True(pair.Disk.Content.AsSpan().SequenceEqual(model), $"seed={seed}");
        Assert.Equal(0, pair.Server.RequestsAtDevice);
        Assert.Equal(1, pair.Client.Connections);
    }

    [Fact]
    public void Server_that_dies_again_and_again_makes_requests_gone_and_never_wrong()
    {
        Random random = new(11);
        NbdPair pair = Connected(11);
        Owner owner = new();
        int gone = 0;
        for (int round = 0; round < 40; round++)
        {
            byte value = (byte)(round + 1);
            IoRequest write = Make(owner, IoOperation.Write, 0, 64, value);
            pair.Client.Submit(write);
            for (int i = random.Next(8); i > 0; i--)
            {
                pair.Step();
            }
            pair.Break();
            pair.RunUntil(() => !write.IsSubmitted);
            gone += write.Status == IoStatus.Ok ? 0 : 1;
            pair.RunUntil(() => pair.Client.IsConnected);
            IoRequest again = Make(owner, IoOperation.Write, 0, 64, value);
            pair.Client.Submit(again);
            pair.RunUntil(() => !again.IsSubmitted);
            Assert.Equal(IoStatus.Ok, again.Status);
            IoRequest read = Make(owner, IoOperation.Read, 0, 64, 0);
            pair.Client.Submit(read);
            pair.RunUntil(() => !read.IsSubmitted);
            Assert.Equal(IoStatus.Ok, read.Status);
            Assert.False(read.Buffer.Span.ContainsAnyExcept(value));
        }
        Assert.NotEqual(0, gone);
        Assert.Equal(41, pair.Client.Connections);
        Assert.NotEqual(0, pair.Client.CacheLosses);
    }

    [Fact]
    public void Requests_allocate_nothing()
    {
        NbdPair pair = new(SimulatedDisk.MakeGeometry(Blocks), 1);
        pair.Client.Start();
        pair.RunUntil(() => pair.Client.IsConnected && pair.Client.InFlight == 0);
        Owner owner = new();
        IoRequest[] requests =
        [
            Make(owner, IoOperation.Write, 0, 8, 1),
            Make(owner, IoOperation.Write, 512, 256, 2),
            Make(owner, IoOperation.Read, 0, 8, 0),
            Make(owner, IoOperation.Read, 512, 256, 0),
            Make(owner, IoOperation.WriteZeroes, 1024, 64, 0),
            Make(owner, IoOperation.Flush, 0, 0, 0),
        ];
        Allocations.AssertNone(() =>
        {
            for (int i = 0; i < 500; i++)
            {
                foreach (IoRequest request in requests)
                {
                    request.Prepare(owner, request.Operation, request.Extent, request.Buffer);
                    pair.Client.Submit(request);
                }
                while (pair.Client.InFlight > 0)
                {
                    Invariant.Check(pair.Step());
                }
            }
        });
        Assert.Equal(IoStatus.Ok, requests[^1].Status);
    }

    private static NbdPair Connected(int seed)
    {
        Random cuts = new(seed);
        NbdPair pair = new(SimulatedDisk.MakeGeometry(Blocks), seed)
        {
            Cut = () => cuts.Next(1, 40_000),
        };
        pair.Disk.LatencyMax = Duration.FromMilliseconds(2);
        pair.Client.Start();
        pair.RunUntil(() => pair.Client.IsConnected && pair.Client.InFlight == 0);
        return pair;
    }

    private static IoRequest Make(
        IIoOwner owner, IoOperation operation, long first, long count, byte value)
    {
        BufferSlice buffer = operation is IoOperation.Read or IoOperation.Write
            ? AlignedMemory.Allocate((int)count * BlockBytes)
            : default;
        if (!buffer.IsEmpty)
        {
            buffer.Span.Fill(value);
        }
        IoRequest request = new();
        request.Prepare(
            owner, operation, new Extent(new BlockNumber(first), new BlockCount(count)), buffer);
        return request;
    }

    private sealed class Owner : IIoOwner
    {
        public void OnCompleted(IoRequest request)
        {
        }
    }

    /// <summary>Requests in one part of the device, one after another; each has a part of its own.</summary>
    private sealed class Job(NbdPair pair, byte[] model, Random random, int index) : IIoOwner
    {
        private const int PartBlocks = Blocks / 12;

        private readonly IoRequest _request = new();
        private readonly BufferSlice _buffer = AlignedMemory.Allocate(PartBlocks * BlockBytes);

        public bool IsBusy => _request.IsSubmitted;

        public void Start()
        {
            long first = (index * PartBlocks) + random.Next(PartBlocks);
            long count = random.Next(1, (int)((index + 1) * PartBlocks - first) + 1);
            IoOperation operation = (IoOperation)random.Next(1, 6);
            Extent extent = operation == IoOperation.Flush
                ? default
                : new Extent(new BlockNumber(first), new BlockCount(count));
            int bytes = operation is IoOperation.Read or IoOperation.Write ? (int)count * BlockBytes : 0;
            BufferSlice buffer = _buffer.Slice(0, bytes);
            Span<byte> modelled = model.AsSpan((int)extent.Start.Value * BlockBytes,
                (int)extent.Count.Value * BlockBytes);
            if (operation == IoOperation.Write)
            {
                random.NextBytes(buffer.Span);
                buffer.Span.CopyTo(modelled);
            }
            else if (operation == IoOperation.WriteZeroes)
            {
                modelled.Clear();
            }
            _request.Prepare(this, operation, extent, buffer, (IoFlags)random.Next(2));
            pair.Client.Submit(_request);
        }

        public void OnCompleted(IoRequest request)
        {
            Assert.Equal(IoStatus.Ok, request.Status);
            if (request.Operation == IoOperation.Read)
            {
                int start = (int)request.Extent.Start.Value * BlockBytes;
                Assert.True(request.Buffer.Span.SequenceEqual(model.AsSpan(start, request.Buffer.Length)));
            }
        }
    }
}
