using DmRemap.Core.Abstractions;

namespace DmRemap.Devices;

/// <summary>
/// Requests waiting in line, linked through IoRequest.Next: as long as it needs to be, without allocation.
/// </summary>
internal struct RequestQueue
{
    private IoRequest? _first;
    private IoRequest? _last;

    public int Count { get; private set; }

    public readonly bool IsEmpty => _first is null;

    public readonly IoRequest? First => _first;

    public void Add(IoRequest request)
    {
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
        Count++;
    }

    /// <summary>The queue must not be empty.</summary>
    public IoRequest Take()
    {
        IoRequest request = _first!;
        _first = request.Next;
        if (_first is null)
        {
            _last = null;
        }
        request.Next = null;
        Count--;
        return request;
    }
}
