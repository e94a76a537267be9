namespace DmRemap.Core.Metadata;

public enum MetadataRefusalKind : byte
{
    None = 0,

    /// <summary>A spare has never been one: blank, or something else's content.</summary>
    NoMetadata = 1,

    /// <summary>Every copy could be read and none is valid.</summary>
    Damaged = 2,

    /// <summary>No valid copy, and some could not be read: they may be valid.</summary>
    Unreadable = 3,

    NewerFormat = 4,
    UnknownFeatures = 5,
    DevelopmentVersion = 6,

    /// <summary>Valid copies that cannot come from one history.</summary>
    CopiesConflict = 7,

    /// <summary>A spare of another set.</summary>
    WrongSet = 8,

    /// <summary>The same member twice.</summary>
    Clone = 9,

    /// <summary>A spare that the newest superblock does not list as active.</summary>
    NotActive = 10,

    MissingMember = 11,

    /// <summary>A spare is shorter or longer than when it was made.</summary>
    WrongSize = 12,

    /// <summary>
    /// Logical or physical block do not fit what was recorded, or the spare is off its physical blocks.
    /// </summary>
    WrongBlockSize = 13,

    WrongPrimary = 14,

    /// <summary>The checkpoint that the newest superblock names is valid in none of its places.</summary>
    CheckpointDamaged = 15,

    /// <summary>As above, and some place could not be read.</summary>
    CheckpointUnreadable = 16,

    /// <summary>A write of metadata failed.</summary>
    WriteFailed = 17,

    TooSmall = 18,

    TooManySpares = 19,

    /// <summary>A spare that went on without the others, as they did without it (F-14).</summary>
    Diverged = 20,

    /// <summary>Journal records that were acknowledged are in no place (F-12).</summary>
    JournalDamaged = 21,

    /// <summary>As above, and some place could not be read.</summary>
    JournalUnreadable = 22,

    /// <summary>The caller, asked before anything was written, said no.</summary>
    Declined = 23,

    /// <summary>
    /// One spare holds an older state than it had, by the word of the others: an old image was put back
    /// (F-16).
    /// </summary>
    SpareRolledBack = 24,
}

/// <summary>
/// Why a set is not opened or made. Nothing was written, except where the kind is WriteFailed.
/// </summary>
/// <param name="Kind">For the program.</param>
/// <param name="Spare">The position in the caller's list, or -1: the set as a whole.</param>
/// <param name="Detail">For a person: what was found.</param>
public sealed record MetadataRefusal(MetadataRefusalKind Kind, int Spare, string Detail);
