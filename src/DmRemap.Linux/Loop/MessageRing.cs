using System.Numerics;
using System.Threading;
using DmRemap.Core.Abstractions;

namespace DmRemap.Linux.Loop;

/// <summary>
/// A bounded queue from many threads to one, without locks and without allocation. Each cell has a turn: `t`
/// = free for the message with number t, `t + 1` = that message is in it. A producer claims number t by
/// advancing the tail, fills cell t mod size and sets its turn to t + 1; the consumer takes it and sets the
/// turn to t + size. Closing sets a bit in the tail: whoever claimed before gets through, nobody claims
/// after. So a message is either refused or taken, also while the loop ends.
/// </summary>
internal sealed class MessageRing
{
    private const long Closed = 1L << 62;

    private readonly Cell[] _cells;
    private readonly long _mask;
    private long _tail;
    private long _head;

    public MessageRing(int capacity)
    {
        Invariant.Check(BitOperations.IsPow2(capacity));
        _cells = new Cell[capacity];
        _mask = capacity - 1;
        for (int i = 0; i < capacity; i++)
        {
            _cells[i].Turn = i;
        }
    }

    /// <summary>From any thread. False when full or closed.</summary>
    public bool TryAdd(ILoopMessage message)
    {
        long tail = Volatile.Read(ref _tail);
        while (true)
        {
            if ((tail & Closed) != 0)
            {
                return false;
            }
            ref Cell cell = ref _cells[tail & _mask];
            long turn = Volatile.Read(ref cell.Turn);
            if (turn < tail)
            {
                return false;
            }
            if (turn == tail)
            {
                long seen = Interlocked.CompareExchange(ref _tail, tail + 1, tail);
                if (seen == tail)
                {
                    cell.Message = message;
                    Volatile.Write(ref cell.Turn, tail + 1);
                    return true;
                }
                tail = seen;
            }
            else
            {
                tail = Volatile.Read(ref _tail);
            }
        }
    }

    /// <summary>By the one consumer. Null when there is none.</summary>
    public ILoopMessage? TryTake()
    {
        ref Cell cell = ref _cells[_head & _mask];
        if (Volatile.Read(ref cell.Turn) != _head + 1)
        {
            return null;
        }
        ILoopMessage message = cell.Message!;
        cell.Message = null;
        Volatile.Write(ref cell.Turn, _head + _cells.Length);
        _head++;
        return message;
    }

    /// <summary>
    /// By the consumer: refuse from now on. Every message taken before is still to be taken out.
    /// </summary>
    public void Close() => Interlocked.Or(ref _tail, Closed);

    /// <summary>
    /// After Close, by the consumer: the next message, waiting for a producer that has just claimed its
    /// place.
    /// </summary>
    public ILoopMessage? TakeRemaining()
    {
        long end = Volatile.Read(ref _tail) & ~Closed;
        if (_head == end)
        {
            return null;
        }
        SpinWait wait = default;
        while (true)
        {
            ILoopMessage? message = TryTake();
            if (message is not null)
            {
                return message;
            }
            wait.SpinOnce();
        }
    }

    private struct Cell
    {
        public long Turn;
        public ILoopMessage? Message;
    }
}
