using System;

namespace DmRemap.Core.Faults.Injection;

/// <summary>
/// Chance from a seed: the same seed gives the same throws. Each part of a model has one of its own, so that
/// one more throw in one part does not shift another's.
/// </summary>
public sealed class SeededDraw(ulong seed)
{
    private ulong _state = seed;

    public ulong Next()
    {
        unchecked
        {
            // SplitMix64.
            _state += 0x9E3779B97F4A7C15;
            ulong value = _state;
            value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
            value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
            return value ^ (value >> 31);
        }
    }

    /// <summary>A generator of its own for one part.</summary>
    public SeededDraw Fork() => new(Next());

    /// <summary>0 or more, below 1.</summary>
    public double Unit() => (Next() >> 11) * (1.0 / (1UL << 53));

    /// <summary>0 to count - 1.</summary>
    public long Below(long count) => (long)(Next() % (ulong)count);

    public bool Has(double probability) => Unit() < probability;

    /// <summary>
    /// Of a Pareto distribution cut off at a most: P(X > x) = (least / x)^shape below it, and nothing above.
    /// </summary>
    public double Pareto(double least, double shape, double most)
    {
        double beyond = Math.Pow(least / most, shape);
        double survival = beyond + ((1 - beyond) * (1 - Unit()));
        return Math.Min(most, least * Math.Pow(survival, -1 / shape));
    }

    /// <summary>Between both, every factor as likely as another.</summary>
    public double LogUniform(double least, double most) => least * Math.Pow(most / least, Unit());
}
