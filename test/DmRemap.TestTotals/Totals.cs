namespace DmRemap.TestTotals;

/// <summary>How many tests came out which way.</summary>
public readonly record struct Totals(int Passed, int Failed, int Skipped)
{
    public int All => Passed + Failed + Skipped;

    public static Totals operator +(Totals left, Totals right) => new(
        left.Passed + right.Passed, left.Failed + right.Failed, left.Skipped + right.Skipped);

    public override string ToString() => $"{Passed} passed, {Failed} failed, {Skipped} skipped";
}
