using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Flushing;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine.Presence;

/// <summary>
/// What goes to one member passes here. While its disk is there that costs one look; while it is gone
/// requests are kept, where that is the policy, and sent when it is back, in the order they came:
/// <code>
///   Submit ──▶ member ──▶ completed ──▶ gone? ── kept (to the front) ─┐
///      └── while gone: kept (at the back) ────────────────────────────┴──▶ sent again, or failed
/// </code>
/// A kept request is with the gate as one is with a device: it counts as outstanding, so that no unit moves
/// under it, and its buffer stays its own. Nothing is allocated for it: the bound is the pool of requests.
/// Whether the disk is back is found by reading a little of it, once a second.
/// </summary>
internal sealed class MemberGate : IIoOwner, ITimerOwner
{
    private readonly RemapDevice _device;
    private readonly IEventLoop _loop;
    private readonly Member _member;
    private readonly MemberPresence _presence;
    private readonly LoopTimer _timer;
    private readonly IoRequest _look = new();
    private readonly BufferSlice _lookBuffer = AlignedMemory.Allocate(Limits.SliceBytes / 8);
    private IoRequest? _first;
    private IoRequest? _last;
    private BlockNumber _failedAt;
    private int _looks;
    private int _errno;
    private bool _isStranger;

    public MemberGate(RemapDevice device, IEventLoop loop, Member member, OnGone policy)
    {
        _device = device;
        _loop = loop;
        _member = member;
        _presence = new MemberPresence(policy);
        _timer = new LoopTimer(this);
    }

    /// <summary>The disk is there and nothing is kept: what is submitted goes straight to it.</summary>
    public bool IsOpen { get; private set; } = true;

    /// <summary>Requests kept now. Any thread may read it.</summary>
    public int Kept { get; private set; }

    /// <summary>A look is with the disk.</summary>
    public bool IsLooking => _look.IsSubmitted;

    public bool IsGone => _presence.IsGone;

    public Instant GoneSince => _presence.Since;

    /// <summary>What needs the disk is kept now, and does not fail.</summary>
    public bool Keeps => _presence.Keeps(_loop.Now);

    /// <summary>How much longer; null: it is not kept, or until the disk is back.</summary>
    public Duration? KeepsFor => _presence.Left(_loop.Now);

    /// <summary>A prepared request, on its way to the member.</summary>
    public void Submit(IoRequest request)
    {
        // Behind what is kept already, also when that is just being sent: an older write of a client that
        // lost its patience must not land after its newer one.
        if (_first is null && !_presence.Keeps(_loop.Now))
        {
            _member.Device.Submit(request);
            return;
        }
        Take(request);
        if (_last is null)
        {
            _first = request;
        }
        else
        {
            _last.Next = request;
        }
        _last = request;
    }

    /// <summary>
    /// A request came back from the member with an error. True: its disk is gone, and the request is kept. In
    /// front of all that came after it was first sent: what was out fails in any order.
    /// </summary>
    public bool TryKeep(IoRequest failed)
    {
        if (!IsErrorOfGone(failed))
        {
            return false;
        }
        NoteGone(failed);
        if (!_presence.Keeps(_loop.Now))
        {
            return false;
        }
        failed.Prepare(failed.Owner!, failed.Operation, failed.Extent, failed.Buffer, failed.Flags);
        Take(failed);
        Insert(failed);
        return true;
    }

    /// <summary>An error that says that the disk is gone, of a request that is not to be kept.</summary>
    public void Note(IoRequest failed)
    {
        if (IsErrorOfGone(failed))
        {
            NoteGone(failed);
        }
    }

    /// <summary>Something of the member has ended: what had to wait for that is sent.</summary>
    public void Continue()
    {
        if (!_presence.IsGone)
        {
            SendKept();
        }
    }

    /// <summary>
    /// A write that was out when the disk went and succeeded all the same: before it went, and its cache may
    /// be lost with it, or after it came back? Where nothing else was sent meanwhile it is taken for the
    /// worse (F-8).
    /// </summary>
    public void JudgeCache()
    {
        if (_member.HasCacheLossToTake && _member.IsLossOfFlush)
        {
            _member.FlushErrors++;
            _device.NoteUncertain(_member, UncertainCause.FlushFailed, ErrorClassifier.InputOutputError);
        }
        else if (_member.HasCacheLossToTake || (_presence.IsGone && MayLoseCache))
        {
            _device.NoteUncertain(_member, UncertainCause.CacheLost, _errno);
        }
    }

    /// <summary>A person says that it is back. False: it is not gone.</summary>
    public bool Clear()
    {
        if (!_presence.IsGone)
        {
            return false;
        }
        NoteBack();
        return true;
    }

    /// <summary>The device ends: what is kept fails now, and nothing is kept any more.</summary>
    public void End()
    {
        _presence.EndKeeping();
        _loop.Cancel(_timer);
        FailKept();
    }

    public void OnTimer(LoopTimer timer)
    {
        if (!_presence.IsGone)
        {
            return;
        }
        if (!_presence.Keeps(_loop.Now))
        {
            FailKept();
        }
        if (!_look.IsSubmitted && !_device.IsQuiesced)
        {
            Look();
        }
        Arm();
    }

    /// <summary>A look came back.</summary>
    public void OnCompleted(IoRequest request)
    {
        if (_presence.IsGone && !_member.IsRemoved && IsThere(request))
        {
            NoteBack();
        }
        _device.Pump();
    }

    private bool MayLoseCache => _member.HasVolatileCache && _member.MayHaveUnflushed;

    private bool IsErrorOfGone(IoRequest failed) =>
        failed.Status == IoStatus.DeviceError && !_member.IsAbsent && !_member.IsRemoved
        && RemapDevice.Classify(_member, failed.Operation, failed.Status, failed.Errno, failed.Elapsed)
            == ErrorClass.Gone;

    private void NoteGone(IoRequest failed)
    {
        if (!_presence.IsGone)
        {
            BeginAbsence(failed);
        }
        // F-8: what it acknowledged and did not flush may be gone with its power. The flush after its return
        // would succeed and say nothing of it.
        JudgeCache();
    }

    private void BeginAbsence(IoRequest failed)
    {
        _presence.OnGone(_loop.Now);
        IsOpen = false;
        _errno = failed.Errno;
        _failedAt = failed.Extent.Start;
        _looks = 0;
        _isStranger = false;
        _device.NoteAway(_member);
        _device.Publish(EngineEventKind.MemberGone, _member, default, SpareLocation.None, _errno);
        if (!_member.IsPrimary)
        {
            // No new unit: it would hang with it.
            _device.GiveUpSpare(_member, ErrorClass.Gone);
            _device.Copier.Wake();
        }
        if (!_device.IsStopping)
        {
            Arm();
        }
    }

    private void NoteBack()
    {
        JudgeCache();
        _presence.OnBack(_loop.Now);
        _loop.Cancel(_timer);
        _device.NoteBack(_member);
        _device.Publish(EngineEventKind.MemberBack, _member, default, SpareLocation.None, 0);
        _device.NoteSpareBack(_member.Index);
        SendKept();
    }

    private void Take(IoRequest request)
    {
        request.MarkSubmitted();
        request.SubmittedAt = _loop.Now;
        Mark(request, true);
        Kept++;
    }

    private void Insert(IoRequest request)
    {
        IoRequest? before = null;
        IoRequest? behind = _first;
        while (behind is not null && OrderOf(behind) < OrderOf(request))
        {
            before = behind;
            behind = behind.Next;
        }
        request.Next = behind;
        _first = before is null ? request : _first;
        _last = behind is null ? request : _last;
        if (before is not null)
        {
            before.Next = request;
        }
    }

    /// <summary>Flushes and repairs are asked for once, and wait for nothing: first.</summary>
    private static long OrderOf(IoRequest request) =>
        request.Context is FragmentIo fragment ? fragment.Order : 0;

    private IoRequest TakeFirst()
    {
        IoRequest request = _first!;
        _first = request.Next;
        _last = _first is null ? null : _last;
        request.Next = null;
        Mark(request, false);
        Kept--;
        return request;
    }

    private static void Mark(IoRequest request, bool isKept)
    {
        if (request.Context is FragmentIo fragment)
        {
            fragment.IsKept = isKept;
        }
    }

    /// <summary>Up to one that touches what is on its way, where one of the two changes content.</summary>
    private void SendKept()
    {
        while (_first is not null && !_device.IsOnItsWay(_first))
        {
            IoRequest request = TakeFirst();
            request.PassOn();
            Force(request);
            _member.Device.Submit(request);
        }
        IsOpen = _first is null;
    }

    /// <summary>Since it was kept, writes to the primary may have come to be forced.</summary>
    private void Force(IoRequest request)
    {
        if (_member.IsPrimary && request.Operation == IoOperation.Write)
        {
            request.Prepare(
                request.Owner!, request.Operation, request.Extent, request.Buffer,
                request.Flags | _device.ForcedOnPrimary);
        }
    }

    private void FailKept()
    {
        while (_first is not null)
        {
            IoRequest request = TakeFirst();
            request.SetResult(IoStatus.DeviceGone, _errno, Duration.Zero);
            _loop.DeliverLater(request);
        }
    }

    /// <summary>
    /// Where the last error was, and elsewhere in turn: a single place may be bad, or lie beyond the end of
    /// a disk that has become shorter.
    /// </summary>
    private void Look()
    {
        Extent place = _member.Identity is IMemberIdentity identity
            ? identity.PlaceAt(_looks % identity.Places)
            : PlaceOfLook();
        int bytes = (int)place.Count.ToBytes(_member.Device.Geometry.LogicalBlockSize).Value;
        _look.Prepare(this, IoOperation.Read, place, _lookBuffer.Slice(0, bytes), IoFlags.Background);
        _member.Device.Submit(_look);
    }

    private Extent PlaceOfLook()
    {
        DeviceGeometry geometry = _member.Device.Geometry;
        int blockBytes = geometry.LogicalBlockSize.Bytes;
        long blocks = System.Math.Min(
            System.Math.Max(1, geometry.PhysicalBlockBytes / blockBytes), _lookBuffer.Length / blockBytes);
        long start = _looks % 2 == 0 ? _failedAt.Value : _looks / 2 * (geometry.Blocks.Value / 7)
            % geometry.Blocks.Value;
        start -= start % blocks;
        return new Extent(
            new BlockNumber(start),
            new BlockCount(System.Math.Min(blocks, geometry.Blocks.Value - start)));
    }

    /// <summary>
    /// It read. No error says so: a disk that was taken away answers with EIO, and one that has come back
    /// locked as if its medium were bad; a place that is bad is not the only one that is looked at.
    /// </summary>
    private bool IsThere(IoRequest look)
    {
        int at = _looks;
        _looks++;
        return look.Status == IoStatus.Ok
            && (_member.Identity is not IMemberIdentity identity || IsKnown(identity, at, look));
    }

    private bool IsKnown(IMemberIdentity identity, int at, IoRequest look)
    {
        if (identity.IsIt(at % identity.Places, look.Buffer.Span))
        {
            return true;
        }
        if (!_isStranger && at >= identity.Places)
        {
            // Each place has been read, or failed: what answers is not the spare that was opened.
            _isStranger = true;
            _device.Publish(EngineEventKind.MemberStranger, _member, default, SpareLocation.None, 0);
        }
        return false;
    }

    private void Arm() => _loop.Schedule(_timer, _loop.Now + MemberPresence.LookPause);
}
