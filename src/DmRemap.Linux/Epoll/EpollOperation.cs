using DmRemap.Core.Abstractions;

namespace DmRemap.Linux.Epoll;

/// <summary>What is asked of the kernel.</summary>
internal enum OperationKind : byte
{
    None = 0,

    // Of files: by a thread, which they may block.
    Read = 1,
    Write = 2,
    DurableWrite = 3,
    SyncData = 4,
    Zero = 5,
    Close = 6,

    // Of sockets and the like: tried by the loop, and again when the descriptor is ready.
    Receive = 7,
    Send = 8,
    SendMessage = 9,
    Accept = 10,
    Poll = 11,
    ReadMessage = 12,
    WriteMessage = 13,

    // Of other operations.
    Cancel = 14,
    CancelAll = 15,
}

/// <summary>Where an operation is.</summary>
internal enum OperationPlace : byte
{
    Nowhere = 0,

    /// <summary>In line for the end of the turn.</summary>
    Submitted = 1,

    /// <summary>For its descriptor to be ready.</summary>
    Waiting = 2,

    /// <summary>In line for a thread, or with one.</summary>
    WithThreads = 3,

    /// <summary>Its result is there; its target is called at the begin of the turn.</summary>
    Ended = 4,
}

/// <summary>
/// The operation of one target; they lie in an array, at the target's slot. The loop's thread writes it;
/// while a thread has it, only that one does, and only result and link.
/// </summary>
internal struct EpollOperation
{
    public OperationKind Kind;
    public OperationPlace Place;
    public int Fd;

    /// <summary>Events to poll for, the mode of fallocate, or the slot of the victim.</summary>
    public int Argument;

    /// <summary>Of the bytes, or of a message header.</summary>
    public ulong Address;

    /// <summary>In bytes.</summary>
    public long Length;

    /// <summary>In the file, in bytes.</summary>
    public long Offset;

    /// <summary>Keeps the memory alive for as long as somebody may write into it (F-31).</summary>
    public BufferSlice Buffer;

    public int Result;

    /// <summary>Links of <see cref="SlotList"/>: a slot and one, so that 0 is none.</summary>
    public int Next;

    public int Previous;
}

/// <summary>Operations in a line, linked through themselves. Each is in one line at most.</summary>
internal struct SlotList
{
    private int _first;
    private int _last;

    public readonly bool IsEmpty => _first == 0;

    /// <summary>-1 when empty.</summary>
    public readonly int First => _first - 1;

    /// <summary>-1 behind the last.</summary>
    public static int After(EpollOperation[] operations, int slot) => operations[slot].Next - 1;

    public void Add(EpollOperation[] operations, int slot)
    {
        operations[slot].Next = 0;
        operations[slot].Previous = _last;
        if (_last == 0)
        {
            _first = slot + 1;
        }
        else
        {
            operations[_last - 1].Next = slot + 1;
        }
        _last = slot + 1;
    }

    public void Remove(EpollOperation[] operations, int slot)
    {
        int next = operations[slot].Next;
        int previous = operations[slot].Previous;
        if (previous == 0)
        {
            _first = next;
        }
        else
        {
            operations[previous - 1].Next = next;
        }
        if (next == 0)
        {
            _last = previous;
        }
        else
        {
            operations[next - 1].Previous = previous;
        }
    }

    public void AddFirst(EpollOperation[] operations, int slot)
    {
        operations[slot].Previous = 0;
        operations[slot].Next = _first;
        if (_first == 0)
        {
            _last = slot + 1;
        }
        else
        {
            operations[_first - 1].Previous = slot + 1;
        }
        _first = slot + 1;
    }

    public bool TryTake(EpollOperation[] operations, out int slot)
    {
        slot = _first - 1;
        if (_first == 0)
        {
            return false;
        }
        Remove(operations, slot);
        return true;
    }
}
