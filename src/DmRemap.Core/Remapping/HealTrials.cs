using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Remapping;

/// <summary>What healing a unit has come to until now. On disk and in the table: four bits.</summary>
public readonly record struct HealTrials
{
    public const int PassedMax = 3;
    public const int FailedMax = 3;
    public const int PackedMax = (FailedMax << 2) | PassedMax;

    /// <summary>Neither is more than can be counted here.</summary>
    public HealTrials(int passed, int failed)
    {
        Invariant.Check(passed is >= 0 and <= PassedMax);
        Invariant.Check(failed is >= 0 and <= FailedMax);
        Packed = (byte)((failed << 2) | passed);
    }

    /// <summary>Bits 0 and 1: passed; bits 2 and 3: failed.</summary>
    public byte Packed { get; }

    /// <summary>Verifications that this probation has passed.</summary>
    public int Passed => Packed & PassedMax;

    /// <summary>
    /// How often the place on the primary has refused to be rewritten, or did not keep what was written.
    /// </summary>
    public int Failed => Packed >> 2;

    /// <summary>Any four bits have a meaning.</summary>
    public static HealTrials FromPacked(int packed) => new(packed & PassedMax, packed >> 2);

    public HealTrials WithPass() => new(System.Math.Min(Passed + 1, PassedMax), Failed);

    public HealTrials WithFailure() => new(0, System.Math.Min(Failed + 1, FailedMax));
}
