using DmRemap.Core.Abstractions;

namespace DmRemap.Engine.Requests;

/// <summary>
/// A client's request inside the remapped device: how far it has been split (<see cref="Cursor"/>), how many
/// of its fragments are out, and the worst that happened to them. Pooled.
/// </summary>
internal sealed class RemapRequest
{
    public IoRequest? Parent { get; private set; }

    /// <summary>The first block that has not been turned into a fragment yet.</summary>
    public BlockNumber Cursor { get; set; }

    /// <summary>Fragments and repairs that have not come back.</summary>
    public int Outstanding { get; set; }

    /// <summary>How often acknowledged writes had become uncertain when it began.</summary>
    public long Losses { get; set; }

    /// <summary>
    /// WriteZeroes: up to here zeroes are written as data, because zeroing in one command failed.
    /// </summary>
    public BlockNumber ZeroesAsDataEnd { get; set; }

    public IoStatus Status { get; private set; }

    public int Errno { get; private set; }

    /// <summary>Link of the one list that the request is in: free, held, or waiting for a fragment.</summary>
    public RemapRequest? Next { get; set; }

    /// <summary>It stands in a queue that will continue it.</summary>
    public bool IsQueued { get; set; }

    public Extent Remaining => Extent.FromBounds(Cursor, Parent!.Extent.End);

    public bool IsSplit => Cursor == Parent!.Extent.End;

    public void Start(IoRequest parent)
    {
        Invariant.Check(Parent is null);
        Invariant.Check(Outstanding == 0);
        Parent = parent;
        Cursor = parent.Extent.Start;
        ZeroesAsDataEnd = parent.Extent.Start;
        Status = IoStatus.Ok;
        Errno = 0;
        Next = null;
    }

    public IoRequest Detach()
    {
        Invariant.Check(Outstanding == 0);
        Invariant.Check(!IsQueued);
        IoRequest parent = Parent!;
        Parent = null;
        return parent;
    }

    /// <summary>A part failed. The first error is the one that the client sees.</summary>
    public void Fail(IoStatus status, int errno, Extent where)
    {
        Invariant.Check(status is not IoStatus.Ok and not IoStatus.Pending);
        if (Status == IoStatus.Ok)
        {
            Status = status;
            Errno = errno;
        }
        Parent!.Failed.Add(where);
    }

    /// <summary>The parent's buffer for these blocks.</summary>
    public BufferSlice BufferFor(Extent blocks, BlockSize size)
    {
        Extent whole = Parent!.Extent;
        Invariant.Check(whole.Start <= blocks.Start);
        Invariant.Check(blocks.End <= whole.End);
        int start = (int)((blocks.Start - whole.Start).Value * size.Bytes);
        return Parent.Buffer.Slice(start, (int)blocks.Count.ToBytes(size).Value);
    }
}
