using System.Collections.Generic;
using System.Linq;

namespace DmRemap.Tests.Engine;

/// <summary>
/// What each block may hold. Writes are known by a number; a block's history is the writes to it with when
/// each began and ended. A write supersedes those that ended before it began; overlapping ones have no order.
/// After a crash a block may also hold anything back to the last write that a completed flush or FUA covers.
/// </summary>
internal sealed class BlockModel
{
    private readonly List<Stamped>[] _history;
    private readonly int?[] _pinned;

    public BlockModel(int blocks)
    {
        Unreadable = new bool[blocks];
        _pinned = new int?[blocks];
        _history = new List<Stamped>[blocks];
        for (int i = 0; i < blocks; i++)
        {
            _history[i] = [new Stamped { Version = 0, Began = 0, Ended = 0, IsDurable = true }];
        }
    }

    /// <summary>The disk has had a bad sector here: reads may fail.</summary>
    public bool[] Unreadable { get; }

    public int Clock { get; private set; }

    public void Begin(long start, long count, int version)
    {
        Clock++;
        for (long block = start; block < start + count; block++)
        {
            _history[block].Add(new Stamped { Version = version, Began = Clock, Ended = int.MaxValue });
        }
    }

    public void End(long start, long count, int version, bool durable)
    {
        Clock++;
        for (long block = start; block < start + count; block++)
        {
            Stamped write = _history[block].First(w => w.Version == version && w.Ended == int.MaxValue);
            write.Ended = Clock;
            write.IsDurable |= durable;
        }
    }

    /// <summary>A flush that began at this time has completed.</summary>
    public void Flushed(int stamp)
    {
        foreach (List<Stamped> history in _history)
        {
            foreach (Stamped write in history.Where(w => w.Ended <= stamp))
            {
                write.IsDurable = true;
            }
        }
    }

    public HashSet<int>[] Allowed(long start, long count) =>
        [.. Enumerable.Range((int)start, (int)count).Select(block => Current(_history[block], _ => true))];

    /// <summary>
    /// Its last write has ended, and nothing else is under way: it must be readable wherever it lies.
    /// </summary>
    public bool IsCertain(int block) =>
        Allowed(block, 1)[0].Count == 1 && _history[block].Count > 1 && !WentBadSince(block);

    public int[] Stamps(long start, long count) => [.. Enumerable.Repeat(Clock, (int)count)];

    public bool WasBegunSince(long block, int stamp, int value) =>
        _history[block].Any(write => write.Began > stamp && write.Version == value);

    /// <summary>
    /// Anything that is not superseded: by a write that has ended, or, after a power cut, by one that is
    /// certainly durable.
    /// </summary>
    public HashSet<int> AllowedAfter(int block, bool powerCut) => _pinned[block] is int pinned
        ? [pinned]
        : Current(_history[block], write => !powerCut || write.IsDurable);

    /// <summary>The same on every read.</summary>
    public void Pin(int block, int value) => _pinned[block] = value;

    private static HashSet<int> Current(List<Stamped> history, System.Func<Stamped, bool> supersedes) =>
        [.. history
            .Where(write =>
                !history.Any(later =>
                    later.Began > write.Ended && later.Ended != int.MaxValue && supersedes(later)))
            .Select(write => write.Version)];

    /// <summary>A sector may have gone bad after its last write: the model does not follow when.</summary>
    private bool WentBadSince(int block) => Unreadable[block];

    private sealed class Stamped
    {
        public int Version { get; init; }

        public int Began { get; init; }

        public int Ended { get; set; }

        public bool IsDurable { get; set; }
    }
}
