using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Simulator.World;

/// <summary>Something that happens outside of the process at a certain time.</summary>
internal abstract class WorldEvent
{
    /// <summary>Nanoseconds of simulated time.</summary>
    public long Due { get; set; }

    /// <summary>Two events of one time happen in the order in which they were planned.</summary>
    public long Sequence { get; set; }

    /// <summary>The agenda's own: the place in its heap, or -1.</summary>
    public int HeapIndex { get; set; } = -1;

    public bool IsPlanned => HeapIndex >= 0;

    public abstract void Happen();
}

/// <summary>What the world will do and when: a binary heap.</summary>
internal sealed class Agenda
{
    private WorldEvent[] _heap = new WorldEvent[64];
    private int _count;
    private long _sequence;

    public WorldEvent? First => _count == 0 ? null : _heap[0];

    public int Count => _count;

    public void Plan(WorldEvent planned, long due)
    {
        Invariant.Check(!planned.IsPlanned);
        if (_count == _heap.Length)
        {
            Array.Resize(ref _heap, _count * 2);
        }
        planned.Due = due;
        planned.Sequence = _sequence++;
        int index = _count++;
        while (index > 0 && IsBefore(planned, _heap[(index - 1) / 2]))
        {
            Put(index, _heap[(index - 1) / 2]);
            index = (index - 1) / 2;
        }
        Put(index, planned);
    }

    public void Cancel(WorldEvent planned)
    {
        if (planned.IsPlanned)
        {
            RemoveAt(planned.HeapIndex);
        }
    }

    public WorldEvent TakeFirst()
    {
        WorldEvent first = _heap[0];
        RemoveAt(0);
        return first;
    }

    private static bool IsBefore(WorldEvent left, WorldEvent right) =>
        left.Due < right.Due || (left.Due == right.Due && left.Sequence < right.Sequence);

    private void RemoveAt(int index)
    {
        _heap[index].HeapIndex = -1;
        WorldEvent moved = _heap[--_count];
        _heap[_count] = null!;
        if (index == _count)
        {
            return;
        }
        while (index > 0 && IsBefore(moved, _heap[(index - 1) / 2]))
        {
            Put(index, _heap[(index - 1) / 2]);
            index = (index - 1) / 2;
        }
        while (true)
        {
            int child = (2 * index) + 1;
            if (child + 1 < _count && IsBefore(_heap[child + 1], _heap[child]))
            {
                child++;
            }
            if (child >= _count || !IsBefore(_heap[child], moved))
            {
                break;
            }
            Put(index, _heap[child]);
            index = child;
        }
        Put(index, moved);
    }

    private void Put(int index, WorldEvent planned)
    {
        _heap[index] = planned;
        planned.HeapIndex = index;
    }
}
