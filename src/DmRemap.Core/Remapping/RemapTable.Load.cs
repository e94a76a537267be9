using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Remapping;

public sealed partial class RemapTable
{
    /// <summary>
    /// Fills an empty table run by run, each leaf built once, however many entries there are. What is added
    /// is in the table when End has been called.
    /// </summary>
    public sealed class Loader
    {
        private readonly RemapTable _table;
        private readonly int _runsMax;
        private int _leaf = -1;
        private long _nextUnit;

        /// <param name="table">Without an entry.</param>
        /// <param name="entriesMax">How many entries are added at most.</param>
        public Loader(RemapTable table, long entriesMax)
        {
            Invariant.Check(table.Count == 0);
            _table = table;
            _runsMax = (int)Math.Min(LeafLayout.Units, entriesMax);
        }

        /// <summary>
        /// Add an entry and those of the units behind it that are alike, on consecutive spare units. Runs
        /// ascend.
        /// </summary>
        public void Add(RemapEntry first, int count)
        {
            first.Check();
            Invariant.Check(count > 0);
            Invariant.Check(first.Unit.Value >= _nextUnit);
            Invariant.Check(first.Unit.Value + count <= _table.Geometry.Units);
            while (count > 0)
            {
                int taken = AddPart(first, count);
                first = first.Following(taken);
                count -= taken;
            }
        }

        public void End()
        {
            if (_leaf >= 0)
            {
                _table.Publish(_leaf, oldRuns: 0);
            }
            _leaf = -1;
        }

        /// <summary>As many units as one run of one leaf can have.</summary>
        private int AddPart(in RemapEntry first, int count)
        {
            int leaf = _table.LeafOf(first.Unit);
            if (leaf != _leaf)
            {
                End();
                _table._builder.Begin(_runsMax);
                _leaf = leaf;
            }
            int local = LocalOf(first.Unit);
            RemapRun run = _table.RunOf(first, local);
            int taken = 1;
            if (_table._layout.IsUniform(run.Blocks))
            {
                taken = _table.CountAlike(first.Unit.Value, Math.Min(count, LeafLayout.Units - local));
                run = run with { Count = taken };
            }
            _table._builder.Append(run);
            _table.Count += taken;
            _nextUnit = first.Unit.Value + taken;
            return taken;
        }
    }
}
