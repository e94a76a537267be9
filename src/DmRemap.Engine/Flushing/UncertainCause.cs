namespace DmRemap.Engine.Flushing;

/// <summary>Why acknowledged writes may be lost.</summary>
public enum UncertainCause : byte
{
    /// <summary>A flush of the member failed.</summary>
    FlushFailed = 0,

    /// <summary>The member was away with something in its cache (F-8).</summary>
    CacheLost = 1,
}
