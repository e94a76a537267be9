using System;
using System.Collections.Generic;
using System.Numerics;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>What a repair script waits for; the event resumes it.</summary>
internal enum Wait : byte
{
    /// <summary>To be given work.</summary>
    Work = 0,

    /// <summary>For the hold that it asked for.</summary>
    Hold = 1,

    /// <summary>For the one I/O that it submitted.</summary>
    Io = 2,

    /// <summary>For its commit.</summary>
    Commit = 3,

    /// <summary>For its subscript to return.</summary>
    Subscript = 4,

    /// <summary>The subscript has returned.</summary>
    Return = 5,

    /// <summary>For a later turn of the loop.</summary>
    Pause = 6,
}

/// <summary>
/// Slow work on failing units as a script: straight-line code that gives control back wherever it must wait,
/// resumed on the loop's thread by the completion. One I/O at a time. The scripts are endless loops made
/// once, so that a burst of bad sectors allocates nothing. What a script owns (holds, its request, its
/// scratch unit) is in fields, never on a stack that somebody waits on.
/// </summary>
internal abstract class RepairJob : IIoOwner, IHoldOwner, ICommitOwner
{
    private readonly IoRequest _io = new();
    private readonly IEnumerator<Wait> _script;
    private readonly IEnumerator<Wait>? _subscript;
    private Member? _ioMember;
    private bool _isKeptIfGone;
    private Instant _committedAt;
    private bool _isInSubscript;
    private Wait _waitingFor;

    protected RepairJob(RemapDevice device, int changesMax)
    {
        Device = device;
        Scratch = AlignedMemory.Allocate(Math.Max(device.Units.UnitBytes, AlignedMemory.Alignment));
        Changes = new CommitRequest(changesMax);
        _script = Script();
        _subscript = Subscript();
        Resume();
    }

    /// <summary>Was under way when somebody asked for that, and still is.</summary>
    public bool IsMarked { get; set; }

    public bool IsIdle => _waitingFor == Wait.Work;

    public virtual bool LetsReadsPass => false;

    protected RemapDevice Device { get; }

    protected UnitGeometry Units => Device.Units;

    /// <summary>One unit's bytes, the job's own.</summary>
    protected BufferSlice Scratch { get; }

    protected CommitRequest Changes { get; }

    protected IoStatus IoStatus => _io.Status;

    protected int IoErrno => _io.Errno;

    protected Duration IoElapsed => _io.Elapsed;

    protected bool IoSucceeded => _io.Status == IoStatus.Ok;

    protected bool IsIoForced => _io.IsForceUnitAccess;

    /// <summary>
    /// Of the I/O that came back last: how often writes had become uncertain when it was sent.
    /// </summary>
    protected long LossesAtSubmit { get; private set; }

    public void OnHeld(UnitNumber unit)
    {
        Invariant.Check(_waitingFor == Wait.Hold);
        Resume();
    }

    public void OnCompleted(IoRequest request)
    {
        Invariant.Check(_waitingFor == Wait.Io);
        _ioMember!.Record(request);
        if (request.Status != IoStatus.Ok && TryKeep(request))
        {
            return;
        }
        if (IsWriteToSpare)
        {
            Device.WritesOut.End(_ioMember.Index);
        }
        Resume();
        Device.Pump();
    }

    public void OnCommitted(CommitRequest request)
    {
        Invariant.Check(_waitingFor == Wait.Commit);
        Device.Counters.CommitTimes.Record(Device.Now - _committedAt);
        Device.NoteCommit(request.Outcome);
        Resume();
        Device.Pump();
    }

    protected abstract IEnumerator<Wait> Script();

    /// <summary>A part that scripts share, or null.</summary>
    protected virtual IEnumerator<Wait>? Subscript() => null;

    protected void Resume()
    {
        bool wasInScript = Device.IsInScript;
        Device.IsInScript = true;
        RunUntilWait();
        Device.IsInScript = wasInScript;
    }

    /// <summary>Blocks of the exported device, read from or written to the primary.</summary>
    protected void SubmitToPrimary(IoOperation operation, Extent blocks, BufferSlice buffer,
        IoFlags flags = IoFlags.None)
    {
        flags |= operation == IoOperation.Write ? Device.ForcedOnPrimary : IoFlags.None;
        _io.Prepare(this, operation, blocks, buffer, flags);
        SubmitTo(Device.Primary, IsWaitedFor);
    }

    /// <summary>
    /// The primary's copy of what a spare holds: nobody waits for it where the primary is gone.
    /// </summary>
    protected void SubmitCopy(IoOperation operation, Extent blocks, BufferSlice buffer)
    {
        // Forced: probation ends, and reads go to the primary alone, without another flush of it. What sat in
        // its cache only would be gone with a power cut after that (F-4).
        IoFlags flags = operation == IoOperation.Write ? IoFlags.ForceUnitAccess : IoFlags.None;
        _io.Prepare(this, operation, blocks, buffer, flags);
        SubmitTo(Device.Primary, isKeptIfGone: false);
    }

    /// <summary>
    /// Places [index, index + count) of a spare unit. While its disk is gone it is kept if no other spare
    /// would do.
    /// </summary>
    protected void SubmitToSpare(
        IoOperation operation, SpareLocation location, int index, int count, BufferSlice buffer,
        IoFlags flags = IoFlags.None, bool isKeptIfGone = false)
    {
        Member spare = Device.Spare(location.Spare);
        Extent extent = new(Device.SpareBlock(location, index), new BlockCount(count));
        _io.Prepare(this, operation, extent, buffer, flags);
        SubmitTo(spare, isKeptIfGone);
    }

    /// <summary>
    /// Read a superblock of the spare, each copy in turn: the control for errors that may be the whole
    /// device's (F-17).
    /// </summary>
    protected void SubmitSpareControl(Member spare, BufferSlice into)
    {
        Extent place = spare.NextControl();
        int bytes = (int)place.Count.ToBytes(spare.Device.Geometry.LogicalBlockSize).Value;
        _io.Prepare(this, IoOperation.Read, place, into.Slice(0, bytes));
        SubmitTo(spare, isKeptIfGone: false);
    }

    /// <summary>
    /// A client waits for it: then it waits for a primary that is gone. What nobody waits for fails instead:
    /// it would keep its unit from those who need only a spare.
    /// </summary>
    protected virtual bool IsWaitedFor => true;

    protected void SubmitChanges()
    {
        Device.Counters.Commits++;
        _committedAt = Device.Now;
        Device.Log.Commit(Changes);
    }

    /// <summary>The scratch unit's bytes for places [index, index + count).</summary>
    protected BufferSlice ScratchAt(int index, int count)
    {
        int size = Units.BlockSize.Bytes;
        return Scratch.Slice(index * size, count * size);
    }

    /// <summary>
    /// The length of the piece at this place that one physical block holds: nothing smaller can fail on its
    /// own (S5).
    /// </summary>
    protected int PieceAt(Member member, int index, int end)
    {
        int blocks = Math.Max(1, member.Device.Geometry.PhysicalBlockBytes / Units.BlockSize.Bytes);
        return Math.Min(end, ((index / blocks) + 1) * blocks) - index;
    }

    /// <summary>
    /// Take the first piece out of a mask of places: as long as places follow each other inside one physical
    /// block of the member. False when none is left.
    /// </summary>
    protected bool TakePieceOf(ref ulong places, Member member, out int index, out int count)
    {
        index = 0;
        count = 0;
        if (places == 0)
        {
            return false;
        }
        index = BitOperations.TrailingZeroCount(places);
        int run = BitOperations.TrailingZeroCount(~(places >> index));
        count = PieceAt(member, index, index + run);
        places &= ~BlockStates.Mask(index, count);
        return true;
    }

    /// <summary>Take the first run of places that follow each other out of a mask.</summary>
    protected static bool TakeRunOf(ref ulong places, out int index, out int count)
    {
        index = 0;
        count = 0;
        if (places == 0)
        {
            return false;
        }
        index = BitOperations.TrailingZeroCount(places);
        count = BitOperations.TrailingZeroCount(~(places >> index));
        places &= ~BlockStates.Mask(index, count);
        return true;
    }

    private bool IsWriteToSpare => _io.Operation == IoOperation.Write && !_ioMember!.IsPrimary;

    private void SubmitTo(Member member, bool isKeptIfGone)
    {
        _ioMember = member;
        if (IsWriteToSpare)
        {
            Device.WritesOut.Begin(member.Index);
        }
        _isKeptIfGone = isKeptIfGone;
        LossesAtSubmit = Device.LossesNow;
        if (isKeptIfGone)
        {
            member.Gate.Submit(_io);
        }
        else
        {
            member.Device.Submit(_io);
        }
    }

    private bool TryKeep(IoRequest failed)
    {
        if (_isKeptIfGone)
        {
            return _ioMember!.Gate.TryKeep(failed);
        }
        _ioMember!.Gate.Note(failed);
        return false;
    }

    private void RunUntilWait()
    {
        while (true)
        {
            IEnumerator<Wait> current = _isInSubscript ? _subscript! : _script;
            bool isEndless = current.MoveNext();
            Invariant.Check(isEndless);
            _waitingFor = current.Current;
            if (_waitingFor == Wait.Subscript)
            {
                _isInSubscript = true;
            }
            else if (_waitingFor == Wait.Return)
            {
                _isInSubscript = false;
            }
            else
            {
                return;
            }
        }
    }
}
