using DmRemap.Core.Abstractions;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Native;
using DmRemap.Linux.Sockets;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Fuse;

/// <summary>Owns the buffers that a channel receives into and answers from.</summary>
public interface IFuseChannelOwner
{
    /// <summary>A whole message is in the slot's buffer.</summary>
    void OnMessage(int slot, int bytes);

    /// <summary>The slot has come back: its answer has been taken, or nothing came for it.</summary>
    void OnFree(int slot);

    /// <summary>
    /// No more messages: unmounted (ENODEV), aborted, or broken. Once; the channel is then to be closed.
    /// </summary>
    void OnEnded(int errno);

    /// <summary>The kernel has none of the buffers any more, and the descriptor is closed.</summary>
    void OnClosed();
}

/// <summary>
/// /dev/fuse for a loop: messages are read, each into a slot's buffer, and answered. What has come in one
/// slot is answered by the same one, so each has at most one operation outstanding. Closing the descriptor
/// ends the connection: the kernel answers whoever still waits with an error.
/// </summary>
public sealed class FuseChannel
{
    private const int PollIn = 1;

    private readonly KernelLoop _loop;
    private readonly IFuseChannelOwner _owner;
    private readonly SlotTarget[] _slots;
    private readonly CancelTarget _cancel;
    private readonly CloseTarget _close;
    private int _fd = -1;
    private int _nextToCancel;
    private bool _hasEnded;

    /// <summary>On the loop's thread.</summary>
    public FuseChannel(KernelLoop loop, int slots, IFuseChannelOwner owner)
    {
        _loop = loop;
        _owner = owner;
        OperationOwner operations = loop.CreateOwner("fuse");
        _slots = new SlotTarget[slots];
        for (int i = 0; i < slots; i++)
        {
            _slots[i] = new SlotTarget(this, i, operations);
        }
        _cancel = new CancelTarget(this, operations);
        _close = new CloseTarget(this, operations);
    }

    private enum Doing : byte
    {
        Nothing = 0,
        Receiving = 1,

        /// <summary>Waiting for the descriptor to have something, to receive then.</summary>
        Waiting = 2,
        Answering = 3,
    }

    public bool IsOpen => _fd >= 0;

    public bool IsClosing { get; private set; }

    /// <summary>
    /// Take over a descriptor that does not block: the loop then tries at once, waits by itself where there
    /// is nothing, and needs no thread for it.
    /// </summary>
    public void Open(SafeFileHandle device)
    {
        Invariant.Check(!IsOpen);
        _fd = StreamPool.Release(device);
        _loop.Adopt(_fd);
        IsClosing = false;
        _hasEnded = false;
    }

    /// <summary>Receive one message into the slot's buffer.</summary>
    public void Receive(int slot, BufferSlice into)
    {
        Invariant.Check(IsOpen);
        Invariant.Check(!IsClosing);
        SlotTarget target = _slots[slot];
        target.Buffer = into;
        Receive(target);
    }

    public void Answer(int slot, BufferSlice message)
    {
        Invariant.Check(IsOpen);
        Invariant.Check(!IsClosing);
        SlotTarget target = _slots[slot];
        target.Doing = Doing.Answering;
        _loop.SubmitWriteMessage(target, _fd, message);
    }

    /// <summary>
    /// End the connection. OnClosed comes later, when every operation has come back; OnFree for each of
    /// their slots before it.
    /// </summary>
    public void Close()
    {
        Invariant.Check(IsOpen);
        if (!IsClosing)
        {
            IsClosing = true;
            _nextToCancel = 0;
            GoOnClosing();
        }
    }

    private void Receive(SlotTarget target)
    {
        target.Doing = Doing.Receiving;
        _loop.SubmitReadMessage(target, _fd, target.Buffer);
    }

    private void OnCompleted(SlotTarget target, int result)
    {
        Doing was = target.Doing;
        target.Doing = Doing.Nothing;
        if (IsClosing)
        {
            _owner.OnFree(target.Index);
            GoOnClosing();
        }
        else if (was == Doing.Answering)
        {
            // ENOENT: nobody waits for it any more. ENODEV: the end, of which receiving tells.
            if (result is < 0 and not (-Errno.ENOENT or -Errno.ENODEV))
            {
                // What is not answered would wait for ever; the end of the connection answers it.
                End(-result);
            }
            _owner.OnFree(target.Index);
        }
        else if (was == Doing.Waiting)
        {
            // Also where the poll has failed: receiving says why.
            Receive(target);
        }
        else
        {
            OnReceived(target, result);
        }
    }

    private void OnReceived(SlotTarget target, int result)
    {
        switch (result)
        {
            case > 0:
                _owner.OnMessage(target.Index, result);
                break;
            case -Errno.EAGAIN:
                target.Doing = Doing.Waiting;
                _loop.SubmitPoll(target, _fd, PollIn);
                break;
            case -Errno.EINTR:
            case -Errno.ENOENT:
                // ENOENT: who asked has given up while the question was being copied.
                Receive(target);
                break;
            default:
                End(result == 0 ? Errno.ENODEV : -result);
                _owner.OnFree(target.Index);
                break;
        }
    }

    private void End(int errno)
    {
        if (!_hasEnded)
        {
            _hasEnded = true;
            _owner.OnEnded(errno);
        }
    }

    /// <summary>Cancel one receive after the other, then close.</summary>
    private void GoOnClosing()
    {
        if (_cancel.IsOutstanding || _close.IsOutstanding || !IsOpen)
        {
            return;
        }
        while (_nextToCancel < _slots.Length)
        {
            SlotTarget target = _slots[_nextToCancel];
            _nextToCancel++;
            if (target.IsOutstanding && target.Doing != Doing.Answering)
            {
                _loop.SubmitCancel(_cancel, target);
                return;
            }
        }
        foreach (SlotTarget target in _slots)
        {
            if (target.IsOutstanding)
            {
                return;
            }
        }
        _loop.SubmitClose(_close, _fd);
    }

    private void OnClosed()
    {
        _fd = -1;
        _owner.OnClosed();
    }

    private sealed class SlotTarget(FuseChannel channel, int index, OperationOwner owner)
        : CompletionTarget(channel._loop, owner)
    {
        public int Index { get; } = index;

        public BufferSlice Buffer { get; set; }

        public Doing Doing { get; set; }

        protected override void OnCompleted(int result) => channel.OnCompleted(this, result);
    }

    private sealed class CancelTarget(FuseChannel channel, OperationOwner owner)
        : CompletionTarget(channel._loop, owner)
    {
        protected override void OnCompleted(int result) => channel.GoOnClosing();
    }

    private sealed class CloseTarget(FuseChannel channel, OperationOwner owner)
        : CompletionTarget(channel._loop, owner)
    {
        // The descriptor is gone whatever close returned.
        protected override void OnCompleted(int result) => channel.OnClosed();
    }
}
