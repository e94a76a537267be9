using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Remapping;

public sealed partial class RemapTable
{
    /// <summary>
    /// All runs in order, as <see cref="TryGetNextRun"/> gives them, without a search for each: for passes
    /// over the whole table. On the thread that changes the table, and with no change between two steps.
    /// </summary>
    public RunWalk WalkRuns() => new(this);

    public struct RunWalk
    {
        private readonly RemapTable _table;
        private int _leaf;
        private int _run;
        private int _unitsDone;

        internal RunWalk(RemapTable table) => _table = table;

        public bool TryNext(out RemapEntry first, out int count)
        {
            LeafLayout layout = _table._layout;
            for (; _leaf < _table._leaves.Length; _leaf++)
            {
                ReadOnlySpan<ulong> words = _table.WordsOf(_leaf);
                if (!words.IsEmpty && _run < layout.RunCount(words))
                {
                    RemapRun run = layout.Read(layout.WordsOf(words, _run));
                    int local = run.First + _unitsDone;
                    long unit = ((long)_leaf << LeafLayout.UnitsLog2) + local;
                    first = _table.FirstOfRun(run, local, unit, out count);
                    bool isWhole = local + count == run.End;
                    _run += isWhole ? 1 : 0;
                    _unitsDone = isWhole ? 0 : _unitsDone + count;
                    return true;
                }
                _run = 0;
            }
            first = default;
            count = 0;
            return false;
        }
    }

    /// <summary>
    /// The entry of one unit of a run, and how many units from it on are alike.
    /// </summary>
    private RemapEntry FirstOfRun(in RemapRun run, int local, long unit, out int count)
    {
        count = CountAlike(unit, run.End - local);
        return EntryOf(run, local, new UnitNumber(unit));
    }

    /// <summary>
    /// Of so many units, how many can be one run: a short first or last unit lacks places, so it is alike to
    /// none.
    /// </summary>
    private int CountAlike(long unit, int count)
    {
        bool endsShort = unit + count == Geometry.Units && count > 1;
        return unit == 0 ? 1 : count - (endsShort ? 1 : 0);
    }
}
