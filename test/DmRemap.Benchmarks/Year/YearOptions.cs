using System.Collections.Generic;
using System.Linq;

namespace DmRemap.Benchmarks.Year;

/// <summary>What is on.</summary>
/// <param name="Rescue">
/// A read that failed is tried once more than it has to be, and what read only then is copied to a spare;
/// off: serve --read-retries 0 --no-weak-copies.
/// </param>
/// <param name="Probe">The neighbourhood of a bad sector is read; off: serve --no-probe.</param>
/// <param name="Scrub">`scrub` is started once a week.</param>
internal sealed record YearOptions(bool Rescue, bool Probe, bool Scrub)
{
    public static IReadOnlyList<YearOptions> All { get; } =
    [
        new(false, false, false), new(false, true, false), new(false, false, true), new(false, true, true),
        new(true, false, false), new(true, true, false), new(true, false, true), new(true, true, true),
    ];

    public string Name
    {
        get
        {
            (bool IsOn, string Name)[] parts = [(Rescue, "rescue"), (Probe, "probe"), (Scrub, "scrub")];
            string[] on = [.. parts.Where(part => part.IsOn).Select(part => part.Name)];
            return on.Length == 0 ? "nothing" : string.Join(" + ", on);
        }
    }
}
