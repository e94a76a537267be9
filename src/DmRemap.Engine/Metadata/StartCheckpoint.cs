namespace DmRemap.Engine.Metadata;

/// <summary>Whether a start writes the table anew before the first request.</summary>
internal enum StartCheckpoint : byte
{
    /// <summary>No: it is whole in every place.</summary>
    None = 0,

    /// <summary>
    /// A cache may still drop the record that is the head; behind a new table no later start needs it. Where
    /// no place takes one, the set is served without.
    /// </summary>
    IfPossible = 1,

    /// <summary>Some place lacks a part of the history, or a member is behind.</summary>
    Required = 2,

    /// <summary>The head goes with a new table only: that comes before any superblock of the epoch.</summary>
    First = 3,

    /// <summary>There is none yet: an empty one comes first.</summary>
    Fresh = 4,
}
