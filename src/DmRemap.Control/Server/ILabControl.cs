using System.Collections.Generic;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Server;

/// <summary>
/// A disk of the lab as its control socket sees it. Called from pool threads, several at once; the
/// implementation posts to the data thread. A command that is refused throws <see cref="RefusalException"/>.
/// </summary>
public interface ILabControl : IControlled
{
    Task<LabStatus> GetStatusAsync();

    /// <summary>
    /// Defects as text, `FIRST[-LAST] [KIND] [tries=K] [delay=MS] [lasting]` each: all are added, or none.
    /// How many physical sectors.
    /// </summary>
    Task<LabChange> AddBadAsync(IReadOnlyList<string> runs);

    /// <summary>
    /// Make these 512-byte sectors good, both ends included; null: all, and nothing is the matter with the
    /// disk as a whole any more.
    /// </summary>
    Task<LabChange> HealAsync(LabRange? range);

    /// <summary>One of <see cref="LabTroubles"/>; seconds where it takes any (null: no end).</summary>
    Task TroubleAsync(string trouble, double? seconds);

    /// <summary>Defects from this 512-byte sector on, as many as a reply holds.</summary>
    Task<LabDefects> ListAsync(long from);
}
