using DmRemap.Core.Abstractions;

namespace DmRemap.Engine.Requests;

/// <summary>
/// A first-in first-out line of requests, linked through the requests: bounded by their pool.
/// </summary>
internal sealed class RequestQueue
{
    private RemapRequest? _first;
    private RemapRequest? _last;

    public bool IsEmpty => _first is null;

    public void Enqueue(RemapRequest request)
    {
        Invariant.Check(!request.IsQueued);
        request.IsQueued = true;
        request.Next = null;
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

    public bool TryDequeue(out RemapRequest request)
    {
        request = _first!;
        if (_first is null)
        {
            return false;
        }
        _first = request.Next;
        if (_first is null)
        {
            _last = null;
        }
        request.Next = null;
        request.IsQueued = false;
        return true;
    }
}
