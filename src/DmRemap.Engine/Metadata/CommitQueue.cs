using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

/// <summary>Commits in the order in which they were made, linked through themselves.</summary>
internal struct CommitQueue
{
    private CommitRequest? _last;

    public CommitRequest? First { get; private set; }

    public readonly bool IsEmpty => First is null;

    /// <summary>What all of these may add to the table.</summary>
    public TableGrowth Growth { get; private set; }

    public void Add(CommitRequest request)
    {
        Growth += TableGrowth.Of(request);
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

    public CommitRequest TakeFirst()
    {
        CommitRequest first = First!;
        First = first.Next;
        _last = First is null ? null : _last;
        first.Next = null;
        Growth -= TableGrowth.Of(first);
        return first;
    }

    /// <summary>Each request may be used again by its owner while this runs.</summary>
    public readonly void CompleteAll(CommitOutcome outcome)
    {
        CommitRequest? request = First;
        while (request is not null)
        {
            CommitRequest? next = request.Next;
            request.Complete(outcome);
            request = next;
        }
    }
}
