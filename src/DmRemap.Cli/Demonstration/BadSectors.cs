namespace DmRemap.Cli.Demonstration;

/// <summary>
/// Where the demonstration's disk is bad: clusters, as real disks have them. Sectors of 512 bytes.
/// </summary>
internal static class BadSectors
{
    /// <summary>4096-byte page in the part that is only read: bad for reading from the start.</summary>
    public const long UnreadablePage = (FirstUnreadable - (FirstUnreadable % 8)) / 8;

    private const long FirstUnreadable = 300_003;

    public static int CountAtStart { get; } = 1 + 8 + 64 + 200 + 30 + 300 + 9 + 14;

    /// <summary>
    /// The first sector of all, clusters for writing and for both; then single ones and a run for reading
    /// only.
    /// </summary>
    public static string[] AtStart { get; } =
    [
        "# FIRST-LAST direction, in sectors of 512 bytes",
        "0-0 write",
        "2000-2007 write",
        "50000-50063 both",
        "120000-120199 write",
        "180500-180529 both",
        "200000-200299 write",
        "300003-300011 read",
        "350000-350013 both",
    ];

    /// <summary>In the part that fio writes, while it does.</summary>
    public static string[] WhileRunning { get; } =
    [
        "400000-400063 write",
        "410000-410400 write",
        "450007-450007 write",
        "470000-470015 write",
        "500000-500200 write",
        "140000-140080 write",
    ];
}
