namespace DmRemap.Core.Abstractions;

/// <summary>
/// Told when a slice has come back; it then tries again. Linked, so that waiting allocates nothing.
/// </summary>
public abstract class BufferWaiter
{
    internal BufferWaiter? Next { get; set; }

    internal bool IsQueued { get; set; }

    public abstract void OnBufferAvailable();
}

/// <summary>
/// Equal slices of one aligned allocation, made at start. Bounded: when none is free the caller stops
/// receiving
/// (back-pressure) and waits in line. One thread.
/// </summary>
public sealed class BufferPool
{
    private readonly BufferSlice[] _free;
    private BufferWaiter? _firstWaiter;
    private BufferWaiter? _lastWaiter;

    public BufferPool(int slices, int sliceBytes)
    {
        Invariant.Check(slices > 0);
        Invariant.Check(sliceBytes % AlignedMemory.Alignment == 0);
        SliceBytes = sliceBytes;
        Slices = slices;
        _free = new BufferSlice[slices];
        BufferSlice whole = AlignedMemory.Allocate(checked(slices * sliceBytes));
        for (int i = 0; i < slices; i++)
        {
            _free[i] = whole.Slice(i * sliceBytes, sliceBytes);
        }
        FreeCount = slices;
    }

    public int Slices { get; }

    public int SliceBytes { get; }

    public int FreeCount { get; private set; }

    public bool TryRent(out BufferSlice slice)
    {
        if (FreeCount == 0)
        {
            slice = default;
            return false;
        }
        FreeCount--;
        slice = _free[FreeCount];
        return true;
    }

    /// <summary>Give back a whole slice (not a part of one), then let the first waiter try.</summary>
    public void Return(BufferSlice slice)
    {
        Invariant.Check(slice.Length == SliceBytes);
        Invariant.Check(FreeCount < Slices);
        _free[FreeCount] = slice;
        FreeCount++;
        if (_firstWaiter is not null)
        {
            WakeFirst();
        }
    }

    /// <summary>Stand in line; a waiter stands once however often it asks.</summary>
    public void Wait(BufferWaiter waiter)
    {
        if (waiter.IsQueued)
        {
            return;
        }
        waiter.IsQueued = true;
        waiter.Next = null;
        if (_lastWaiter is null)
        {
            _firstWaiter = waiter;
        }
        else
        {
            _lastWaiter.Next = waiter;
        }
        _lastWaiter = waiter;
    }

    private void WakeFirst()
    {
        BufferWaiter first = _firstWaiter!;
        _firstWaiter = first.Next;
        if (_firstWaiter is null)
        {
            _lastWaiter = null;
        }
        first.IsQueued = false;
        first.Next = null;
        first.OnBufferAvailable();
    }
}
