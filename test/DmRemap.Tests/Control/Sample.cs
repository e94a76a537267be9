using DmRemap.Control.Contracts;

namespace DmRemap.Tests.Control;

/// <summary>A status with every field set, and reports.</summary>
internal static class Sample
{
    public static DeviceStatus Status() => new()
    {
        Name = "disk1",
        Uuid = "0f8fad5b-d9cb-469f-a165-70867728950e",
        State = DeviceStates.Running,
        Conditions = [],
        Backend = "io_uring",
        MemoryLocked = true,
        IoFlusher = false,
        Primary = new PrimaryStatus
        {
            Path = "/dev/sdb",
            SizeBytes = 256L * 1024 * 1024,
            BlockSize = 512,
            PhysicalBlockSize = 4096,
            UnitBytes = 4096,
            Mode = MemberModes.Direct,
            Errors = new MemberErrors(12, 3, 0),
            Io = new MemberIo(3, OldestMs: null),
            Latencies = new Latencies(
                new Latency(9_988, 110.5, 90, 200.5, 1_200, 31_000_000, 31_000_000), null, null, null),
        },
        Spares =
        [
            new SpareStatus
            {
                Path = "/dev/sdc1",
                Index = 0,
                Uuid = "7c9e6679-7425-40de-944b-e07fc1f90ae7",
                State = "active",
                Mode = MemberModes.Direct,
                Units = new SpareUnits(16128, 120, 16007, 1),
                Errors = new MemberErrors(0, 1, 0),
                Io = new MemberIo(0, OldestMs: null),
                Latencies = new Latencies(null, new Latency(1, 85, 85, 85, 85, 85, 85), null, null),
            },
        ],
        Remaps = 120,
        LostBlocks = 0,
        SuspectUnits = 2,
        ZeroBlocks = 0,
        Counters =
            new IoCounters { Reads = 10_000, Writes = 123_456, Flushes = 12, ClientErrors = 1, Commits = 40 },
        Latencies = new Latencies(
            new Latency(10_000, 112.5, 91, 201.5, 1_210, 31_000_100, 31_000_100),
            new Latency(123_456, 0.4, 0.4, 0.9, 9.96, 999.6, 999_600),
            new Latency(12, 4_000, 4_000, 4_000, 4_000, 4_000, 4_000),
            null),
        CommitTime = new Latency(40, 5_000, 5_000, 5_000, 5_000, 5_000, 5_000),
        Metadata = new MetadataStatus
        {
            Generation = 42,
            Epoch = "00c0ffee00c0ffee",
            Entries = 122,
            ActiveCopies = 1,
            Sequence = 39,
            JournalSlotsUsed = 7,
            JournalSlots = 64,
            Checkpoints = 1,
            TimeOuts = 2,
            Stuck = 0,
            CleanStart = true,
        },
        Clients = 2,
        Exports = ["nbd+unix:///disk1?socket=/run/dmremap/disk1.nbd"],
        Pid = 4711,
        Version = "0.1.0",
        UptimeSeconds = 11_220,
    };

    public static DeviceStatus Lost() => Status() with
    {
        LostBlocks = 24,
        LostExtents = [new LostExtent(800, 16), new LostExtent(5000, 1), new LostExtent(6000, 7)],
    };

    public static RemapReport Remap(long first, long last) => new()
    {
        FirstBlock = first,
        LastBlock = last,
        UnitsRemapped = 2,
        BlocksCopied = 16,
    };
}
