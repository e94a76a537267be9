using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Requests;

/// <summary>Where a piece of a request lives.</summary>
public enum FragmentTarget : byte
{
    /// <summary>On the primary, at the same blocks.</summary>
    Primary = 0,

    /// <summary>On a spare.</summary>
    Spare = 1,

    /// <summary>Nowhere: its content is gone. Reads fail.</summary>
    Lost = 2,

    /// <summary>Nowhere: it reads as zeros.</summary>
    Zero = 3,
}

/// <summary>One piece of a request: blocks that lie in one place, one after the other.</summary>
/// <param name="Target">Where.</param>
/// <param name="Extent">Which blocks of the exported device.</param>
/// <param name="Location">
/// When Spare: the spare unit that holds the first block. The piece may go on through the following spare
/// units: it is contiguous on the spare from block Location.Unit * BlocksPerUnit + FirstIndexInUnit of its
/// data area on.
/// </param>
/// <param name="FirstIndexInUnit">When Spare: the place of the first block in its unit.</param>
public readonly record struct Fragment(
    FragmentTarget Target, Extent Extent, SpareLocation Location, int FirstIndexInUnit);
