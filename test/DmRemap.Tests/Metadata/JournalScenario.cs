using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Metadata;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>
/// A journal's life at random: commits that are acknowledged, ones that time out and land or do not,
/// checkpoints, crashes with a record in flight, recoveries; then records are destroyed. Who knows what was
/// acknowledged says what must be found.
/// </summary>
internal sealed class JournalScenario
{
    private readonly int _seed;
    private readonly Random _random;
    private readonly RingWorld _world;
    private readonly List<Written> _acknowledged = [];
    private readonly List<Written> _unknown = [];
    private SuperblockState _state = new() { Epoch = 1, FirstJournalSequence = 1 };
    private JournalLink _head;
    private ulong _next = 1;
    private ulong _headEnd = 1;
    private bool _isDestroyed;

    public JournalScenario(int seed)
    {
        _seed = seed;
        _random = new Random(seed);
        _world = new RingWorld(places: 1 + _random.Next(4), slots: 8 + _random.Next(20));
    }

    public void Step()
    {
        switch (_random.Next(10))
        {
            case < 5:
                Commit(_world.AllPlaces);
                break;
            case 5:
                TimeOut();
                break;
            case 6:
                TakeCheckpoint();
                break;
            case 7:
                _state = _state with { JournalHead = _head };
                break;
            default:
                Restart();
                break;
        }
    }

    /// <summary>Records vanish, from one place or from all.</summary>
    public void Destroy()
    {
        _isDestroyed = true;
        foreach (Written record in _acknowledged.Concat(_unknown).ToArray())
        {
            if (_random.Next(8) == 0)
            {
                uint from = _random.Next(2) == 0 ? _world.AllPlaces : (uint)_random.Next(16);
                _world.Erase(record.Link.Sequence, from);
            }
        }
    }

    /// <summary>True: a chain. False: damage.</summary>
    public bool Check()
    {
        AssertAsNaive(_world, _state, _seed);
        JournalChain? chain = _world.Decide(_state, out JournalDamage? damage);
        HashSet<JournalLink> there = [.. _world.Verifiable().Keys];
        Written[] needed = [.. _acknowledged.Where(one => one.Link.Sequence >= _state.FirstJournalSequence)];
        Written[] lost = [.. needed.Where(one => !there.Contains(one.Link))];
        if (chain is null)
        {
            Assert.True(_isDestroyed && lost.Length > 0, $"seed={_seed}: {damage}, and nothing is lost");
            return false;
        }
        JournalLink[] links = [.. chain.Records.Select(record => record.Header.Link)];
        JournalLink[] kept = [.. needed.Select(one => one.Link)];

        // The one residual limit: the last records above the head, gone from every place, with nothing left
        // that was written after them.
        bool isOnlyTailLost = lost.Length > 0
            && lost.AsSpan().SequenceEqual(needed.AsSpan(needed.Length - lost.Length))
            && lost[0].Link.Sequence > _state.JournalHead.Sequence
            && _world.Verifiable().Values.All(one => one.Header.CommitPoint < lost[0].Link.Sequence);
        Assert.True(lost.Length == 0 || isOnlyTailLost, $"seed={_seed}: {lost.Length} lost in silence");
        kept = kept[..^lost.Length];
        Assert.True(links.AsSpan().StartsWith(kept), $"seed={_seed}");
        Assert.True(links.Length <= kept.Length + 1, $"seed={_seed}");
        Assert.True(
            links.Length == kept.Length || _unknown.Any(one => one.Link == links[^1]), $"seed={_seed}");
        Assert.True(chain.NextSequence > chain.Tail.Sequence);
        return true;
    }

    /// <summary>The same question answered by walking forward through everything there is.</summary>
    public static void AssertAsNaive(RingWorld world, in SuperblockState state, int seed)
    {
        Dictionary<JournalLink, (JournalRecordHeader Header, uint Places)> all = world.Verifiable();
        ulong epoch = state.Epoch;
        JournalLink head = state.JournalHead;
        List<JournalLink> best = [];
        void Extend(JournalLink link, List<JournalLink> path)
        {
            if (path.Count > 0 && (best.Count == 0 || link.Sequence > best[^1].Sequence))
            {
                best = [.. path];
            }
            foreach (JournalRecordHeader next in all.Values.Select(one => one.Header))
            {
                if (next.Previous == link && next.Epoch == epoch)
                {
                    Extend(next.Link, [.. path, next.Link]);
                }
            }
        }
        Extend(head, []);
        JournalLink tail = best.Count == 0 ? head : best[^1];
        bool isWhole = all.Values.All(one => one.Header.CommitPoint <= tail.Sequence);
        List<JournalLink> down = [];
        for (JournalLink link = head; link.Sequence >= state.FirstJournalSequence && isWhole;)
        {
            isWhole = all.ContainsKey(link);
            down.Insert(0, link);
            link = isWhole ? all[link].Header.Previous : default;
        }
        JournalChain? chain = world.Decide(state, out JournalDamage? damage);
        Assert.True(isWhole == chain is not null, $"seed={seed}");
        Assert.True(isWhole == damage is null, $"seed={seed}");
        if (chain is not null)
        {
            JournalLink[] expected = [.. down, .. best];
            Assert.Equal(expected, chain.Records.Select(record => record.Header.Link));
            Assert.Equal(expected.Select(link => all[link].Places), chain.Records.Select(one => one.Places));
            Assert.Equal(tail, chain.Tail);
            Assert.True(all.Keys.All(link => link.Sequence < chain.NextSequence));
        }
    }

    private void Commit(uint places)
    {
        if (TryWrite(places, torn: 0, out Written record))
        {
            _acknowledged.Add(record);
            _head = record.Link;
            _headEnd = _next;
        }
    }

    private void TimeOut()
    {
        if (TryWrite((uint)_random.Next(16), (uint)_random.Next(16), out Written record))
        {
            _unknown.Add(record);
        }
    }

    private void TakeCheckpoint() => _state = _state with
    {
        FirstJournalSequence = _head.Sequence + 1,
        JournalHead = _head,
    };

    private void Restart()
    {
        Assert.True(Check(), $"seed={_seed}: damage without a reason");
        JournalChain chain = _world.Decide(_state, out _)!;
        if (chain.Tail != _head)
        {
            // What timed out had landed and won.
            _acknowledged.Add(_unknown.Single(one => one.Link == chain.Tail));
            _head = chain.Tail;
        }
        _unknown.Clear();
        _next = chain.NextSequence;
        _headEnd = _next;
        bool isWhole = chain.IsWholeIn(_world.AllPlaces);
        _state = _state with { Epoch = _state.Epoch + 1, JournalHead = _head };
        if (!isWhole)
        {
            TakeCheckpoint();
        }
    }

    private bool TryWrite(uint whole, uint torn, out Written record)
    {
        int slots = 1 + _random.Next(Math.Min(3, _world.Ring.SlotsPerRecordMax));
        ulong first = _state.FirstJournalSequence;
        ulong end = _head.Sequence < first ? first : _headEnd;
        record = default;
        if (!_world.Ring.TryFit(_next, slots, first, end, out ulong sequence))
        {
            return false;
        }
        _next = sequence + (ulong)slots;
        JournalLink link = _world.Write(sequence, _head, _state.Epoch, whole, torn, slots);
        record = new Written(link, _head.Sequence);
        return true;
    }

    private readonly record struct Written(JournalLink Link, ulong CommitPoint);
}
