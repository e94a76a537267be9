using DmRemap.Core.Abstractions;

namespace DmRemap.Linux.Loop;

/// <summary>
/// The timers that are set, as a binary heap in an array: earliest first, and in the order they were set
/// among equals. Each timer knows its place, so that it is moved or taken out without a search.
/// </summary>
internal sealed class TimerHeap(int capacity)
{
    private readonly Entry[] _entries = new Entry[capacity];
    private long _sequence;

    public int Count { get; private set; }

    /// <summary>Timers set from now on have at least this number.</summary>
    public long NextSequence => _sequence;

    public Instant FirstDue => new(_entries[0].Due);

    public void Set(LoopTimer timer, Instant due)
    {
        Remove(timer);
        Invariant.Check(Count < _entries.Length);
        timer.Due = due;
        Entry entry = new(due.Nanoseconds, _sequence, timer);
        _sequence++;
        Count++;
        SiftUp(Count - 1, entry);
    }

    public void Remove(LoopTimer timer)
    {
        int index = timer.HeapIndex;
        if (index < 0)
        {
            return;
        }
        Invariant.Check(index < Count);
        Invariant.Check(ReferenceEquals(_entries[index].Timer, timer));
        Count--;
        Entry last = _entries[Count];
        _entries[Count] = default;
        timer.HeapIndex = -1;
        if (index == Count)
        {
            return;
        }
        if (index > 0 && last.IsBefore(_entries[(index - 1) / 2]))
        {
            SiftUp(index, last);
        }
        else
        {
            SiftDown(index, last);
        }
    }

    /// <summary>
    /// Take out the first timer if it is due and was set before the given number; else null.
    /// </summary>
    public LoopTimer? TakeDue(Instant now, long beforeSequence)
    {
        if (Count == 0 || _entries[0].Due > now.Nanoseconds || _entries[0].Sequence >= beforeSequence)
        {
            return null;
        }
        LoopTimer timer = _entries[0].Timer;
        Remove(timer);
        return timer;
    }

    private void SiftUp(int index, Entry entry)
    {
        while (index > 0)
        {
            int parent = (index - 1) / 2;
            if (!entry.IsBefore(_entries[parent]))
            {
                break;
            }
            Place(index, _entries[parent]);
            index = parent;
        }
        Place(index, entry);
    }

    private void SiftDown(int index, Entry entry)
    {
        while (true)
        {
            int child = (2 * index) + 1;
            if (child >= Count)
            {
                break;
            }
            if (child + 1 < Count && _entries[child + 1].IsBefore(_entries[child]))
            {
                child++;
            }
            if (!_entries[child].IsBefore(entry))
            {
                break;
            }
            Place(index, _entries[child]);
            index = child;
        }
        Place(index, entry);
    }

    private void Place(int index, Entry entry)
    {
        _entries[index] = entry;
        entry.Timer.HeapIndex = index;
    }

    private readonly record struct Entry(long Due, long Sequence, LoopTimer Timer)
    {
        public bool IsBefore(Entry other) =>
            Due < other.Due || (Due == other.Due && Sequence < other.Sequence);
    }
}
