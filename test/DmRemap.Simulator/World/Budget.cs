namespace DmRemap.Simulator.World;

/// <summary>
/// What the design claims to survive at present: within it every failure is a bug. The same in words:
/// docs/internals/fault-model.md.
/// </summary>
internal static class Budget
{
    public const FaultKinds Allowed =
        FaultKinds.PrimaryReads | FaultKinds.PrimaryWrites | FaultKinds.PrimaryWeak
        | FaultKinds.PrimaryAtFlush | FaultKinds.PrimaryTransient | FaultKinds.PrimaryVanishes
        | FaultKinds.PrimaryHangs | FaultKinds.SpareReads | FaultKinds.SpareWrites
        | FaultKinds.SpareTransient | FaultKinds.SpareVanishes | FaultKinds.SpareHangs
        | FaultKinds.SlowWrites | FaultKinds.PowerCuts | FaultKinds.Kills
        | FaultKinds.MetadataRot | FaultKinds.MetadataReads | FaultKinds.MetadataWrites
        | FaultKinds.MetadataMisreads | FaultKinds.MissingSpare | FaultKinds.OldImage
        | FaultKinds.MetadataRuin | FaultKinds.DegradedStarts | FaultKinds.OpeningFlush
        | FaultKinds.SpareChanges;

    /// <summary>Superblock copies of one spare that may be damaged between two complete starts.</summary>
    public const int CopiesDamagedMax = 2;

    /// <summary>A metadata write that takes longer counts as stuck, in milliseconds.</summary>
    public const long MetadataDeadlineMs = 5_000;

    /// <summary>One that takes so long may be why a commit behind it has failed, in milliseconds.</summary>
    public const long MetadataLateMs = 1_000;

    /// <summary>A stop of an idle device whose disks answer takes at most this, in milliseconds.</summary>
    public const long IdleStopMs = 5_000;

    /// <summary>The same with requests in flight.</summary>
    public const long BusyStopMs = 60_000;

    /// <summary>Whoever is woken knows it within this time, in milliseconds.</summary>
    public const long WakeMs = 50;

    /// <summary>No disk is silent for longer, in milliseconds.</summary>
    public const long SilenceMsMax = 180_000;

    /// <summary>Then every request has been answered, in milliseconds.</summary>
    public const long AnswerMsMax = 3_600_000;
}
