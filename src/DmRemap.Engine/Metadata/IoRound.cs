using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Engine.Metadata;

/// <summary>What failed first in a round.</summary>
/// <param name="Target">Whatever the round's targets are: a member, a copy, a place.</param>
/// <param name="Operation">Read or Write.</param>
/// <param name="Extent">In the device's blocks.</param>
/// <param name="Status">Never Ok; Pending when it had not come back by the deadline.</param>
/// <param name="Errno">Positive, or 0 where the device gave none.</param>
public readonly record struct MetadataFailure(
    int Target, IoOperation Operation, Extent Extent, IoStatus Status, int Errno);

internal enum TargetOutcome : byte
{
    /// <summary>Not part of this round.</summary>
    None = 0,

    Waiting = 1,
    Ok = 2,
    Failed = 3,

    /// <summary>Not back by the deadline: it may still happen (F-2).</summary>
    TimedOut = 4,
}

internal interface IRoundOwner
{
    /// <summary>
    /// Every request of the round has come back, or the deadline has passed. Never called from inside Submit.
    /// </summary>
    void OnRoundEnded(IoRound round);

    /// <summary>
    /// A request of an earlier round, given up then, has come back: its target, which is its token, may be
    /// used again.
    /// </summary>
    void OnLateReturn(IoRequest request);
}

/// <summary>
/// Requests to fixed targets (places on disks) that are submitted together and waited for together, until a
/// deadline. Giving up ends the waiting, not the I/O: a target whose request the kernel still has is busy,
/// and is not written again until the request has returned (F-2). Buffers belong to their request that long;
/// there is one more of them than there are targets, so that a free one exists always.
/// </summary>
internal sealed class IoRound : IIoOwner, ITimerOwner
{
    private readonly IEventLoop _loop;
    private readonly IRoundOwner _owner;
    private readonly LoopTimer _timer;
    private readonly IoRequest[] _requests;
    private readonly IBlockDevice[] _devices;
    private readonly TargetOutcome[] _outcomes;
    private readonly int[] _bufferOf;
    private readonly bool[] _isAbandoned;
    private readonly BufferSlice[] _buffers;
    private readonly int[] _uses;
    private int _outstanding;

    /// <param name="loop">On whose thread everything happens.</param>
    /// <param name="owner">Told of the end.</param>
    /// <param name="targets">How many there are.</param>
    /// <param name="bufferBytes">Length of the shared buffers; 0: the caller brings its own.</param>
    public IoRound(IEventLoop loop, IRoundOwner owner, int targets, int bufferBytes)
    {
        _loop = loop;
        _owner = owner;
        _timer = new LoopTimer(this);
        _requests = new IoRequest[targets];
        _devices = new IBlockDevice[targets];
        _outcomes = new TargetOutcome[targets];
        _bufferOf = new int[targets];
        _isAbandoned = new bool[targets];
        for (int i = 0; i < targets; i++)
        {
            _requests[i] = new IoRequest { Token = i };
        }
        _buffers = new BufferSlice[bufferBytes == 0 ? 0 : targets + 1];
        _uses = new int[_buffers.Length];
        for (int i = 0; i < _buffers.Length; i++)
        {
            _buffers[i] = AlignedMemory.Allocate(bufferBytes);
        }
    }

    public int Targets => _requests.Length;

    public bool IsRunning { get; private set; }

    /// <summary>Targets whose request the kernel still has although nobody waits for it.</summary>
    public int Busy { get; private set; }

    public bool HasFailed { get; private set; }

    /// <summary>Some target had not come back by the deadline.</summary>
    public bool HasTimedOut { get; private set; }

    /// <summary>Targets that were done in time.</summary>
    public int OkCount { get; private set; }

    /// <summary>Targets of this round.</summary>
    public int Count { get; private set; }

    /// <summary>Meaningful when <see cref="HasFailed"/>.</summary>
    public MetadataFailure FirstFailure { get; private set; }

    public TargetOutcome OutcomeOf(int target) => _outcomes[target];

    public bool IsOk(int target) => _outcomes[target] == TargetOutcome.Ok;

    public bool IsBusy(int target) => _requests[target].IsSubmitted;

    /// <summary>A shared buffer that no request has.</summary>
    public int TakeBuffer(out BufferSlice buffer)
    {
        int index = Array.IndexOf(_uses, 0);
        Invariant.Check(index >= 0);
        buffer = _buffers[index];
        return index;
    }

    public void Clear()
    {
        Invariant.Check(!IsRunning);
        Array.Clear(_outcomes);
        Count = 0;
        OkCount = 0;
        HasFailed = false;
        HasTimedOut = false;
    }

    public void Add(
        int target,
        IBlockDevice device,
        IoOperation operation,
        Extent extent,
        BufferSlice buffer,
        IoFlags flags,
        int sharedBuffer = -1)
    {
        Invariant.Check(!IsRunning);
        Invariant.Check(!IsBusy(target));
        Invariant.Check(_outcomes[target] == TargetOutcome.None);
        _requests[target].Prepare(this, operation, extent, buffer, flags | IoFlags.Metadata);
        _devices[target] = device;
        _outcomes[target] = TargetOutcome.Waiting;
        _isAbandoned[target] = false;
        _bufferOf[target] = sharedBuffer;
        if (sharedBuffer >= 0)
        {
            _uses[sharedBuffer]++;
        }
        Count++;
    }

    /// <summary>At least one target. A deadline of zero: none.</summary>
    public void Submit(Duration deadline)
    {
        Invariant.Check(!IsRunning);
        Invariant.Check(Count > 0);
        IsRunning = true;
        _outstanding = Count;
        if (deadline > Duration.Zero)
        {
            _loop.Schedule(_timer, _loop.Now + deadline);
        }
        for (int i = 0; i < _requests.Length; i++)
        {
            if (_outcomes[i] == TargetOutcome.Waiting)
            {
                _devices[i].Submit(_requests[i]);
            }
        }
    }

    /// <summary>Stop waiting, without a word to the owner. What the kernel has stays busy.</summary>
    public void Abandon()
    {
        if (IsRunning)
        {
            GiveUpWaiting();
            End();
        }
    }

    public void OnCompleted(IoRequest request)
    {
        int target = (int)request.Token;
        if (_bufferOf[target] >= 0)
        {
            _uses[_bufferOf[target]]--;
        }
        if (_isAbandoned[target])
        {
            _isAbandoned[target] = false;
            Busy--;
            _owner.OnLateReturn(request);
            return;
        }
        Invariant.Check(IsRunning);
        Invariant.Check(_outstanding > 0);
        _outstanding--;
        bool isOk = request.Status == IoStatus.Ok;
        _outcomes[target] = isOk ? TargetOutcome.Ok : TargetOutcome.Failed;
        OkCount += isOk ? 1 : 0;
        if (!isOk)
        {
            NoteFailure(request, request.Status);
        }
        if (_outstanding == 0)
        {
            End();
            _owner.OnRoundEnded(this);
        }
    }

    void ITimerOwner.OnTimer(LoopTimer timer)
    {
        Invariant.Check(IsRunning);
        HasTimedOut = true;
        GiveUpWaiting();
        End();
        _owner.OnRoundEnded(this);
    }

    private void GiveUpWaiting()
    {
        for (int i = 0; i < _requests.Length; i++)
        {
            if (_outcomes[i] == TargetOutcome.Waiting)
            {
                _outcomes[i] = TargetOutcome.TimedOut;
                _isAbandoned[i] = true;
                Busy++;
                NoteFailure(_requests[i], IoStatus.Pending);
            }
        }
    }

    private void NoteFailure(IoRequest request, IoStatus status)
    {
        if (!HasFailed)
        {
            HasFailed = true;
            FirstFailure = new MetadataFailure(
                (int)request.Token, request.Operation, request.Extent, status, request.Errno);
        }
    }

    private void End()
    {
        IsRunning = false;
        _outstanding = 0;
        _loop.Cancel(_timer);
    }
}
