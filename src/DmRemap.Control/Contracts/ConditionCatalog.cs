using System.Collections.Generic;

namespace DmRemap.Control.Contracts;

/// <summary>How much a condition matters.</summary>
public enum Severity : byte
{
    /// <summary>Something to know; every promise holds.</summary>
    Notice = 0,

    /// <summary>It works, with less in reserve.</summary>
    Warning = 1,

    /// <summary>Requests fail, or will.</summary>
    Critical = 2,
}

/// <summary>
/// A condition a device can be in: its name in JSON, its message id, and what a person should do, where NAME
/// stands for the device's name.
/// </summary>
public sealed record Condition(
    string Name, string MessageId, Severity Severity, string Meaning, string Action);

/// <summary>Every condition. The texts are those of `status` and of docs/messages.md.</summary>
public static class ConditionCatalog
{
    public const string Gone = "gone";
    public const string MetadataUnavailable = "metadata-unavailable";
    public const string Exhausted = "exhausted";
    public const string SparesLow = "spares-low";
    public const string SparesNearlyExhausted = "spares-nearly-exhausted";
    public const string TableFull = "table-full";
    public const string VolatileLost = "volatile-lost";
    public const string Uncertain = "uncertain";
    public const string Storm = "storm";
    public const string Degraded = "degraded";
    public const string Slow = "slow";
    public const string ReadOnly = "read-only";
    public const string Rehearsal = "rehearsal";
    public const string WritesRejected = "writes-rejected";
    public const string Unanswering = "unanswering";

    /// <summary>Most urgent first.</summary>
    public static IReadOnlyList<Condition> All { get; } =
    [
        new(Gone, MessageIds.ConditionGone, Severity.Critical,
            "The disk of a member is gone. Nothing is remapped for that: this is not a bad sector. What "
            + "needs it waits for its return, or fails, as `serve --on-gone` says.",
            "Check cable, power and the kernel's log. It ends when the disk answers again; a disk that came "
            + "back under another name needs: dmremap stop NAME, then dmremap serve NAME."),
        new(WritesRejected, MessageIds.ConditionWritesRejected, Severity.Critical,
            "The primary refuses every write, and has taken none in between: a disk that is "
                + "write-protected or "
            + "going away, not bad sectors. Such writes fail instead of filling the spare.",
            "Look at the kernel's log for this disk; it ends by itself when a write succeeds."),
        new(MetadataUnavailable, MessageIds.ConditionMetadataUnavailable, Severity.Critical,
            "The remap table cannot be made durable on any spare. Writes that need a new entry fail.",
            "Look at the spares' errors below; replace or reconnect a spare, then restart the device."),
        new(Exhausted, MessageIds.ConditionExhausted, Severity.Critical,
            "No spare unit is free. A write to a bad sector fails; everything remapped so far keeps working.",
            "Add a spare: dmremap spare add NAME PATH. Copy the data off this disk."),
        new(SparesNearlyExhausted, MessageIds.ConditionSparesNearlyExhausted, Severity.Critical,
            "95 % or more of the spare units are in use. When none is left, writes to bad sectors fail.",
            "Add a spare now: dmremap spare add NAME PATH. Copy the data off this disk."),
        new(TableFull, MessageIds.ConditionTableFull, Severity.Critical,
            "The metadata area has no room for another entry. A write to a bad sector fails.",
            "Copy the data off this disk, or set it up again with a larger spare."),
        new(VolatileLost, MessageIds.ConditionVolatileLost, Severity.Critical,
            "A member was away with writes in its cache that it had acknowledged: they may be lost. They "
            + "are listed below, and the next flush of each client fails, once.",
            "Check the file system above, or write the blocks anew; it ends when all of them are written "
            + "and flushed, or with: dmremap clear NAME volatile-lost."),
        new(Uncertain, MessageIds.ConditionUncertain, Severity.Critical,
            "A flush of a member failed: what was written since the one before may be lost. It is listed "
            + "below, and the next flush of each client fails, once.",
            "Look at the kernel's log for this disk, and check the file system above. It ends when all of "
            + "the blocks are written anew and flushed, or with: dmremap clear NAME uncertain."),
        new(Storm, MessageIds.ConditionStorm, Severity.Critical,
            "Errors come as from a cable or a controller, not from bad sectors: reads move no units any "
            + "more, and a write does only while the disk takes others.",
            "Check cable, power and controller; is the drive locked? Then: dmremap clear NAME storm."),
        new(Unanswering, MessageIds.ConditionUnanswering, Severity.Warning,
            "A member has not answered for a while; below is which one, and for how long. What needs it "
            + "waits; nothing is remapped for that.",
            "Look at the kernel's log, or at the NBD server; a spare can be left out at the next start."),
        new(Degraded, MessageIds.ConditionDegraded, Severity.Warning,
            "A spare is ill or missing. What it holds may be out of reach, and the table has fewer copies.",
            "Look at the spares' states below. One that is inactive, or was missing at the start and is "
            + "back, is taken in again by: dmremap stop NAME, then dmremap serve NAME. One that has failed "
            + "is replaced: dmremap spare add NAME PATH, then dmremap spare remove NAME with its path."),
        new(SparesLow, MessageIds.ConditionSparesLow, Severity.Warning,
            "80 % or more of the spare units are in use.",
            "Add a spare: dmremap spare add NAME PATH; and copy the data off before no unit is left."),
        new(Slow, MessageIds.ConditionSlow, Severity.Warning,
            "A member answers much more slowly than it used to, as disks do before they fail, or has had an "
            + "operation for more than 5 seconds; below is which. It ends by itself.",
            "Copy what matters off this disk now, and look at the kernel's log. `serve --read-deadline` "
            + "keeps clients from waiting for its reads."),
        new(ReadOnly, MessageIds.ConditionReadOnly, Severity.Notice,
            "The device is served read-only: every write is refused.",
            "Nothing, if you asked for it; otherwise stop it and serve it without --read-only."),
        new(Rehearsal, MessageIds.ConditionRehearsal, Severity.Notice,
            "A member is memory, or a file that is reached through the page cache. A bad sector may show up "
            + "too late to be remapped, and a write that was acknowledged may be lost with it.",
            "Use it to rehearse only; keep data on block devices, or on a file system that has direct I/O."),
    ];

    /// <summary>Null for a name of a newer version.</summary>
    public static Condition? Find(string name)
    {
        foreach (Condition condition in All)
        {
            if (condition.Name == name)
            {
                return condition;
            }
        }

        return null;
    }
}
