using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Metadata;

/// <summary>What was found at one superblock's place.</summary>
public readonly record struct CopyReading(SuperblockVerdict Verdict, Superblock? Superblock);

/// <summary>What was found on one device offered as a spare.</summary>
public sealed record SpareReading
{
    public required DeviceGeometry Device { get; init; }

    /// <summary>By copy index.</summary>
    public required CopyReading[] Copies { get; init; }

    /// <summary>The valid copy of the highest generation; null when there is none.</summary>
    public Superblock? Newest
    {
        get
        {
            Superblock? newest = null;
            foreach (CopyReading copy in Copies)
            {
                bool isNewer = copy.Superblock is not null
                    && (newest is null || copy.Superblock.State.Generation > newest.State.Generation);
                newest = isNewer ? copy.Superblock : newest;
            }
            return newest;
        }
    }
}
