using System;
using System.Globalization;
using System.Text;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults.Injection;

/// <summary>Which requests a fault rule is about.</summary>
[Flags]
public enum FaultDirections
{
    None = 0,
    Read = 1,

    /// <summary>Also write-zeroes and discard.</summary>
    Write = 2,

    Both = Read | Write,
}

/// <summary>
/// One line of a fault file: what goes wrong in a run of 512-byte sectors. See <see cref="FaultRules"/> for
/// its form.
/// </summary>
public sealed record FaultRule
{
    public const int SectorBytes = 512;

    public required long FirstSector { get; init; }

    /// <summary>Included.</summary>
    public required long LastSector { get; init; }

    public required FaultDirections Directions { get; init; }

    /// <summary>So many matching requests pass before the first fault.</summary>
    public long After { get; init; }

    /// <summary>After so many faults the sectors work again (a weak sector); 0: never.</summary>
    public long Tries { get; init; }

    /// <summary>Positive; 0: no error, only the delay.</summary>
    public int Errno { get; init; } = FaultErrno.Default;

    public long DelayMilliseconds { get; init; }

    public bool Touches(long firstSector, long sectorCount) =>
        firstSector <= LastSector && FirstSector < firstSector + sectorCount;

    /// <summary>True for a request of the rule's direction.</summary>
    public bool IsAbout(IoOperation operation) => operation switch
    {
        IoOperation.Read => (Directions & FaultDirections.Read) != 0,
        IoOperation.Write or IoOperation.WriteZeroes or IoOperation.Discard =>
            (Directions & FaultDirections.Write) != 0,
        IoOperation.Flush or IoOperation.None => false,
        _ => false,
    };

    /// <summary>The rule as a line that parses to an equal rule.</summary>
    public override string ToString()
    {
        StringBuilder line = new();
        line.Append(CultureInfo.InvariantCulture, $"{FirstSector}-{LastSector} ");
        line.Append(Directions switch
        {
            FaultDirections.Read => "read",
            FaultDirections.Write => "write",
            FaultDirections.None or FaultDirections.Both => "both",
            _ => "both",
        });
        if (After > 0)
        {
            line.Append(CultureInfo.InvariantCulture, $" after={After}");
        }
        if (Tries > 0)
        {
            line.Append(CultureInfo.InvariantCulture, $" tries={Tries}");
        }
        if (Errno != FaultErrno.Default)
        {
            line.Append(CultureInfo.InvariantCulture, $" errno={FaultErrno.NameOf(Errno)}");
        }
        if (DelayMilliseconds > 0)
        {
            line.Append(CultureInfo.InvariantCulture, $" delay={DelayMilliseconds}");
        }
        return line.ToString();
    }
}
