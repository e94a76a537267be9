using System;
using System.Threading.Tasks;

namespace DmRemap.Interop.Tests.Conformance;

/// <summary>
/// One thing that the protocol says a server MUST do, as bytes of a client and what has to come back. It
/// throws <see cref="Deviation"/> when something else comes.
/// </summary>
/// <param name="Id">As in the table of docs/nbd-conformance.md.</param>
/// <param name="Check">On a fresh connection whose greeting has not been read.</param>
/// <param name="Times">More than once, where chance may hide a deviation.</param>
internal sealed record Demand(string Id, Func<WireClient, Task> Check, int Times = 1);

/// <summary>What a server did instead.</summary>
internal sealed class Deviation(string what) : Exception(what)
{
    public static void If(bool deviates, string what)
    {
        if (deviates)
        {
            throw new Deviation(what);
        }
    }
}
