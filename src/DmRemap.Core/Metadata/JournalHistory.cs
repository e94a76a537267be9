using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Metadata;

/// <summary>A record and the places it was found in: bit (member * 2 + place).</summary>
public sealed class FoundRecord(in JournalRecordHeader header, byte[] cells)
{
    public JournalRecordHeader Header { get; } = header;

    /// <summary>The cells, 64 bytes each.</summary>
    public byte[] Cells { get; } = cells;

    public uint Places { get; set; }
}

/// <summary>The records that count, ascending, and where the next one goes.</summary>
public sealed record JournalChain
{
    public required FoundRecord[] Records { get; init; }

    /// <summary>The last record; the superblock's head when there is none behind it.</summary>
    public required JournalLink Tail { get; init; }

    /// <summary>Above everything ever seen, so that no number is used twice.</summary>
    public required ulong NextSequence { get; init; }

    /// <summary>True when each record is whole in all of these places.</summary>
    public bool IsWholeIn(uint places) => CountLackingIn(places) == 0;

    /// <summary>Records that are not whole in all of these places.</summary>
    public int CountLackingIn(uint places)
    {
        int lacking = 0;
        foreach (FoundRecord record in Records)
        {
            lacking += (record.Places & places) == places ? 0 : 1;
        }
        return lacking;
    }
}

/// <summary>Records that were acknowledged and are nowhere: sequences [First, Last].</summary>
public sealed record JournalDamage(ulong First, ulong Last);

/// <summary>
/// Decides from all records in all places of all members which of them are history. Each record names the
/// acknowledged one before it, by sequence and checksum:
/// <code>
///   checkpoint ◀─ 16 ◀─ 18 ◀─ 19 ◀─ 22     20 timed out and was superseded by 22: it is in no chain
///                       head        tail     head: in the superblock; tail: of its epoch, above the head
/// </code>
/// Down from the head every record must be there, whatever its epoch. Above it, records of the superblock's
/// epoch count as far as they link to the head without a gap; what a gap cuts off was never acknowledged,
/// which the commit points prove (F-12): a commit point above the tail means damage, never the end. Records
/// of another epoch above the head were discarded by a recovery and stay so (F-13).
/// </summary>
public sealed class JournalHistory(Guid setUuid, JournalRing ring)
{
    private readonly Dictionary<JournalLink, FoundRecord> _byLink = [];
    private readonly List<FoundRecord> _records = [];
    private ulong _commitPointMax;
    private ulong _sequenceEnd = 1;

    /// <summary>Take the whole ring of one place; what could not be read of it is zeros.</summary>
    public void AddPlace(int place, ReadOnlySpan<byte> bytes)
    {
        Invariant.Check(bytes.Length >= ring.Bytes);
        bytes = bytes[..(int)ring.Bytes];
        for (int slot = 0; slot < ring.Slots; slot++)
        {
            ReadOnlySpan<byte> fromSlot = bytes[(slot * ring.SlotBytes)..];
            UnverifiedJournalRecord record = new(fromSlot);
            if (record.TryVerify(setUuid, ring, slot, out JournalRecordHeader header))
            {
                Add(place, header, fromSlot);
            }
        }
    }

    /// <summary>The history that this superblock belongs to, or what is missing of it.</summary>
    public JournalChain? Decide(in SuperblockState state, out JournalDamage? damage)
    {
        List<FoundRecord> chain = [];
        JournalLink tail = FindTail(state, chain);
        damage = tail.Sequence < _commitPointMax
            ? new JournalDamage(tail.Sequence + 1, _commitPointMax)
            : WalkBack(state, chain);
        if (damage is not null)
        {
            return null;
        }
        chain.Reverse();
        ulong end = Math.Max(_sequenceEnd, state.JournalHead.Sequence + 1);
        return new JournalChain
        {
            Records = [.. chain],
            Tail = tail,
            NextSequence = Math.Max(end, state.FirstJournalSequence),
        };
    }

    /// <summary>
    /// What is left of a damaged history, for somebody who goes on without the rest: what links to the head,
    /// and below it every record that is proven to have been acknowledged, because another one names it as
    /// the one before. What only a lost record said stays as it was before that record. The tail is above
    /// every commit point, so that the next start does not miss the same records again.
    /// </summary>
    public JournalChain Salvage(in SuperblockState state)
    {
        List<FoundRecord> chain = [];
        JournalLink tail = FindTail(state, chain);
        HashSet<JournalLink> acknowledged = [state.JournalHead];
        foreach (FoundRecord record in _records)
        {
            acknowledged.Add(record.Header.Previous);
        }
        foreach (FoundRecord record in _records)
        {
            bool isNeeded = record.Header.Sequence >= state.FirstJournalSequence && !chain.Contains(record);
            if (isNeeded && acknowledged.Contains(record.Header.Link))
            {
                chain.Add(record);
            }
        }
        chain.Sort(static (left, right) => left.Header.Sequence.CompareTo(right.Header.Sequence));
        if (LastOf(state, chain) is FoundRecord last)
        {
            chain.Add(last);
            tail = last.Header.Link;
        }
        ulong end = Math.Max(tail.Sequence, _commitPointMax);
        return new JournalChain
        {
            Records = [.. chain],
            Tail = end == tail.Sequence ? tail : new JournalLink(end, 0),
            NextSequence = Math.Max(Math.Max(_sequenceEnd, end + 1), state.FirstJournalSequence),
        };
    }

    /// <summary>
    /// The record behind the last one that is kept: nobody names it, as nothing came after it. It lies above
    /// every commit point, as a tail does, or a later one took its place.
    /// </summary>
    private FoundRecord? LastOf(in SuperblockState state, List<FoundRecord> chain)
    {
        FoundRecord? last = null;
        foreach (FoundRecord record in _records)
        {
            bool isAbove = record.Header.Epoch == state.Epoch && record.Header.Sequence > _commitPointMax
                && record.Header.Sequence > (last?.Header.Sequence ?? 0);
            bool isBehind = chain.Exists(kept => kept.Header.Link == record.Header.Previous);
            last = isAbove && isBehind && !chain.Contains(record) ? record : last;
        }
        return last;
    }

    private void Add(int place, in JournalRecordHeader header, ReadOnlySpan<byte> fromSlot)
    {
        _commitPointMax = Math.Max(_commitPointMax, header.CommitPoint);
        _sequenceEnd = Math.Max(_sequenceEnd, header.Sequence + (ulong)header.Slots);
        if (!_byLink.TryGetValue(header.Link, out FoundRecord? found))
        {
            byte[] cells = fromSlot.Slice(
                JournalFormat.HeaderBytes, header.Cells * SpareLayout.CellBytes).ToArray();
            found = new FoundRecord(header, cells);
            _byLink.Add(header.Link, found);
            _records.Add(found);
        }
        found.Places |= 1u << place;
    }

    /// <summary>The highest record of this epoch that links to the head; its chain, descending.</summary>
    private JournalLink FindTail(in SuperblockState state, List<FoundRecord> chain)
    {
        JournalLink best = state.JournalHead;
        foreach (FoundRecord candidate in _records)
        {
            if (candidate.Header.Sequence > best.Sequence && LinksToHead(candidate, state))
            {
                best = candidate.Header.Link;
            }
        }
        for (JournalLink link = best; link != state.JournalHead; link = chain[^1].Header.Previous)
        {
            chain.Add(_byLink[link]);
        }
        return best;
    }

    private bool LinksToHead(FoundRecord candidate, in SuperblockState state)
    {
        FoundRecord? record = candidate;
        while (record is not null && record.Header.Epoch == state.Epoch)
        {
            if (record.Header.Previous == state.JournalHead)
            {
                return true;
            }
            bool isAboveHead = record.Header.Previous.Sequence > state.JournalHead.Sequence;
            record = isAboveHead ? _byLink.GetValueOrDefault(record.Header.Previous) : null;
        }
        return false;
    }

    /// <summary>From the head down to what the checkpoint holds.</summary>
    private JournalDamage? WalkBack(in SuperblockState state, List<FoundRecord> chain)
    {
        JournalLink link = state.JournalHead;
        while (link.Sequence >= state.FirstJournalSequence)
        {
            if (!_byLink.TryGetValue(link, out FoundRecord? record))
            {
                return new JournalDamage(state.FirstJournalSequence, link.Sequence);
            }
            chain.Add(record);
            link = record.Header.Previous;
        }
        return null;
    }
}
