using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Simulator.Client;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Checkers;

/// <summary>
/// P1 and P3, sector by sector: which values a read may return. A value is what one write wrote. Times are
/// counts of what happened to the model.
/// <code>
///   a write that was answered with success supersedes what had ended before it began;
///   writes that overlap in time have no order; one that failed, or was cut off, may have happened or not;
///   a read, with no write under way, decides: later reads agree with it;
///   a power cut brings back whatever no flushed (or forced) write supersedes; a kill brings back nothing;
///   a cache that is lost at a start's flush brings it back too, and what a failed flush drops comes back
///   for its sector: then each client is told by a flush that fails, asked for after the write was answered.
/// </code>
/// </summary>
internal sealed class SectorModel
{
    private const int None = -1;
    private const int Never = int.MaxValue;

    private readonly int[] _first;
    private Write[] _writes = new Write[4096];
    private int _free = None;
    private int _used;
    private int _flushedUpTo;
    private int _cutAt = 1;
    private readonly Dictionary<long, int> _dropped = [];
    private readonly Dictionary<long, int> _droppedBelow = [];
    private readonly int[] _told = new int[ClientRequest.FlushClients];
    private int _lostUpTo;

    public SectorModel(int sectors)
    {
        _first = new int[sectors];
        _first.AsSpan().Fill(None);
    }

    private enum State : byte
    {
        UnderWay = 0,
        Done = 1,

        /// <summary>It may have happened or not, and it ends the validity of nothing.</summary>
        Unclear = 2,
    }

    public int Clock { get; private set; } = 1;

    /// <summary>A write (or zeroes: value 0; or a discard) of one value for each sector begins.</summary>
    public void Begin(long sector, ulong value, int time)
    {
        int next = FirstOf(sector);
        int node = Rent();
        _writes[node] = new Write
        {
            Value = value,
            Began = time,
            Ended = Never,
            HiddenAt = Never,
            Next = next,
        };
        _first[sector] = node;
    }

    /// <summary>Time goes on: call it before each thing that begins or ends.</summary>
    public int Tick() => ++Clock;

    public void EndDone(long sector, ulong value, int began, bool isForced)
    {
        ref Write write = ref Find(sector, value, began);
        write.State = State.Done;
        write.Ended = Clock;
        write.IsForced = isForced;
        for (int node = _first[sector]; node != None; node = _writes[node].Next)
        {
            ref Write other = ref _writes[node];
            if (other.Ended < began && other.HiddenAt == Never)
            {
                other.HiddenAt = Clock;
            }
        }
        Prune(sector);
    }

    public void EndUnclear(long sector, ulong value, int began)
    {
        ref Write write = ref Find(sector, value, began);
        write.State = State.Unclear;
        write.Ended = Clock;
    }

    /// <summary>A flush that was asked for at this time has succeeded, of everybody's writes.</summary>
    public void Flushed(int began)
    {
        _flushedUpTo = Math.Max(_flushedUpTo, began);
        foreach ((long sector, int droppedAt) in _dropped)
        {
            if (!IsRewritten(sector, droppedAt))
            {
                throw new Violation(
                    "P3",
                    $"a flush for nobody succeeded although sector {sector} was dropped at {droppedAt}");
            }
        }
    }

    /// <summary>The same, of a client that may have been told of what was lost before.</summary>
    public void Flushed(int client, int began)
    {
        if (_lostUpTo > 0 && _lostUpTo < began && _lostUpTo >= _told[client])
        {
            throw new Violation(
                "P3", $"a flush of client {client}, asked at {began}, succeeded; what was answered at "
                    + $"{_lostUpTo} was lost, and the last flush that failed for it was asked at "
                    + $"{_told[client]}");
        }
        _flushedUpTo = Math.Max(_flushedUpTo, began);
    }

    public void FlushFailed(int client, int began) => _told[client] = Math.Max(_told[client], began);

    /// <summary>The next process knows nothing of it.</summary>
    public void OnStart()
    {
        _lostUpTo = 0;
        _dropped.Clear();
        Array.Clear(_told);
    }

    /// <summary>What was in the cache for this sector is not there any more, while requests run.</summary>
    public void OnDropped(long sector)
    {
        if (_first[sector] == None)
        {
            return;
        }
        Prune(sector);
        int latestDurable = LatestDurable(sector);
        for (int node = _first[sector]; node != None; node = _writes[node].Next)
        {
            ref Write write = ref _writes[node];
            if (write.Ended == Never || write.Ended < latestDurable)
            {
                // Under way; or superseded for good, and known for the sake of reads that were under way.
                continue;
            }
            if (write.State == State.Done && !IsDurable(write))
            {
                _lostUpTo = Math.Max(_lostUpTo, write.Ended);
                _dropped[sector] = Clock;
            }
            write.HiddenAt = Never;
            write.Began = Clock;
            write.Ended = Clock;
        }
        Tick();
    }

    /// <summary>
    /// The same where the sector is no longer read: for reads that were under way before it moved, and for
    /// nobody else.
    /// </summary>
    public void OnDroppedBelow(long sector)
    {
        _droppedBelow[sector] = Clock;
        int latestDurable = LatestDurable(sector, OldestRead);
        for (int node = _first[sector]; node != None; node = _writes[node].Next)
        {
            ref Write write = ref _writes[node];
            if (write.Ended != Never && write.Ended >= latestDurable)
            {
                write.HiddenAt = Math.Max(write.HiddenAt, Clock);
            }
        }
        Tick();
    }

    private bool IsRewritten(long sector, int since)
    {
        for (int node = _first[sector]; node != None; node = _writes[node].Next)
        {
            // A write that was held while the sector was dropped has rewritten it.
            if (_writes[node].Ended > since && IsDurable(_writes[node]))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>
    /// Of one disk, with nothing under way. Reads settle nothing as durable: others may be in a cache yet.
    /// </summary>
    public void OnCacheLost()
    {
        _lostUpTo = Clock;
        BringBack();
        Tick();
    }

    /// <summary>A read that began at this time returned this value.</summary>
    public void CheckRead(long sector, ulong value, int began)
    {
        bool isKnown = false;
        // What it met may be read by nobody who comes later.
        bool isQuiet = began > _droppedBelow.GetValueOrDefault(sector);
        for (int node = FirstOf(sector); node != None; node = _writes[node].Next)
        {
            ref Write write = ref _writes[node];
            isKnown |= write.Value == value && write.HiddenAt > began;
            isQuiet &= write.Ended < began;
        }
        if (!isKnown)
        {
            throw new Violation(
                "P1", $"sector {sector} reads {Stamp.Describe(value)}; allowed: {Describe(sector, began)}");
        }
        if (isQuiet)
        {
            Decide(sector, value, began);
        }
    }

    /// <summary>What was under way may have happened or not, and will not happen any more.</summary>
    public void OnKill()
    {
        Tick();
        for (int i = 0; i < _used; i++)
        {
            if (_writes[i].Ended == Never && _writes[i].Began != 0)
            {
                _writes[i].State = State.Unclear;
                _writes[i].Ended = Clock;
            }
        }
        Tick();
    }

    /// <summary>After OnKill: what is not superseded durably is back, and its order is forgotten.</summary>
    public void OnPowerCut()
    {
        BringBack();
        _cutAt = Clock;
        Tick();
    }

    private void BringBack()
    {
        for (int sector = 0; sector < _first.Length; sector++)
        {
            if (_first[sector] != None)
            {
                Prune(sector, forgetsHidden: true);
                for (int node = _first[sector]; node != None; node = _writes[node].Next)
                {
                    _writes[node].HiddenAt = Never;
                    _writes[node].Began = Clock;
                    _writes[node].Ended = Clock;
                }
            }
        }
    }

    public string Describe(long sector, int began)
    {
        string all = "";
        for (int node = FirstOf(sector); node != None; node = _writes[node].Next)
        {
            Write write = _writes[node];
            string hidden = write.HiddenAt > began ? "" : " (hidden)";
            all += $"{(all.Length > 0 ? ", " : "")}{Stamp.Describe(write.Value)} {write.State}"
                + $" [{write.Began}, {(write.Ended == Never ? "" : write.Ended)}]{hidden}";
        }
        return $"{all}; the read began at {began}";
    }

    private int FirstOf(long sector)
    {
        if (_first[sector] == None)
        {
            int node = Rent();
            _writes[node] = new Write
            {
                Value = Stamp.Of(sector, 0),
                Began = 1,
                Ended = 1,
                HiddenAt = Never,
                State = State.Done,
                IsForced = true,
                Next = None,
            };
            _first[sector] = node;
        }
        return _first[sector];
    }

    private void Decide(long sector, ulong value, int began)
    {
        if (WasLastWrittenBefore(sector, _cutAt))
        {
            // What is read after a power cut, before anything is written, is on the medium.
            Settle(sector, value);
            return;
        }
        for (int node = _first[sector]; node != None; node = _writes[node].Next)
        {
            ref Write write = ref _writes[node];
            if (write.Value != value && write.HiddenAt == Never)
            {
                write.HiddenAt = began;
            }
        }
    }

    private bool WasLastWrittenBefore(long sector, int time)
    {
        for (int node = _first[sector]; node != None; node = _writes[node].Next)
        {
            if (_writes[node].Began > time)
            {
                return false;
            }
        }
        return true;
    }

    /// <summary>This value, durably, and no other.</summary>
    private void Settle(long sector, ulong value)
    {
        int kept = None;
        for (int node = _first[sector]; node != None;)
        {
            int next = _writes[node].Next;
            if (kept == None && _writes[node].Value == value)
            {
                kept = node;
            }
            else
            {
                Return(node);
            }
            node = next;
        }
        Write only = _writes[kept];
        _writes[kept] = only with { State = State.Done, IsForced = true, HiddenAt = Never, Next = None };
        _first[sector] = kept;
    }

    private bool IsDurable(in Write write) =>
        write.State == State.Done && (write.IsForced || write.Ended < _flushedUpTo);

    /// <summary>
    /// Forget what can never be read again: superseded durably and, unless reads are over, hidden long ago,
    /// and before the oldest of them, which may meet what is dropped below it.
    /// </summary>
    private void Prune(long sector, bool forgetsHidden = false)
    {
        if (!forgetsHidden && IsShort(sector))
        {
            return;
        }
        int latestDurable = LatestDurable(sector, forgetsHidden ? Never : OldestRead);
        int before = None;
        for (int node = _first[sector]; node != None;)
        {
            int next = _writes[node].Next;
            bool isPast = _writes[node].Ended < latestDurable;
            bool isUnseen = forgetsHidden || _writes[node].HiddenAt < OldestRead;
            if (isPast && isUnseen)
            {
                if (before == None)
                {
                    _first[sector] = next;
                }
                else
                {
                    _writes[before].Next = next;
                }
                Return(node);
            }
            else
            {
                before = node;
            }
            node = next;
        }
        Invariant.Check(_first[sector] != None);
    }

    private bool IsShort(long sector)
    {
        int count = 0;
        for (int node = _first[sector]; node != None; node = _writes[node].Next)
        {
            count++;
        }
        return count < 4;
    }

    /// <summary>
    /// When the last write of this sector began, of those that ended before this time, that cannot be lost
    /// any more; 0: none.
    /// </summary>
    private int LatestDurable(long sector, int endedBefore = Never)
    {
        int latest = 0;
        for (int node = _first[sector]; node != None; node = _writes[node].Next)
        {
            bool counts = IsDurable(_writes[node]) && _writes[node].Ended < endedBefore;
            latest = counts ? Math.Max(latest, _writes[node].Began) : latest;
        }
        return latest;
    }

    /// <summary>When the oldest read that is under way began.</summary>
    public int OldestRead { get; set; }

    private ref Write Find(long sector, ulong value, int began)
    {
        for (int node = _first[sector]; node != None; node = _writes[node].Next)
        {
            ref Write write = ref _writes[node];
            if (write.Began == began && write.Value == value && write.Ended == Never)
            {
                return ref write;
            }
        }
        throw new InvalidOperationException($"no such write of sector {sector}");
    }

    private int Rent()
    {
        if (_free != None)
        {
            int node = _free;
            _free = _writes[node].Next;
            return node;
        }
        if (_used == _writes.Length)
        {
            Array.Resize(ref _writes, _used * 2);
        }
        return _used++;
    }

    private void Return(int node)
    {
        _writes[node] = new Write { Next = _free, Ended = 0 };
        _free = node;
    }

    private record struct Write
    {
        public ulong Value { get; set; }

        public int Began { get; set; }

        public int Ended { get; set; }

        /// <summary>Reads that begin from here on do not return it, unless power is cut.</summary>
        public int HiddenAt { get; set; }

        public State State { get; set; }

        public bool IsForced { get; set; }

        public int Next { get; set; }
    }
}
