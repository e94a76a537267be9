namespace DmRemap.Engine.Requests;

/// <summary>
/// A first-in first-out line of fragments, linked through their slots: bounded by their pool.
/// </summary>
internal sealed class FragmentQueue
{
    private FragmentIo? _first;
    private FragmentIo? _last;

    public bool IsEmpty => _first is null;

    public void Enqueue(FragmentIo fragment)
    {
        fragment.Next = null;
        if (_last is null)
        {
            _first = fragment;
        }
        else
        {
            _last.Next = fragment;
        }
        _last = fragment;
    }

    public bool TryDequeue(out FragmentIo fragment)
    {
        fragment = _first!;
        if (_first is null)
        {
            return false;
        }
        _first = fragment.Next;
        if (_first is null)
        {
            _last = null;
        }
        fragment.Next = null;
        return true;
    }
}
