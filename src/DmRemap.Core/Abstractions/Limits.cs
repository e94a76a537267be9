namespace DmRemap.Core.Abstractions;

/// <summary>Every bound in the program. Relations between them are asserted by LimitsTests.</summary>
public static class Limits
{
    /// <summary>One buffer slice, and the longest Read or Write that travels as one request.</summary>
    public const int SliceBytes = 128 * 1024;

    /// <summary>Slices in a device's pool: 16 MiB.</summary>
    public const int PoolSlices = 128;

    /// <summary>The longest READ or WRITE a client may send.</summary>
    public const int ClientPayloadBytesMax = 32 * 1024 * 1024;

    /// <summary>Requests inside the remapped device at once (each holds at most one slice).</summary>
    public const int RequestsInFlightMax = 256;

    /// <summary>Pieces of those requests at members, and the repair work's own, at once.</summary>
    public const int FragmentsInFlightMax = 1024;

    /// <summary>Data requests handed to the kernel for one member at once; the rest wait in line.</summary>
    public const int MemberQueueDepth = 64;

    /// <summary>With the kernel beside those: metadata only.</summary>
    public const int MemberMetadataDepth = 4;

    /// <summary>
    /// Threads that do a member's data requests where there is no io_uring. As many as a disk's own queue is
    /// deep; a request more waits in line.
    /// </summary>
    public const int MemberTransferThreads = 32;

    /// <summary>
    /// Discards and zeroes handed to the kernel for one member at once (they occupy an io-wq worker).
    /// </summary>
    public const int MemberZeroingDepth = 2;

    /// <summary>
    /// A discard or write-zeroes is handed on in slices of at most this, so that it never blocks a hold for
    /// long.
    /// </summary>
    public const int ZeroingSliceBytes = 64 * 1024 * 1024;

    /// <summary>
    /// How long after a connection to an NBD server was lost, with writes unanswered, nothing is sent on a
    /// new one, in milliseconds: the time in which such a write must have landed (F-1).
    /// </summary>
    public const int NbdFenceMs = 5_000;

    /// <summary>Between two attempts to reach an NBD server again: at first, and at most.</summary>
    public const int NbdRetryMsMin = 100;

    public const int NbdRetryMsMax = 5_000;

    /// <summary>From the connection to the end of the handshake.</summary>
    public const int NbdHandshakeMs = 10_000;

    /// <summary>
    /// A server that is met again must answer a read of what identifies its export within so long: a disk
    /// behind it may have to spin up first.
    /// </summary>
    public const int NbdIdentityMs = 30_000;

    public const int FailedExtentsMax = 8;

    /// <summary>Blocks in a unit: two bits of state each fill two 64-bit words.</summary>
    public const int UnitBlocksMax = 64;

    public const int UnitBytesMin = 4096;

    /// <summary>
    /// Units of a primary: 1 PiB of the smallest. The table's own array is 8 bytes for each 32,768 of them.
    /// </summary>
    public const long UnitsMax = 1L << 38;

    public const int SparesMax = 8;

    /// <summary>Beyond the two times that a rescue reads a place anyway.</summary>
    public const int ReadRetriesDefault = 1;

    public const int ReadRetriesMax = 100;

    public const int SendPartsMax = 64;

    public const int TimersMax = 4096;

    public const int LoopMessagesMax = 4096;

    /// <summary>Client connections at once; one more is closed at once.</summary>
    public const int ConnectionsMax = 64;

    public const int SubmissionQueueEntries = 512;

    /// <summary>
    /// Rounds of deliveries in one turn of the loop: from a device through the remapped device to a client
    /// it takes three. Then completions, timers and messages have their turn.
    /// </summary>
    public const int LoopDeliveryRoundsMax = 4;

    /// <summary>
    /// Of a file in memory: what the loop's thread copies itself. Longer ones are copied beside it.
    /// </summary>
    public const int LoopCopyBytesMax = 32 * 1024;

    /// <summary>Changes in one commit; they always fit one journal record.</summary>
    public const int CommitChangesMax = 512;

    /// <summary>One journal record, in whole slots: what is written, and may be torn, at once.</summary>
    public const int JournalRecordBytesMax = 64 * 1024;

    /// <summary>A line on the control socket.</summary>
    public const int ControlLineBytesMax = 65_536;

    /// <summary>
    /// Extents that were written since a member's last flush; of more, neighbours count as one.
    /// </summary>
    public const int UnflushedExtentsMax = 1024;

    /// <summary>Extents that are listed as uncertain; of more, neighbours count as one.</summary>
    public const int UncertainExtentsMax = 256;

    /// <summary>
    /// Reads with a member that nobody waits for any more, from which on reads of it fail at once.
    /// </summary>
    public const int ReadsAbandonedOfMemberMax = 16;

    /// <summary>The smallest spare, in bytes.</summary>
    public const long SpareBytesMin = 16L * 1024 * 1024;
}
