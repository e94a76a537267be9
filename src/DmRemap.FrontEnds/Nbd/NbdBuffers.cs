using System;
using System.Diagnostics.CodeAnalysis;
using DmRemap.Core.Abstractions;

namespace DmRemap.FrontEnds.Nbd;

/// <summary>
/// Lends the pool's slices to connections so that none waits for ever, whatever its clients do:
/// - Each connection is sure of one slice. With it a WRITE of any length and a READ of one slice make
/// progress even
///   when every other slice is held by replies that nobody takes.
/// - All other slices are shared. A READ takes all it needs at once or waits holding nothing new, so two
/// READs cannot
/// each hold what the other waits for. What is lent comes back by itself: the device completes, then the
/// client takes
///   its reply (or is cut off).
/// - A READ of more than half the pool takes one of a few reserves that hold the longest READ whole. A simple
/// reply's
///   header says success before the data goes out, so the whole READ must have succeeded first.
/// - Who cannot be served stands in line. Newcomers do not overtake, except on their own sure slice.
/// </summary>
internal sealed class NbdBuffers
{
    private readonly BufferPool _pool;
    private readonly SliceLease[] _leases;
    private readonly ReserveBuffer[] _reserves;
    private readonly NbdConnection[] _line;
    private readonly int _borrowersMax;
    private readonly BufferPool? _apart;
    private int _leasesFree;
    private int _reservesFree;
    private int _lineLength;
    private int _borrowers;

    /// <param name="pool">Of this server alone.</param>
    /// <param name="borrowersMax">Connections.</param>
    /// <param name="reserves">For READs of more than half the pool.</param>
    /// <param name="reserveBytes">The longest READ.</param>
    /// <param name="pieceBytes">What goes to the device at once.</param>
    /// <param name="apart">Slices that take the place of those that are kept for abandoned READs.</param>
    public NbdBuffers(
        BufferPool pool, int borrowersMax, int reserves, int reserveBytes, int pieceBytes, int apart)
    {
        Invariant.Check(borrowersMax > 0);
        Invariant.Check(borrowersMax <= pool.Slices / 2);
        Invariant.Check(pool.FreeCount == pool.Slices);
        Invariant.Check(reserves > 0);
        _pool = pool;
        _borrowersMax = borrowersMax;
        _line = new NbdConnection[borrowersMax];
        _apart = apart > 0 ? new BufferPool(apart, pool.SliceBytes) : null;
        _leases = new SliceLease[pool.Slices + apart];
        for (int i = 0; i < _leases.Length; i++)
        {
            _leases[i] = new SliceLease();
        }
        _leasesFree = _leases.Length;
        _reserves = new ReserveBuffer[reserves];
        for (int i = 0; i < reserves; i++)
        {
            int pieces = (reserveBytes + pieceBytes - 1) / pieceBytes;
            _reserves[i] = new ReserveBuffer(AllocateUntouched(reserveBytes), pieces);
        }
        _reservesFree = reserves;
    }

    public int SliceBytes => _pool.SliceBytes;

    public bool HasWaiters => _lineLength > 0;

    /// <summary>Others than this one, whom it may keep waiting.</summary>
    public bool HasWaitersBeside(NbdConnection borrower) =>
        _lineLength > 1 || (_lineLength == 1 && _line[0] != borrower);

    private int SharedFree => _pool.FreeCount - (_borrowersMax - _borrowers);

    public bool IsLarge(int slices) => slices > _pool.Slices / 2;

    /// <summary>Lend these slices, or put the borrower in line for them.</summary>
    public bool TryLend(NbdConnection borrower, int slices, out SliceLease? leases)
    {
        Invariant.Check(slices > 0);
        Invariant.Check(!IsLarge(slices));
        bool mayShare = true;
        for (int i = 0; i < _lineLength; i++)
        {
            mayShare &= _line[i].WantsReserve;
        }
        if (CanLend(borrower, slices, mayShare))
        {
            leases = Lend(borrower, slices);
            return true;
        }
        leases = null;
        StandInLine(borrower);
        return false;
    }

    public bool TryLendReserve(NbdConnection borrower, [NotNullWhen(true)] out ReserveBuffer? reserve)
    {
        bool mayTake = _reservesFree > 0;
        for (int i = 0; i < _lineLength; i++)
        {
            mayTake &= !_line[i].WantsReserve;
        }
        if (mayTake)
        {
            _reservesFree--;
            reserve = _reserves[_reservesFree];
            return true;
        }
        reserve = null;
        StandInLine(borrower);
        return false;
    }

    public void Return(SliceLease lease)
    {
        NbdConnection borrower = lease.Borrower!;
        Invariant.Check(borrower.SlicesHeld > 0);
        borrower.SlicesHeld--;
        if (borrower.SlicesHeld == 0)
        {
            _borrowers--;
        }
        _pool.Return(lease.Slice);
        Shelve(lease);
    }

    /// <summary>Are there slices to take the place of all of these?</summary>
    public bool CanAbandon(SliceLease? leases)
    {
        int count = 0;
        for (SliceLease? lease = leases; lease is not null; lease = lease.Next)
        {
            count++;
        }
        return count == 0 || count <= _apart!.FreeCount;
    }

    /// <summary>
    /// They stay with the device for nobody knows how long: others take their place in the pool, and whose
    /// they were owes them no more.
    /// </summary>
    public void Abandon(SliceLease? leases)
    {
        for (SliceLease? lease = leases; lease is not null; lease = lease.Next)
        {
            NbdConnection borrower = lease.Borrower!;
            lease.Borrower = null;
            borrower.SlicesHeld--;
            if (borrower.SlicesHeld == 0)
            {
                _borrowers--;
            }
            bool isRented = _apart!.TryRent(out BufferSlice instead);
            Invariant.Check(isRented);
            _pool.Return(instead);
        }
    }

    /// <summary>The device has given them back.</summary>
    public void ReturnAbandoned(AbandonedRead late)
    {
        while (late.Leases is SliceLease lease)
        {
            late.Leases = lease.Next;
            _apart!.Return(lease.Slice);
            Shelve(lease);
        }
        if (late.Reserve is not null)
        {
            ReturnReserve(late.Reserve);
            late.Reserve = null;
        }
    }

    public void ReturnReserve(ReserveBuffer reserve)
    {
        reserve.Clear();
        Invariant.Check(_reservesFree < _reserves.Length);
        _reserves[_reservesFree] = reserve;
        _reservesFree++;
    }

    /// <summary>
    /// Take the first in line that can be served now out of it; it then asks again, with nobody before it who
    /// could have been served.
    /// </summary>
    public bool TryServeNext([NotNullWhen(true)] out NbdConnection? served)
    {
        bool mayShare = true;
        bool mayTakeReserve = true;
        for (int i = 0; i < _lineLength; i++)
        {
            served = _line[i];
            bool canServe = served.WantsReserve
                ? mayTakeReserve && _reservesFree > 0
                : CanLend(served, served.SlicesWanted, mayShare);
            if (canServe)
            {
                LeaveLine(i);
                return true;
            }
            mayShare &= served.WantsReserve;
            mayTakeReserve &= !served.WantsReserve;
        }
        served = null;
        return false;
    }

    /// <summary>Lend to a borrower that <see cref="TryServeNext"/> has just named.</summary>
    public SliceLease LendServed(NbdConnection borrower)
    {
        Invariant.Check(CanLend(borrower, borrower.SlicesWanted, mayShare: true));
        return Lend(borrower, borrower.SlicesWanted);
    }

    /// <summary>As <see cref="LendServed"/>, for one that wanted a reserve.</summary>
    public ReserveBuffer LendReserveServed()
    {
        Invariant.Check(_reservesFree > 0);
        _reservesFree--;
        return _reserves[_reservesFree];
    }

    /// <summary>Stop waiting. Harmless for one that does not.</summary>
    public void Leave(NbdConnection borrower)
    {
        for (int i = 0; i < _lineLength; i++)
        {
            if (_line[i] == borrower)
            {
                LeaveLine(i);
                return;
            }
        }
    }

    /// <summary>
    /// Memory whose pages nobody has touched, so that a reserve costs nothing until a large READ comes. The
    /// array is not cleared: it is filled by a READ before a byte of it is sent.
    /// </summary>
    private static BufferSlice AllocateUntouched(int bytes)
    {
        byte[] array = GC.AllocateUninitializedArray<byte>(bytes + AlignedMemory.Alignment, pinned: true);
        long address = System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(array, 0);
        int start =
            (int)((AlignedMemory.Alignment - (address % AlignedMemory.Alignment)) % AlignedMemory.Alignment);
        return new BufferSlice(array, start, bytes);
    }

    private bool CanLend(NbdConnection borrower, int slices, bool mayShare)
    {
        int shared = borrower.SlicesHeld == 0 ? slices - 1 : slices;
        return shared == 0 || (mayShare && shared <= SharedFree);
    }

    private SliceLease Lend(NbdConnection borrower, int slices)
    {
        if (borrower.SlicesHeld == 0)
        {
            _borrowers++;
        }
        borrower.SlicesHeld += slices;
        SliceLease? first = null;
        for (int i = 0; i < slices; i++)
        {
            _leasesFree--;
            SliceLease lease = _leases[_leasesFree];
            bool isRented = _pool.TryRent(out BufferSlice slice);
            // The pool is ours alone, so what was counted free is free.
            Invariant.Check(isRented);
            lease.Slice = slice;
            lease.Borrower = borrower;
            lease.Next = first;
            first = lease;
        }
        return first!;
    }

    private void Shelve(SliceLease lease)
    {
        lease.Slice = default;
        lease.Outcome.Clear();
        lease.Borrower = null;
        lease.Next = null;
        _leases[_leasesFree] = lease;
        _leasesFree++;
    }

    private void StandInLine(NbdConnection borrower)
    {
        Invariant.Check(_lineLength < _line.Length);
        _line[_lineLength] = borrower;
        _lineLength++;
    }

    private void LeaveLine(int index)
    {
        _lineLength--;
        Array.Copy(_line, index + 1, _line, index, _lineLength - index);
    }
}

/// <summary>One slice of the pool, lent.</summary>
internal sealed class SliceLease
{
    private PieceOutcome _outcome;

    public BufferSlice Slice { get; set; }

    /// <summary>Of the piece of a READ that is read into it.</summary>
    public ref PieceOutcome Outcome => ref _outcome;

    public NbdConnection? Borrower { get; set; }

    public SliceLease? Next { get; set; }
}
