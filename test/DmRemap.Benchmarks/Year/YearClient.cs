using System.Collections.Generic;
using DmRemap.Core.Abstractions;

namespace DmRemap.Benchmarks.Year;

/// <summary>Reads and writes random places at a low rate, and counts what it is answered.</summary>
internal sealed class YearClient(
    IBlockDevice device, IEventLoop loop, IReadOnlyList<YearRequest> requests) : IIoOwner, ITimerOwner
{
    private static readonly Duration s_long = Duration.FromSeconds(1);

    private readonly BufferSlice _buffer = AlignedMemory.Allocate(YearPlan.RequestBytes);
    private readonly Stack<IoRequest> _free = new();
    private LoopTimer? _timer;
    private Instant _born;
    private int _next;

    public long Failed { get; private set; }

    public long Slow { get; private set; }

    public void Begin(Instant born)
    {
        _timer = new LoopTimer(this);
        _born = born;
        Wait();
    }

    public void OnTimer(LoopTimer timer)
    {
        YearRequest next = requests[_next];
        _next++;
        IoRequest request = _free.Count > 0 ? _free.Pop() : new IoRequest();
        request.Token = loop.Now.Nanoseconds;
        request.Prepare(
            this, next.IsRead ? IoOperation.Read : IoOperation.Write,
            new Extent(
                new BlockNumber(next.Start / YearDisk.BlockBytes),
                new BlockCount(YearPlan.RequestBytes / YearDisk.BlockBytes)),
            _buffer);
        device.Submit(request);
        Wait();
    }

    public void OnCompleted(IoRequest request)
    {
        Failed += request.Status == IoStatus.Ok ? 0 : 1;
        Slow += loop.Now.Nanoseconds - request.Token > s_long.Nanoseconds ? 1 : 0;
        _free.Push(request);
    }

    private void Wait()
    {
        if (_next < requests.Count)
        {
            loop.Schedule(_timer!, _born + requests[_next].Age);
        }
    }
}
