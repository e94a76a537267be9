using System.Diagnostics.CodeAnalysis;

namespace DmRemap.FrontEnds.Nbd;

/// <summary>Requests in order, linked through themselves.</summary>
internal struct RequestList
{
    private ClientRequest? _last;

    public ClientRequest? First { get; private set; }

    public void Add(ClientRequest request)
    {
        request.Next = null;
        if (_last is null)
        {
            First = request;
        }
        else
        {
            _last.Next = request;
        }
        _last = request;
    }

    public bool TryTake([NotNullWhen(true)] out ClientRequest? request)
    {
        request = First;
        if (request is null)
        {
            return false;
        }
        First = request.Next;
        if (First is null)
        {
            _last = null;
        }
        request.Next = null;
        return true;
    }
}
