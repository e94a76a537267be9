using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Metadata;

namespace DmRemap.Tests.Metadata;

/// <summary>The journal's places as bytes, and records put into them one by one.</summary>
internal sealed class RingWorld(int places, int slots = 16)
{
    private readonly byte[][] _places =
        [.. Enumerable.Range(0, places).Select(_ => new byte[slots * 4096])];

    public JournalRing Ring { get; } = new(4096, slots);

    public int Places => _places.Length;

    public uint AllPlaces => (1u << _places.Length) - 1;

    /// <summary>A record of this many slots, whole in some places and torn in others.</summary>
    public JournalLink Write(
        ulong sequence,
        JournalLink previous,
        ulong epoch = 1,
        uint whole = uint.MaxValue,
        uint torn = 0,
        int slots = 1,
        ulong? commitPoint = null)
    {
        JournalRecordWriter writer = new(Ring with { Slots = 256 });
        writer.Begin();

        // One cell that tells the record, then as many as it takes.
        writer.Add(TableSample.Set1(TableSample.Remapped((long)sequence, 0, (long)sequence)));
        for (int i = 0; writer.Slots < slots; i++)
        {
            writer.Add(TableSample.Remove(2 * i));
        }
        byte[] record = new byte[slots * 4096];
        JournalLink link = writer.Finish(
            record, TableSample.Set.SetUuid, epoch, sequence, previous, commitPoint ?? previous.Sequence);
        for (int place = 0; place < _places.Length; place++)
        {
            bool isTorn = (torn & (1u << place)) != 0;
            int length = isTorn ? record.Length - 4096 + 512 : record.Length;
            bool isThere = isTorn || (whole & (1u << place)) != 0;
            if (isThere)
            {
                Span<byte> target = _places[place].AsSpan((int)Ring.OffsetOf(sequence));

                // Torn: the checksum that is in the first 512 bytes does not know the rest.
                record.AsSpan(0, length).CopyTo(target);
                target[(record.Length - 1)..record.Length][0] ^= (byte)(isTorn ? 0xA5 : 0);
            }
        }
        return link;
    }

    public void Erase(ulong sequence, uint places)
    {
        for (int place = 0; place < _places.Length; place++)
        {
            if ((places & (1u << place)) != 0)
            {
                _places[place].AsSpan((int)Ring.OffsetOf(sequence), 4096).Clear();
            }
        }
    }

    public JournalHistory Read()
    {
        JournalHistory history = new(TableSample.Set.SetUuid, Ring);
        for (int place = 0; place < _places.Length; place++)
        {
            history.AddPlace(place, _places[place]);
        }
        return history;
    }

    public JournalChain? Decide(in SuperblockState state, out JournalDamage? damage) =>
        Read().Decide(state, out damage);

    /// <summary>The sequences of the chain; null when it is damage.</summary>
    public ulong[]? Sequences(in SuperblockState state) =>
        Decide(state, out _)?.Records.Select(record => record.Header.Sequence).ToArray();

    /// <summary>Every record that can be verified, and who has it: the naive model's view.</summary>
    public Dictionary<JournalLink, (JournalRecordHeader Header, uint Places)> Verifiable()
    {
        Dictionary<JournalLink, (JournalRecordHeader Header, uint Places)> found = [];
        for (int place = 0; place < _places.Length; place++)
        {
            for (int slot = 0; slot < Ring.Slots; slot++)
            {
                UnverifiedJournalRecord record = new(_places[place].AsSpan(slot * 4096));
                if (record.TryVerify(TableSample.Set.SetUuid, Ring, slot, out JournalRecordHeader header))
                {
                    uint before = found.TryGetValue(header.Link, out var known) ? known.Places : 0;
                    found[header.Link] = (header, before | (1u << place));
                }
            }
        }
        return found;
    }
}
