using DmRemap.Core.Abstractions;

namespace DmRemap.FrontEnds.Nbd;

/// <summary>
/// Collects the connections that have replies to send and lets them send in the next round of deliveries: the
/// completions that came in together then leave in one Send each.
/// </summary>
internal sealed class ReplyBatch(IEventLoop loop, int connectionsMax) : IIoOwner
{
    private readonly IEventLoop _loop = loop;
    private readonly NbdConnection[] _due = new NbdConnection[connectionsMax];

    // A request that no device sees: delivering it is how the loop is asked for one more round.
    private readonly IoRequest _turn = new();
    private int _dueCount;

    public void Add(NbdConnection connection)
    {
        if (connection.IsReplyDue)
        {
            return;
        }
        connection.IsReplyDue = true;
        _due[_dueCount] = connection;
        _dueCount++;
        if (_dueCount == 1)
        {
            _turn.Prepare(this, IoOperation.None, default, default);
            _turn.MarkSubmitted();
            _turn.SetResult(IoStatus.Ok, 0, Duration.Zero);
            _loop.DeliverLater(_turn);
        }
    }

    public void OnCompleted(IoRequest request)
    {
        int count = _dueCount;
        // Sending completes nothing at once, so nobody is added while this runs.
        for (int i = 0; i < count; i++)
        {
            _due[i].IsReplyDue = false;
            _due[i].SendWhatIsDue();
        }
        Invariant.Check(_dueCount == count);
        _dueCount = 0;
    }
}
