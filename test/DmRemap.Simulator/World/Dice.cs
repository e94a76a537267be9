namespace DmRemap.Simulator.World;

/// <summary>
/// The only source of chance. Everything in a run comes from its seed through these, so the same seed is the
/// same run. Each part of the world has its own, so that one more throw in one part does not shift another's.
/// </summary>
internal sealed class Dice(ulong seed)
{
    private ulong _state = seed;

    /// <summary>SplitMix64.</summary>
    public static ulong Mix(ulong value)
    {
        unchecked
        {
            value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
            value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
            return value ^ (value >> 31);
        }
    }

    public ulong Next()
    {
        unchecked
        {
            _state += 0x9E3779B97F4A7C15;
            return Mix(_state);
        }
    }

    /// <summary>0 to count - 1.</summary>
    public int Below(int count) => (int)((Next() >> 33) * (ulong)count >> 31);

    public long Below(long count) => (long)(Next() % (ulong)count);

    /// <summary>Both ends included.</summary>
    public int Between(int least, int most) => least + Below(most - least + 1);

    public long Between(long least, long most) => least + Below(most - least + 1);

    public bool OneIn(int count) => Below(count) == 0;

    public bool Percent(int percent) => Below(100) < percent;

    /// <summary>1 to most: every power of two has the same weight.</summary>
    public long Spread(long most)
    {
        int bits = 64 - System.Numerics.BitOperations.LeadingZeroCount((ulong)most);
        long limit = 1L << Between(1, bits);
        return System.Math.Min(most, 1 + Below(limit));
    }

    public T Pick<T>(System.ReadOnlySpan<T> choices) => choices[Below(choices.Length)];

    /// <summary>A generator of its own for one part of the world.</summary>
    public Dice Fork() => new(Next());
}
