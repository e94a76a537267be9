using System;
using System.Collections.Generic;

namespace DmRemap.Core.Faults.Injection;

/// <summary>What is wrong with a physical sector, and so what reads and writes do to it.</summary>
public enum DefectKind : byte
{
    /// <summary>Nothing, or nothing any more.</summary>
    None = 0,

    /// <summary>No read succeeds. A write of the whole physical sector does, and ends it.</summary>
    Pending = 1,

    /// <summary>Neither reads nor writes succeed, for good.</summary>
    Dead = 2,

    /// <summary>Reads succeed after some tries, each of them slow. A write ends it.</summary>
    Weak = 3,

    /// <summary>Reads succeed; no write does.</summary>
    Unwritable = 4,

    /// <summary>
    /// A write is taken into the drive's cache and succeeds; the flush after it fails, and the sector is dead
    /// then. A write with FUA fails itself.
    /// </summary>
    Unflushable = 5,

    /// <summary>Reads succeed and return other bytes than were written. A write ends it.</summary>
    Corrupt = 6,
}

/// <summary>The state of one physical sector that has a defect.</summary>
public struct Defect
{
    public DefectKind Kind { get; set; }

    /// <summary>Of a weak sector: reads that will still fail.</summary>
    public int TriesLeft { get; set; }

    /// <summary>How long the drive takes over each operation that meets it.</summary>
    public int DelayMilliseconds { get; set; }

    /// <summary>
    /// A write that succeeds does not end it: the sector stays as bad as it was.
    /// </summary>
    public bool IsLasting { get; set; }

    /// <summary>Of an unflushable one: a write is in the cache.</summary>
    public bool IsDirty { get; set; }
}

/// <param name="Physical">The index of the physical sector.</param>
/// <param name="Defect">What is wrong with it.</param>
public readonly record struct PlacedDefect(long Physical, Defect Defect);

/// <summary>The kinds by the names that people write.</summary>
public static class DefectKinds
{
    private static readonly (string Name, DefectKind Kind)[] s_names =
    [
        ("pending", DefectKind.Pending),
        ("dead", DefectKind.Dead),
        ("weak", DefectKind.Weak),
        ("unwritable", DefectKind.Unwritable),
        ("unflushable", DefectKind.Unflushable),
        ("corrupt", DefectKind.Corrupt),
    ];

    public static IEnumerable<string> Names
    {
        get
        {
            foreach ((string name, DefectKind _) in s_names)
            {
                yield return name;
            }
        }
    }

    /// <summary>A write that succeeds makes the sector good, unless the defect is lasting.</summary>
    public static bool IsEndedByWrites(DefectKind kind) =>
        kind is DefectKind.Pending or DefectKind.Weak or DefectKind.Corrupt;

    public static bool TryParse(ReadOnlySpan<char> text, out DefectKind kind)
    {
        foreach ((string name, DefectKind value) in s_names)
        {
            if (text.SequenceEqual(name))
            {
                kind = value;
                return true;
            }
        }
        kind = DefectKind.None;
        return false;
    }

    public static string NameOf(DefectKind kind)
    {
        foreach ((string name, DefectKind value) in s_names)
        {
            if (value == kind)
            {
                return name;
            }
        }
        return "none";
    }
}
