using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

internal sealed partial class WriteRedirect
{
    /// <summary>What a write has to do with one unit.</summary>
    private record struct Part
    {
        public UnitNumber Unit { get; set; }

        public Extent Blocks { get; set; }

        public Plan Plan { get; set; }

        /// <summary>No entry and not suspect: the primary may be asked again.</summary>
        public bool WasHealthy { get; set; }

        public RemapEntry Old { get; set; }

        /// <summary>The spare unit that it had failed by its medium.</summary>
        public bool IsPlaceBad { get; set; }

        /// <summary>Of a unit in probation: the copy on the primary has this write.</summary>
        public bool IsCopied { get; set; }

        /// <summary>Its copy on the primary misses this write, and counts no more.</summary>
        public bool EndsProbation { get; set; }

        /// <summary>
        /// Its write where the unit lives, perhaps unforced, has been taken note of for doubts about flushes.
        /// </summary>
        public bool IsNoted { get; set; }

        public bool IsSecondTried { get; set; }

        /// <summary>Its second copy misses this write, and is one no more.</summary>
        public bool DropsSecond { get; set; }

        /// <summary>No record came of it: what has reached which copy is not known.</summary>
        public bool IsUncommitted { get; set; }

        public RemapEntry New { get; set; }

        /// <summary>The rule goes away: every block is on the primary again.</summary>
        public bool IsRemoved { get; set; }

        public int Errno { get; set; }
    }
}
