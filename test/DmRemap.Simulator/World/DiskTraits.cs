namespace DmRemap.Simulator.World;

/// <summary>What kind of disk it is. Drawn once for each disk and run.</summary>
internal sealed record DiskTraits
{
    /// <summary>Off: what has completed is durable.</summary>
    public required bool HasVolatileCache { get; init; }

    /// <summary>Nanoseconds.</summary>
    public required long LatencyMin { get; init; }

    public required long LatencyMax { get; init; }

    /// <summary>A write makes its sectors readable again.</summary>
    public required bool WritesHeal { get; init; }

    /// <summary>A write that fails leaves its sectors unreadable.</summary>
    public required bool FailedWritesRuin { get; init; }

    /// <summary>Of each hundred overwrites of unflushed sectors, those that store the former first.</summary>
    public required int DestagePercent { get; init; }

    /// <summary>Of each hundred unflushed sectors, those that a power cut keeps.</summary>
    public required int KeptAtPowerCutPercent { get; init; }

    /// <summary>What a bad sector answers with.</summary>
    public required int MediumErrno { get; init; }

    public required bool ErrorsAtFlush { get; init; }

    public required bool CanDiscard { get; init; }

    public required bool CanWriteZeroes { get; init; }

    public required bool IsFile { get; init; }

    public static DiskTraits Draw(Dice dice, bool errorsAtFlush)
    {
        long least = dice.Between(5, 200) * 1_000L;
        return new DiskTraits
        {
            HasVolatileCache = errorsAtFlush || !dice.OneIn(4),
            LatencyMin = least,
            LatencyMax = least + (dice.Spread(3_000) * 1_000),
            WritesHeal = !dice.OneIn(4),
            FailedWritesRuin = dice.OneIn(3),
            DestagePercent = dice.Pick<int>([0, 50, 100]),
            KeptAtPowerCutPercent = dice.Pick<int>([0, 20, 50, 80, 100]),
            MediumErrno = dice.Pick<int>([5, 5, 61, 84, 121]),
            ErrorsAtFlush = errorsAtFlush,
            CanDiscard = !dice.OneIn(4),
            CanWriteZeroes = !dice.OneIn(4),
            IsFile = dice.OneIn(3),
        };
    }
}
