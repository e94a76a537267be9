using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

/// <summary>
/// Members that come and go while the set is served, one change at a time. Each step waits for the one before
/// it to be durable, so that a crash leaves the set with the member or without it:
/// <code>
///   add      listed as inactive on all others → superblocks of its own → the table on it, then counted as
///            active → the table once more, behind every record that it has not got
///            (at the place of one that has left: first a table that names nothing there)
///   retire   (nothing of the table is on it) a table that does not name it → listed as retired on all others
/// </code>
/// </summary>
public sealed partial class MetadataStore : IMemberSeedOwner
{
    private MembershipStep _change;
    private MemberAddition? _addition;
    private MemberSeed? _seed;
    private IMembershipChangeOwner? _changeOwner;
    private int _changing;
    private ulong _changeNeeds;
    private long _checkpointsBefore;
    private bool _isChangeDone;

    private enum MembershipStep : byte
    {
        None = 0,

        /// <summary>Waits for a moment in which nothing is being written.</summary>
        Growing = 1,

        /// <summary>Listed as inactive, but not everywhere yet.</summary>
        Listing = 2,

        /// <summary>Its own first superblocks are being written.</summary>
        Seeding = 3,

        /// <summary>Waits for the end of a checkpoint that it has no part in.</summary>
        Joining = 4,

        /// <summary>The table is written to it, and superblocks that count it in.</summary>
        Counting = 5,

        /// <summary>Counted; the table is written again, so that it needs no record from before.</summary>
        Completing = 6,

        /// <summary>Waits for the end of a checkpoint that may name what is to go.</summary>
        Clearing = 7,

        /// <summary>A table without it is being written.</summary>
        Forgetting = 8,

        /// <summary>Listed as retired, but not everywhere yet.</summary>
        Retiring = 9,

        /// <summary>The owner is to be told.</summary>
        Ended = 10,
    }

    /// <summary>By member index; null where it is not here.</summary>
    public ReadOnlySpan<MetadataMember?> Members => _members;

    public int MemberCount => _set.Members.Length;

    public bool IsMembershipChanging => _change != MembershipStep.None;

    public JournalRing Ring => _ring;

    /// <summary>
    /// What adding this spare would be; null, and why not. Nothing is written, and nothing is decided for
    /// good: until BeginAddition no other change of membership may begin.
    /// </summary>
    /// <param name="device">Claimed, and apart from every member.</param>
    /// <param name="uuid">New.</param>
    /// <param name="mayTake">Which places of retired members may be given away again.</param>
    /// <param name="refusal">Why not.</param>
    public MemberAddition? PlanAddition(
        IBlockDevice device, Guid uuid, Func<int, bool> mayTake, out MetadataRefusal? refusal)
    {
        int index = FreePlace(mayTake);
        DeviceGeometry geometry = device.Geometry;
        refusal = index < 0
            ? new MetadataRefusal(
                MetadataRefusalKind.TooManySpares, -1, $"there are {Limits.SparesMax} members already")
            : ShapeRefusal(geometry);
        if (refusal is not null)
        {
            return null;
        }
        long others = 0;
        foreach (MemberDescription other in _set.Members)
        {
            others += other.State == MemberState.Retired ? 0 : other.Bytes;
        }
        SpareLayout? layout = SpareLayout.Compute(
            geometry.Bytes, geometry.PhysicalBlockBytes, _set.Geometry, new ByteCount(others), _ring.Bytes);
        if (layout is null || !_ring.Fits(layout))
        {
            refusal = new MetadataRefusal(
                MetadataRefusalKind.TooSmall,
                -1,
                $"{geometry.Bytes.Value} bytes; the set's journal ({_ring.Bytes} bytes) does not fit on it");
            return null;
        }
        long cells = _table.RunCount + _retired.Count;
        bool hasRoom = cells <= layout.EntriesMax - Limits.CommitChangesMax
            && _state.Checkpoint.LengthBytes <= layout.AreaA1.Bytes;
        if (!hasRoom)
        {
            refusal = new MetadataRefusal(
                MetadataRefusalKind.TooSmall,
                -1,
                $"{geometry.Bytes.Value} bytes; the table, {cells} runs long, does not fit on it");
            return null;
        }
        MetadataMember member = new(device, layout, MemberRole.Absent);
        MemberDescription description = new()
        {
            Uuid = uuid,
            State = MemberState.Inactive,
            Bytes = layout.SpareBytes,
            DataUnits = layout.DataUnits,
        };
        MetadataMember?[] members = new MetadataMember?[Math.Max(_members.Length, index + 1)];
        _members.CopyTo(members, 0);
        members[index] = member;
        return new MemberAddition(_loop, this, member, description, index, members);
    }

    /// <summary>Count the spare in. It is blank, or holds nothing that anybody needs.</summary>
    public void BeginAddition(MemberAddition addition, IMembershipChangeOwner owner)
    {
        Invariant.Check(_change == MembershipStep.None);
        Invariant.Check(addition.Journal is not null);
        _addition = addition;
        _changeOwner = owner;
        _changing = addition.Index;
        // At the place of one that has left, the table may still name units of that one.
        bool isTaken = addition.Index < _set.Members.Length;
        _change = isTaken ? MembershipStep.Clearing : MembershipStep.Growing;
        Pump();
    }

    /// <summary>
    /// Leave a member out for ever. Nothing of the table is on it, and nothing on its way to be; another one
    /// is active.
    /// </summary>
    public void BeginRetirement(int member, IMembershipChangeOwner owner)
    {
        Invariant.Check(_change == MembershipStep.None);
        Invariant.Check(IsAnotherActive(member));
        _changeOwner = owner;
        _changing = member;
        _change = MembershipStep.Clearing;
        Pump();
    }

    void IMemberSeedOwner.OnSeeded()
    {
        if (_change == MembershipStep.Seeding)
        {
            if (_seed!.IsDone)
            {
                _change = MembershipStep.Joining;
            }
            else
            {
                NoteFailure(_seed.Failure with { Target = _changing });
                EndChange(isDone: false);
            }
        }
        Pump();
    }

    /// <summary>
    /// New records and tables wait for the moment in which the set grows: that of what is being written, not
    /// of a whole table that is.
    /// </summary>
    private bool IsGrowing => _change == MembershipStep.Growing && !_checkpoint.IsRunning;

    private int FreePlace(Func<int, bool> mayTake)
    {
        for (int i = 0; i < _set.Members.Length; i++)
        {
            if (_set.Members[i].State == MemberState.Retired && mayTake(i))
            {
                return i;
            }
        }
        return _set.Members.Length < Limits.SparesMax ? _set.Members.Length : -1;
    }

    private MetadataRefusal? ShapeRefusal(DeviceGeometry device)
    {
        if (device.Bytes.Value < Limits.SpareBytesMin)
        {
            return new MetadataRefusal(
                MetadataRefusalKind.TooSmall,
                -1,
                $"{device.Bytes.Value} bytes; {Limits.SpareBytesMin} is the least");
        }
        bool isFit = device.LogicalBlockSize == _set.Geometry.BlockSize
            && device.AlignmentOffsetBytes == 0
            && _ring.SlotBytes % device.PhysicalBlockBytes == 0
            && device.TransferBytesMax >= _ring.SlotsPerRecordMax * _ring.SlotBytes;
        return isFit ? null : new MetadataRefusal(
            MetadataRefusalKind.WrongBlockSize,
            -1,
            $"blocks of {device.LogicalBlockSize.Bytes}/{device.PhysicalBlockBytes} bytes at offset"
                + $" {device.AlignmentOffsetBytes}; the set has blocks of {_set.Geometry.BlockSize.Bytes}"
                + $" bytes, and journal slots of {_ring.SlotBytes}");
    }

    private void PumpMembership()
    {
        if (_change is MembershipStep.None or MembershipStep.Ended)
        {
            return;
        }
        if (_isCancelled || _stopOwner is not null)
        {
            // What is on the disks by now is the set with it, or without it.
            EndChange(isDone: false);
            return;
        }
        MembershipStep before = _change;
        switch (_change)
        {
            case MembershipStep.Growing:
                TryGrow();
                break;
            case MembershipStep.Listing:
                TrySeed();
                break;
            case MembershipStep.Joining:
                TryJoin();
                break;
            case MembershipStep.Counting:
                LookAtCounting();
                break;
            case MembershipStep.Completing:
                LookAtCompleting();
                break;
            case MembershipStep.Clearing:
                TryForget();
                break;
            case MembershipStep.Forgetting:
                LookAtForgetting();
                break;
            case MembershipStep.Retiring:
                if (_changeNeeds <= _durable)
                {
                    // Not earlier: a start between would lend its bad units again.
                    _retired.Forget(_changing);
                    EndChange(isDone: true);
                }
                break;
            case MembershipStep.None:
            case MembershipStep.Seeding:
            case MembershipStep.Ended:
            default:
                break;
        }
        _isAgain |= before != _change;
    }

    private void TryGrow()
    {
        if (_journalPhase != JournalPhase.Idle || _superblocks.IsWriting || _checkpoint.IsRunning)
        {
            return;
        }
        if (Busy > 0)
        {
            // What is late belongs to the writers that are there now, and its places with it (F-2).
            EndChange(isDone: false);
            return;
        }
        MemberAddition addition = _addition!;
        _members = addition.Members;
        _journal = addition.Journal!;
        _superblocks = addition.Superblocks!;
        _checkpoint = addition.Checkpoint!;
        _seed = addition.Seed!;
        MemberDescription[] members = new MemberDescription[Math.Max(_set.Members.Length, _changing + 1)];
        _set.Members.CopyTo(members, 0);
        members[_changing] = addition.Description;
        _set = _set with { Members = members };
        // Before its own superblocks: a start that found those, and no other that lists it, would refuse.
        RequestSuperblocks();
        _changeNeeds = _wanted;
        _change = MembershipStep.Listing;
    }

    private void TrySeed()
    {
        if (_changeNeeds <= _durable)
        {
            _change = MembershipStep.Seeding;
            _seed!.Write(_set, _state, _changing, _deadline);
        }
    }

    private void TryJoin()
    {
        // A checkpoint that began without it must not decide what it has.
        if (!_checkpoint.IsRunning && !_isFlipPending)
        {
            // Its own superblocks are durable before any other counts it as active: a start that finds it
            // counted and without any would refuse.
            _addition!.Member.Role = MemberRole.Joining;
            RefreshEntriesMax();
            _isCheckpointWanted = true;
            _change = MembershipStep.Counting;
        }
    }

    private void LookAtCounting()
    {
        MemberRole role = _addition!.Member.Role;
        bool isOver = !_checkpoint.IsRunning && !_isCheckpointWanted && !_isFlipPending;
        if (role == MemberRole.Absent || (isOver && role != MemberRole.Active))
        {
            _addition.Member.Role = MemberRole.Absent;
            RefreshEntriesMax();
            EndChange(isDone: false);
        }
        else if (isOver)
        {
            // Records from before it was counted are on the others only: behind a new table nobody needs
            // them, and it stands for the set like any other.
            _checkpointsBefore = CheckpointsDone;
            _isCheckpointWanted = true;
            _change = MembershipStep.Completing;
        }
    }

    private void LookAtCompleting()
    {
        if (!_addition!.Member.IsActive)
        {
            RefreshEntriesMax();
            EndChange(isDone: false);
        }
        else if (CheckpointsDone > _checkpointsBefore)
        {
            EndChange(isDone: true);
        }
        else
        {
            WantTableAgain();
        }
    }

    private void TryForget()
    {
        if (!_checkpoint.IsRunning && !_isFlipPending)
        {
            if (_addition is not null)
            {
                _retired.Forget(_changing);
            }
            _checkpointsBefore = CheckpointsDone;
            _isCheckpointWanted = true;
            _change = MembershipStep.Forgetting;
        }
    }

    private void LookAtForgetting()
    {
        if (CheckpointsDone == _checkpointsBefore)
        {
            WantTableAgain();
            return;
        }
        if (_addition is not null)
        {
            _change = MembershipStep.Growing;
            return;
        }
        if (!IsAnotherActive(_changing))
        {
            EndChange(isDone: false);
            return;
        }
        // No record and no table that a start would use names it any more (F-26).
        if (_members[_changing] is MetadataMember member)
        {
            member.Role = MemberRole.Absent;
        }
        MemberDescription[] members = [.. _set.Members];
        members[_changing] = members[_changing] with { State = MemberState.Retired };
        _set = _set with { Members = members };
        RefreshEntriesMax();
        _isMembershipChanged = true;
        RequestSuperblocks();
        _changeNeeds = _wanted;
        _change = MembershipStep.Retiring;
    }

    /// <summary>A table that failed is tried again; one that is too long for its place never fits.</summary>
    private void WantTableAgain()
    {
        bool isIdle = !_checkpoint.IsRunning && !_isFlipPending;
        if (isIdle && _table.RunCount >= _runsTooLong)
        {
            EndChange(isDone: false);
        }
        _isCheckpointWanted |= isIdle;
    }

    private void EndChange(bool isDone)
    {
        if (_change == MembershipStep.Ended)
        {
            return;
        }
        _seed?.Abandon();
        _isChangeDone = isDone;
        _change = MembershipStep.Ended;
        _loop.Schedule(_changeTimer, _loop.Now);
    }

    private void TellChange()
    {
        IMembershipChangeOwner owner = _changeOwner!;
        _changeOwner = null;
        _addition = null;
        _change = MembershipStep.None;
        owner.OnMembershipChanged(_isChangeDone);
    }

    private void RefreshEntriesMax()
    {
        EntriesMax = long.MaxValue;
        foreach (MetadataMember? member in _members)
        {
            bool takesPart = member is { Role: not MemberRole.Absent };
            EntriesMax = takesPart ? Math.Min(EntriesMax, member!.Layout.EntriesMax) : EntriesMax;
        }
    }
}
