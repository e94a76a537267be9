using System;
using System.Collections.Generic;
using System.Linq;

namespace DmRemap.Tests.Metadata.Exhaustive;

/// <summary>
/// Which of the things that a set of uncertain writes can leave are looked at. Each write is absent, whole,
/// or one of its torn forms.
/// </summary>
/// <param name="WritesMax">Up to so many writes: every subset.</param>
/// <param name="NearMax">
/// Beyond, up to so many: none, all, each alone, all but each one. Still more: none, all, of each disk none
/// or all, and of what was submitted together none or all.
/// </param>
/// <param name="TornMax">
/// At most so many of them torn at once, each in every form, beside each of those choices for the others (at
/// most one beyond WritesMax; only beside none and all there). And, unless it is 0, all in the same form.
/// </param>
/// <param name="CutsEverySector">
/// Torn forms: false, the first half and the second half; true, also every beginning and every end in steps
/// of 512 bytes (an eighth of it, where the write is longer than 4096).
/// </param>
internal sealed record CrashBound(int WritesMax, int NearMax, int TornMax, bool CutsEverySector = false)
{
    public const int Absent = 0;
    public const int Whole = 1;

    /// <summary>By write: Absent, Whole, or 2 and up, the torn forms.</summary>
    /// <param name="disks">By write: its disk.</param>
    /// <param name="batches">By write: alike for those submitted together.</param>
    public IEnumerable<int[]> Choices(int[] disks, int[] batches)
    {
        int writes = disks.Length;
        if (writes == 0)
        {
            return [[]];
        }
        IEnumerable<int[]> allAlike = TornMax == 0 || (TornMax >= writes && writes <= WritesMax)
            ? []
            : Forms().Select(form => Enumerable.Repeat(form, writes).ToArray());
        if (writes <= WritesMax)
        {
            return Subsets(writes).Concat(Torn(writes)).Concat(allAlike);
        }
        return writes <= NearMax
            ? NearSubsets(writes).Concat(NearTorn(writes)).Concat(allAlike)
            : ByGroup(disks).Concat(MixedByGroup(batches)).Concat(allAlike);
    }

    /// <summary>Nothing torn, and of each disk none or all.</summary>
    public static bool IsByDisk(int[] choice, int[] disks)
    {
        bool isByDisk = !HasTorn(choice);
        for (int i = 1; i < choice.Length; i++)
        {
            for (int j = 0; j < i; j++)
            {
                isByDisk &= disks[i] != disks[j] || choice[i] == choice[j];
            }
        }
        return isByDisk;
    }

    /// <summary>The bytes of a write that are there.</summary>
    public static (int From, int End) Range(int choice, int bytes)
    {
        int step = bytes / 8;
        return choice switch
        {
            Absent => (0, 0),
            Whole => (0, bytes),
            2 => (0, bytes / 2),
            3 => (bytes / 2, bytes),
            < 11 => (0, (choice - 3) * step),
            _ => ((choice - 10) * step, bytes),
        };
    }

    public static bool HasTorn(int[] choice) => Array.Exists(choice, one => one > Whole);

    private IEnumerable<int> Forms() => Enumerable.Range(2, CutsEverySector ? 16 : 2);

    private static IEnumerable<int[]> Subsets(int writes)
    {
        for (int mask = 0; mask < 1 << writes; mask++)
        {
            yield return [.. Enumerable.Range(0, writes).Select(i => (mask >> i) & 1)];
        }
    }

    private static IEnumerable<int[]> ByGroup(int[] groups)
    {
        int[] different = [.. groups.Distinct()];
        return Subsets(different.Length).Select(
            subset => groups.Select(group => subset[Array.IndexOf(different, group)]).ToArray());
    }

    /// <summary>Without none and all.</summary>
    private static IEnumerable<int[]> MixedByGroup(int[] groups) =>
        ByGroup(groups).Where(choice => Array.Exists(choice, one => one != choice[0]));

    private static IEnumerable<int[]> NearSubsets(int writes)
    {
        for (int rest = Absent; rest <= Whole; rest++)
        {
            yield return [.. Enumerable.Repeat(rest, writes)];
            for (int one = 0; one < writes; one++)
            {
                yield return With(Enumerable.Repeat(rest, writes), one, Whole - rest);
            }
        }
    }

    private IEnumerable<int[]> NearTorn(int writes)
    {
        foreach (int form in TornMax > 0 ? Forms() : [])
        {
            for (int rest = Absent; rest <= Whole; rest++)
            {
                for (int one = 0; one < writes; one++)
                {
                    yield return With(Enumerable.Repeat(rest, writes), one, form);
                }
            }
        }
    }

    private IEnumerable<int[]> Torn(int writes)
    {
        foreach (int[] subset in Subsets(writes))
        {
            foreach (int[] choice in TornFrom(subset, 0, TornMax))
            {
                if (HasTorn(choice))
                {
                    yield return choice;
                }
            }
        }
    }

    /// <summary>What is torn is torn out of Whole, so that no choice comes twice.</summary>
    private IEnumerable<int[]> TornFrom(int[] subset, int first, int tornMax)
    {
        yield return subset;
        for (int i = first; i < subset.Length && tornMax > 0; i++)
        {
            if (subset[i] != Whole)
            {
                continue;
            }
            foreach (int form in Forms())
            {
                foreach (int[] choice in TornFrom(With(subset, i, form), i + 1, tornMax - 1))
                {
                    yield return choice;
                }
            }
        }
    }

    private static int[] With(IEnumerable<int> choice, int at, int value)
    {
        int[] changed = [.. choice];
        changed[at] = value;
        return changed;
    }
}
