using System;
using System.Collections.Generic;
using System.Numerics;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>Told when a lost unit has been tried.</summary>
internal interface ILossRetryOwner
{
    /// <param name="blocksBack">Blocks that read, and are on a spare now.</param>
    void OnLossRetried(int blocksBack);
}

/// <summary>
/// Tries blocks that were given up as unreadable once more. What reads twice, equal, and without an error is
/// copied to a spare with the rest of its unit, while it still can be. Order (F-5): hold → drain → read →
/// write the spare durably → record → publish → release. Blocks that were lost otherwise (declared, or with a
/// spare unit) are never looked at: what the primary holds of them is older than what was lost.
/// </summary>
internal sealed class LossRetry(RemapDevice device) : PlacementJob(device, RetiredMax + 1)
{
    private const int RetiredMax = 16;

    private readonly BufferSlice _again =
        AlignedMemory.Allocate(Math.Max(device.Units.UnitBytes, AlignedMemory.Alignment));

    private ILossRetryOwner? _owner;
    private UnitNumber _unit;
    private ulong _toRead;
    private ulong _rest;
    private ulong _back;
    private int _index;
    private int _count;

    public void Begin(UnitNumber unit, ILossRetryOwner owner)
    {
        Invariant.Check(IsIdle);
        _unit = unit;
        _owner = owner;
        Resume();
    }

    protected override bool IsWaitedFor => false;

    protected override IEnumerator<Wait> Script()
    {
        while (true)
        {
            yield return Wait.Work;
            Device.Holds.Acquire(_unit, this);
            yield return Wait.Hold;
            StartUnit();
            while (TakePieceOf(ref _toRead, Device.Primary, out _index, out _count))
            {
                SubmitToPrimary(IoOperation.Read, Blocks(), ScratchAt(_index, _count));
                yield return Wait.Io;
                if (TakeRead())
                {
                    SubmitToPrimary(IoOperation.Read, Blocks(), Again());
                    yield return Wait.Io;
                    TakeSecondRead();
                }
            }
            PrepareCopy();
            while (TakePieceOf(ref _rest, Device.Primary, out _index, out _count))
            {
                SubmitToPrimary(IoOperation.Read, Blocks(), ScratchAt(_index, _count));
                yield return Wait.Io;
                TakeRest();
            }
            if (Supplied != 0)
            {
                yield return Wait.Subscript;
                if (HasChanges())
                {
                    SubmitChanges();
                    yield return Wait.Commit;
                    TakeCommit();
                }
            }
            int back = BitOperations.PopCount(_back);
            Device.ReleaseHold(_unit);
            ILossRetryOwner owner = _owner!;
            _owner = null;
            owner.OnLossRetried(back);
        }
    }

    private void StartUnit()
    {
        _toRead = _rest = _back = Supplied = 0;
        bool isUnreadable = Device.Table.TryGet(_unit, out RemapEntry entry)
            && entry.State == UnitState.LostUnreadable;
        if (isUnreadable && Device.MayCopyWeak(_unit))
        {
            Old = entry;
            _toRead = entry.Blocks.MaskOf(BlockState.Lost) & Units.FullMask(_unit);
        }
    }

    private bool TakeRead()
    {
        if (IoSucceeded)
        {
            Device.Primary.Reads++;
            return true;
        }
        Device.Primary.ReadErrors++;
        ErrorClass kind =
            RemapDevice.Classify(Device.Primary, IoOperation.Read, IoStatus, IoErrno, IoElapsed);
        if (kind is not (ErrorClass.Medium or ErrorClass.Ambiguous))
        {
            // A disk that is away says nothing of its sectors.
            _toRead = 0;
        }
        return false;
    }

    private void TakeSecondRead()
    {
        if (TakeRead() && Again().Span.SequenceEqual(ScratchAt(_index, _count).Span))
        {
            _back |= BlockStates.Mask(_index, _count);
        }
    }

    private void PrepareCopy()
    {
        if (_back == 0 || !Device.MayCopyWeak(_unit))
        {
            _back = 0;
            return;
        }
        Changes.Prepare(this);
        RetirementsLeft = RetiredMax;
        Supplied = _back;
        _rest = Old.Blocks.MaskOf(BlockState.OnPrimary) & Units.FullMask(_unit);
    }

    /// <summary>What of the rest does not read stays where it is, and so does what comes behind it.</summary>
    private void TakeRest()
    {
        if (TakeRead())
        {
            Supplied |= BlockStates.Mask(_index, _count);
        }
        else
        {
            _rest = 0;
        }
    }

    private bool HasChanges()
    {
        if (IsPlaced)
        {
            Changes.Add(new TableChange(TableChangeKind.Set, Placed));
        }
        else
        {
            _back = 0;
        }
        return Changes.Count > 0;
    }

    private void TakeCommit()
    {
        if (IsPlaced && Changes.Outcome == CommitOutcome.Done)
        {
            PublishPlacement(Old, Placed);
            Device.Counters.BlocksSalvaged += BitOperations.PopCount(_back);
            Device.Publish(
                EngineEventKind.Salvaged, Device.Primary, Device.BlocksOf(_unit, _back),
                Placed.Location, 0);
            return;
        }
        if (IsPlaced)
        {
            // Lost or back: whichever rule wins, no other content shows.
            Device.NoteUncommitted(_unit, Placed.Location, Changes.Outcome, isSameContent: true);
        }
        _back = 0;
    }

    private BufferSlice Again()
    {
        int size = Units.BlockSize.Bytes;
        return _again.Slice(_index * size, _count * size);
    }

    private Extent Blocks() => Units.ExtentAt(_unit, _index, _count);
}
