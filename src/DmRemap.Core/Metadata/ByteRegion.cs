namespace DmRemap.Core.Metadata;

/// <summary>Bytes [Start, End) of one spare.</summary>
public readonly record struct ByteRegion(long Start, long Bytes)
{
    public long End => Start + Bytes;

    public bool Overlaps(ByteRegion other) => Start < other.End && other.Start < End;
}
