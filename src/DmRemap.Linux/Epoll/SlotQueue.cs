using System.Numerics;
using System.Threading;
using DmRemap.Core.Abstractions;

namespace DmRemap.Linux.Epoll;

/// <summary>
/// A bounded queue of numbers from one thread to many, without locks and without allocation. Each cell has a
/// turn: `t` = free for number t, `t + 1` = that number is in it. The producer fills cell t mod size and sets
/// its turn to t + 1; a consumer claims t by advancing the head, and sets the turn to t + size when it has
/// read the cell. The producer may be a consumer too.
/// </summary>
internal sealed class SlotQueue
{
    private readonly Cell[] _cells;
    private readonly long _mask;
    private long _head;
    private long _tail;

    /// <param name="capacity">A power of two; never is more added.</param>
    public SlotQueue(int capacity)
    {
        Invariant.Check(BitOperations.IsPow2(capacity));
        _cells = new Cell[capacity];
        _mask = capacity - 1;
        for (int i = 0; i < capacity; i++)
        {
            _cells[i].Turn = i;
        }
    }

    public int Count => (int)(Volatile.Read(ref _tail) - Volatile.Read(ref _head));

    /// <summary>By the producer.</summary>
    public void Add(int slot)
    {
        Invariant.Check(Count < _cells.Length);
        ref Cell cell = ref _cells[_tail & _mask];
        // Its last consumer has claimed it, and is just reading it.
        SpinWait wait = default;
        while (Volatile.Read(ref cell.Turn) != _tail)
        {
            wait.SpinOnce();
        }
        cell.Slot = slot;
        Volatile.Write(ref cell.Turn, _tail + 1);
        Volatile.Write(ref _tail, _tail + 1);
    }

    /// <summary>By any thread; the oldest.</summary>
    public bool TryTake(out int slot)
    {
        slot = -1;
        while (true)
        {
            long head = Volatile.Read(ref _head);
            ref Cell cell = ref _cells[head & _mask];
            long turn = Volatile.Read(ref cell.Turn);
            if (turn <= head)
            {
                return false;
            }
            if (turn == head + 1 && Interlocked.CompareExchange(ref _head, head + 1, head) == head)
            {
                slot = cell.Slot;
                Volatile.Write(ref cell.Turn, head + _cells.Length);
                return true;
            }
        }
    }

    private struct Cell
    {
        public long Turn;
        public int Slot;
    }
}
