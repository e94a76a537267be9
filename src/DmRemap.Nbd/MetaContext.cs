using System;
using System.Numerics;
using DmRemap.Core.Abstractions;

namespace DmRemap.Nbd;

/// <summary>Names of metadata contexts, and which of them a client's query means.</summary>
internal static class MetaContext
{
    private const byte Colon = (byte)':';

    /// <summary>On the wire: 1 or 2.</summary>
    public static uint IdOf(NbdContexts one) => (uint)BitOperations.TrailingZeroCount((uint)one) + 1;

    /// <summary>None for an id that there is not.</summary>
    public static NbdContexts FromId(uint id) => id switch
    {
        1 => NbdContexts.Allocation,
        2 => NbdContexts.State,
        _ => NbdContexts.None,
    };

    public static ReadOnlySpan<byte> NameOf(NbdContexts one)
    {
        Invariant.Check(BitOperations.IsPow2((uint)one));
        return one == NbdContexts.Allocation ? "base:allocation"u8 : "x-dmremap:state"u8;
    }

    /// <summary>
    /// The contexts that a query names: its own name selects one; a namespace alone matches all of it, where
    /// that is asked for. Of namespaces that are not ours nothing is known.
    /// </summary>
    public static NbdContexts Matching(ReadOnlySpan<byte> query, bool takesWildcard)
    {
        NbdContexts found = NbdContexts.None;
        for (uint id = 1; FromId(id) is NbdContexts one and not NbdContexts.None; id++)
        {
            ReadOnlySpan<byte> name = NameOf(one);
            bool isSpace = query.SequenceEqual(name[..(name.IndexOf(Colon) + 1)]);
            found |= query.SequenceEqual(name) || (isSpace && takesWildcard) ? one : NbdContexts.None;
        }
        return found;
    }

    /// <summary>A query is a namespace, a colon, and what the namespace makes of the rest.</summary>
    public static bool IsWellFormed(ReadOnlySpan<byte> query) =>
        query.Length <= NbdExport.StringBytesMax && query.IndexOf(Colon) > 0;
}
