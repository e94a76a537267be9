using System;

namespace DmRemap.Core.Remapping;

/// <summary>
/// Puts a new leaf together in scratch memory, run by run in ascending order, joining what belongs together.
/// The scratch grows to the largest leaf ever built (at most about 1 MiB) and stays.
/// </summary>
internal sealed class LeafBuilder(LeafLayout layout)
{
    private readonly LeafLayout _layout = layout;
    private ulong[] _words = [];
    private RemapRun _last;
    private bool _hasLast;
    private int _written;

    /// <summary>Start a leaf that will have at most this many runs.</summary>
    public void Begin(int runsMax)
    {
        int words = _layout.WideWordsFor(runsMax);
        if (_words.Length < words)
        {
            _words = new ulong[Math.Max(words, _words.Length * 2)];
        }
        _written = 0;
        _hasLast = false;
    }

    public void Append(in RemapRun run)
    {
        if (_hasLast && _last.Joins(run, _layout.IsUniform(_last.Blocks)))
        {
            _last = _last with { Count = _last.Count + run.Count };
            return;
        }
        WriteLast();
        _last = run;
        _hasLast = true;
    }

    /// <summary>
    /// Append runs [first, first + count) of another leaf; only the outer two can join anything.
    /// </summary>
    public void AppendRuns(ReadOnlySpan<ulong> leaf, int first, int count)
    {
        if (count == 0)
        {
            return;
        }
        Append(_layout.Read(_layout.WordsOf(leaf, first)));
        if (count == 1)
        {
            return;
        }
        WriteLast();
        int middle = count - 2;
        _layout.CopyWide(leaf, first + 1, middle, _words.AsSpan(_layout.WideWordsFor(_written)));
        _written += middle;
        _last = _layout.Read(_layout.WordsOf(leaf, first + count - 1));
        _hasLast = true;
    }

    /// <summary>The finished leaf's words, valid until the next Begin, and how many runs they hold.</summary>
    public ReadOnlySpan<ulong> Finish(out int runs)
    {
        WriteLast();
        runs = _written;
        int words = _layout.Finish(_words.AsSpan(0, _layout.WideWordsFor(runs)), runs);
        return _words.AsSpan(0, words);
    }

    private void WriteLast()
    {
        if (_hasLast)
        {
            _layout.Write(_words.AsSpan(_layout.WideWordsFor(_written), _layout.WideWords), _last);
            _written++;
            _hasLast = false;
        }
    }
}
