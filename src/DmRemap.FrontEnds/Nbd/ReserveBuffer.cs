using DmRemap.Core.Abstractions;

namespace DmRemap.FrontEnds.Nbd;

/// <summary>Holds the longest READ whole, and what became of each piece of it.</summary>
internal sealed class ReserveBuffer(BufferSlice memory, int pieces)
{
    private readonly PieceOutcome[] _outcomes = new PieceOutcome[pieces];
    private bool _hasFailures;

    public BufferSlice Memory { get; } = memory;

    public ref PieceOutcome OutcomeOf(int piece) => ref _outcomes[piece];

    public void Note(int piece, IoRequest request)
    {
        _outcomes[piece].Take(request);
        _hasFailures = true;
    }

    public void Clear()
    {
        for (int i = 0; _hasFailures && i < _outcomes.Length; i++)
        {
            _outcomes[i].Clear();
        }
        _hasFailures = false;
    }
}
