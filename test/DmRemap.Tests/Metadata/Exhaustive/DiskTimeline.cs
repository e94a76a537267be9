using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Tests.Support;

namespace DmRemap.Tests.Metadata.Exhaustive;

/// <summary>What becomes of a write.</summary>
internal enum WriteFate
{
    Done,
    FailsAndLeavesNothing,
    FailsAndLeavesHalf,
    FailsAndLeavesAll,
}

/// <summary>
/// Some disks and everything that happens on them, in one order: requests are answered one by one, first come
/// first served. Knows at every moment what is durable and which writes may be there or not: those not
/// answered, and those answered without FUA and not flushed since.
/// </summary>
internal sealed class DiskTimeline : ITimerOwner
{
    private readonly Queue<(TimelineDisk Disk, IoRequest Request, DiskWrite? Write)> _waiting = new();
    private readonly LoopTimer _timer;
    private readonly bool _isInstant;
    private bool _isNew;
    private int _answers;

    /// <param name="images">Changed from here on.</param>
    /// <param name="isInstant">Everything is done when it is submitted: for runs that nobody cuts.</param>
    public DiskTimeline(PageImage[] images, bool isInstant)
    {
        Durable = images;
        _isInstant = isInstant;
        _timer = new LoopTimer(this);
        Visible = isInstant ? images : [.. images.Select(image => image.Clone())];
        Disks = [.. images.Select((_, index) => new TimelineDisk(this, index))];
    }

    public SimulatedLoop Loop { get; } = new();

    public TimelineDisk[] Disks { get; }

    /// <summary>By disk: there whatever is cut now.</summary>
    public PageImage[] Durable { get; }

    /// <summary>By disk: what reads see.</summary>
    public PageImage[] Visible { get; }

    /// <summary>In the order in which they were submitted.</summary>
    public List<DiskWrite> Uncertain { get; } = [];

    public bool IsIdle => _waiting.Count == 0;

    /// <summary>Submissions and answers.</summary>
    public long Events { get; private set; }

    public Func<DiskWrite, WriteFate> Fate { get; set; } = _ => WriteFate.Done;

    /// <summary>
    /// Called where more may be on the disks than at the point before: what is between two calls leaves
    /// nothing else, and is to be judged alike.
    /// </summary>
    public Action? OnPoint { get; set; }

    /// <summary>What a crash may leave is judged differently from now on.</summary>
    public void NoteAcknowledged() => _isNew = true;

    public void TakePoint()
    {
        if (_isNew)
        {
            _isNew = false;
            OnPoint?.Invoke();
        }
    }

    public void Submit(TimelineDisk disk, IoRequest request)
    {
        Events++;
        DiskWrite? write = request.Operation == IoOperation.Write
            ? new DiskWrite(
                disk.Index, BytesAt(request), request.Buffer.Span, request.IsForceUnitAccess)
            {
                Batch = _answers,
            }
            : null;
        if (_isInstant)
        {
            Finish(disk, request, write);
            return;
        }
        if (write is not null)
        {
            Uncertain.Add(write);
            _isNew = true;
        }
        _waiting.Enqueue((disk, request, write));
        Arm();
    }

    public void OnTimer(LoopTimer timer)
    {
        TakePoint();
        Events++;
        _answers++;
        (TimelineDisk disk, IoRequest request, DiskWrite? write) = _waiting.Dequeue();
        Finish(disk, request, write);
        if (_waiting.Count > 0)
        {
            Arm();
        }
    }

    private static long BytesAt(IoRequest request) => request.Extent.Start.Value * SparseDisk.BlockBytes;

    private void Arm()
    {
        if (!_timer.IsSet)
        {
            Loop.Schedule(_timer, Loop.Now + new Duration(1000));
        }
    }

    private void Finish(TimelineDisk disk, IoRequest request, DiskWrite? write)
    {
        WriteFate fate = WriteFate.Done;
        if (request.Operation == IoOperation.Read)
        {
            Visible[disk.Index].Read(BytesAt(request), request.Buffer.Span);
        }
        else if (request.Operation == IoOperation.Flush)
        {
            Flush(disk.Index);
        }
        else
        {
            Invariant.Check(write is not null);
            fate = Fate(write!);
            Land(write!, fate);
        }
        bool isOk = fate == WriteFate.Done;
        request.SetResult(isOk ? IoStatus.Ok : IoStatus.DeviceError, isOk ? 0 : 5, Duration.Zero);
        Loop.DeliverLater(request);
    }

    private void Land(DiskWrite write, WriteFate fate)
    {
        int end = fate switch
        {
            WriteFate.FailsAndLeavesNothing => 0,
            WriteFate.FailsAndLeavesHalf => write.Bytes / 2,
            _ => write.Bytes,
        };
        Visible[write.Disk].Apply(write, 0, end);
        if (_isInstant)
        {
            return;
        }
        if (write.IsForced || fate != WriteFate.Done)
        {
            Uncertain.Remove(write);
            Durable[write.Disk].Apply(write, 0, end);
        }
        write.IsCached = !write.IsForced;
    }

    private void Flush(int disk)
    {
        if (_isInstant)
        {
            return;
        }
        foreach (DiskWrite write in Uncertain.Where(one => one.Disk == disk && one.IsCached).ToArray())
        {
            Durable[disk].Apply(write, 0, write.Bytes);
            Uncertain.Remove(write);
        }
    }
}

/// <summary>A spare of the smallest size.</summary>
internal sealed class TimelineDisk(DiskTimeline timeline, int index) : IBlockDevice
{
    public int Index => index;

    public DeviceGeometry Geometry { get; } = new()
    {
        LogicalBlockSize = new BlockSize(SparseDisk.BlockBytes),
        PhysicalBlockBytes = 4096,
        Blocks = new BlockCount(MetadataBench.SpareBytes / SparseDisk.BlockBytes),
        TransferBytesMax = Limits.JournalRecordBytesMax,
    };

    public void Submit(IoRequest request)
    {
        request.MarkSubmitted();
        request.SubmittedAt = timeline.Loop.Now;
        timeline.Submit(this, request);
    }
}
