using DmRemap.Core.Abstractions;

namespace DmRemap.Engine.Metadata;

/// <summary>What failed first in a round.</summary>
/// <param name="Member">Index of the device, as given to Add.</param>
/// <param name="Operation">Read or Write.</param>
/// <param name="Extent">In the device's blocks.</param>
/// <param name="Status">Never Pending or Ok.</param>
/// <param name="Errno">Positive, or 0 where the device gave none.</param>
public readonly record struct MetadataFailure(
    int Member, IoOperation Operation, Extent Extent, IoStatus Status, int Errno);

internal interface IRoundOwner
{
    /// <summary>Every request of the round has come back.</summary>
    void OnRoundEnded(IoRound round);
}

/// <summary>
/// Requests that are submitted together and waited for together. The round ends only when the last of them
/// has come back, failed ones included: so nobody writes a place again, or fills a buffer again, that the
/// kernel still owns (F-2). A request that never returns keeps its round, and only that, waiting for ever.
/// </summary>
internal sealed class IoRound : IIoOwner
{
    private readonly IRoundOwner _owner;
    private readonly IoRequest[] _requests;
    private readonly IBlockDevice[] _devices;
    private int _outstanding;

    public IoRound(IRoundOwner owner, int requestsMax)
    {
        _owner = owner;
        _requests = new IoRequest[requestsMax];
        _devices = new IBlockDevice[requestsMax];
        for (int i = 0; i < requestsMax; i++)
        {
            _requests[i] = new IoRequest();
        }
    }

    public int Count { get; private set; }

    public bool IsRunning => _outstanding > 0;

    public bool HasFailed { get; private set; }

    /// <summary>Meaningful when <see cref="HasFailed"/>.</summary>
    public MetadataFailure FirstFailure { get; private set; }

    public bool IsOk(int index) => _requests[index].Status == IoStatus.Ok;

    public void Clear()
    {
        Invariant.Check(!IsRunning);
        Count = 0;
        HasFailed = false;
    }

    public void Add(
        int member,
        IBlockDevice device,
        IoOperation operation,
        Extent extent,
        BufferSlice buffer,
        IoFlags flags)
    {
        Invariant.Check(!IsRunning);
        Invariant.Check(Count < _requests.Length);
        IoRequest request = _requests[Count];
        request.Prepare(this, operation, extent, buffer, flags);
        request.Token = member;
        _devices[Count] = device;
        Count++;
    }

    public void Submit()
    {
        Invariant.Check(!IsRunning);
        Invariant.Check(Count > 0);
        _outstanding = Count;
        for (int i = 0; i < Count; i++)
        {
            _devices[i].Submit(_requests[i]);
        }
    }

    public void OnCompleted(IoRequest request)
    {
        Invariant.Check(_outstanding > 0);
        _outstanding--;
        if (request.Status != IoStatus.Ok && !HasFailed)
        {
            HasFailed = true;
            FirstFailure = new MetadataFailure(
                (int)request.Token, request.Operation, request.Extent, request.Status, request.Errno);
        }
        if (_outstanding == 0)
        {
            _owner.OnRoundEnded(this);
        }
    }
}
