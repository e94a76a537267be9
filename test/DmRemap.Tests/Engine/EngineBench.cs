using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Flushing;
using DmRemap.Core.Healing;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;
using DmRemap.Engine;
using DmRemap.Engine.Flushing;
using DmRemap.Tests.Support;

namespace DmRemap.Tests.Engine;

/// <summary>A remapped device over simulated disks, with a synchronous way to ask it for things.</summary>
internal sealed class EngineBench : IIoOwner, IEventSink
{
    private readonly Stack<IoRequest> _free = new();

    public EngineBench(BenchOptions? options = null)
    {
        BenchOptions o = options ?? new BenchOptions();
        Loop = new SimulatedLoop();
        Primary = new SimulatedDisk(
            Loop,
            SimulatedDisk.MakeGeometry(o.Blocks, o.BlockBytes, o.PhysicalBytes, o.AlignmentOffset),
            o.Seed,
            o.PrimaryImage)
        { LatencyMax = o.LatencyMax };
        UnitGeometry units =
            new(new BlockSize(o.BlockBytes), o.UnitBytes, new BlockCount(o.Blocks), o.AlignmentOffset);
        Log = new SimulatedLog(Loop, o.Seed);
        RemapTable table = new(units);
        SpareAllocator allocator = new();
        Member[] spares = new Member[o.Spares];
        Spares = new SimulatedDisk[o.Spares];
        long spareBlocks = (o.SpareUnits + 1) * units.BlocksPerUnit;
        for (int i = 0; i < o.Spares; i++)
        {
            Spares[i] = MakeSpare(o, i, spareBlocks);
            if (o.SpareImages is null)
            {
                // What was never written must never be read: it would show.
                Spares[i].Content.AsSpan().Fill(0xDB);
            }
            // Block 0 is a superblock's place; data begins behind it.
            spares[i] = new Member(i, $"spare{i}", Spares[i], new BlockNumber(units.BlocksPerUnit))
            {
                OpeningFlush = new OpeningFlush(),
                Identity = o.SpareIdentity,
                IsAbsent = i == o.AbsentSpare,
            };
            allocator.AddSpare(i, o.SpareUnits);
            allocator.SetUsable(i, i != o.AbsentSpare);
        }
        Load(o, table, allocator);
        Device = new RemapDevice(new RemapDeviceParts
        {
            Loop = Loop,
            Primary = new Member(Member.Primary, "main", Primary, new BlockNumber(0))
            {
                Kind = o.PrimaryKind,
                HasVolatileCache = !o.IsPrimaryCacheOff,
            },
            IsPrimaryCacheOff = o.IsPrimaryCacheOff,
            Spares = spares,
            Table = table,
            Allocator = allocator,
            Log = Log,
            Events = this,
            ProbesNeighbourhood = o.ProbesNeighbourhood,
            ReadRetries = o.ReadRetries,
            CopiesWeak = o.CopiesWeak,
            RetriesUnreadable = o.RetriesUnreadable,
            IsRetryPatient = o.IsRetryPatient,
            Heal = o.Heal,
            OnGone = o.OnGone,
            WriteCache = o.WriteCache,
            KeepsCopies = o.KeepsCopies,
            AreCopiesInStep = o.AreCopiesInStep,
        });
    }

    private SimulatedDisk MakeSpare(BenchOptions o, int index, long blocks)
    {
        // As the program describes one that it has not seen.
        bool isAbsent = index == o.AbsentSpare;
        int physicalBytes = isAbsent ? o.UnitBytes : o.PhysicalBytes;
        return new SimulatedDisk(
            Loop, SimulatedDisk.MakeGeometry(blocks, o.BlockBytes, physicalBytes), o.Seed + index + 1,
            o.SpareImages?[index])
        {
            LatencyMax = o.LatencyMax,
            Fault = isAbsent ? (_, _) => 19 : null,
        };
    }

    private void Load(BenchOptions o, RemapTable table, SpareAllocator allocator)
    {
        foreach (RemapEntry entry in o.Entries?.Values ?? Enumerable.Empty<RemapEntry>())
        {
            Log.Durable.Add(entry.Unit.Value, entry);
            table.Set(entry);
            foreach (SpareLocation location in (SpareLocation[])[entry.Location, entry.Second])
            {
                if (!location.IsNone)
                {
                    allocator.MarkUsed(location);
                }
            }
        }
    }

    public SimulatedLoop Loop { get; }

    public SimulatedDisk Primary { get; }

    public SimulatedDisk[] Spares { get; }

    public SimulatedLog Log { get; }

    public RemapDevice Device { get; }

    public List<EngineEvent> Events { get; } = [];

    public void OnCompleted(IoRequest request)
    {
        if (request.Context is Action<IoRequest> then)
        {
            then(request);
        }
        _free.Push(request);
    }

    public void Publish(in EngineEvent happened) => Events.Add(happened);

    /// <summary>The first block of a spare unit, on its spare.</summary>
    public long SpareBlock(SpareLocation location) => (location.Unit.Value + 1) * Device.Units.BlocksPerUnit;

    /// <summary>Submit; the action is called when it completes.</summary>
    public void Start(
        IoOperation operation, long start, long count, BufferSlice buffer, IoFlags flags,
        Action<IoRequest>? then)
    {
        IoRequest request = _free.Count > 0 ? _free.Pop() : new IoRequest();
        request.Context = then;
        request.Prepare(this, operation, new Extent(new BlockNumber(start), new BlockCount(count)), buffer,
            flags);
        Device.Submit(request);
    }

    public Outcome Write(long start, byte[] data, IoFlags flags = IoFlags.None)
    {
        BufferSlice buffer = AlignedMemory.Allocate(data.Length);
        data.CopyTo(buffer.Span);
        return Run(IoOperation.Write, start, data.Length / Device.Units.BlockSize.Bytes, buffer, flags);
    }

    public Outcome Read(long start, long count)
    {
        BufferSlice buffer = AlignedMemory.Allocate((int)count * Device.Units.BlockSize.Bytes);
        buffer.Span.Fill(0xAA);
        return Run(IoOperation.Read, start, count, buffer, IoFlags.None);
    }

    public Outcome Flush() => Run(IoOperation.Flush, 0, 0, default, IoFlags.None);

    public Outcome Zero(long start, long count, IoFlags flags = IoFlags.None) =>
        Run(IoOperation.WriteZeroes, start, count, default, flags);

    public Outcome Discard(long start, long count) =>
        Run(IoOperation.Discard, start, count, default, IoFlags.None);

    public Outcome Run(IoOperation operation, long start, long count, BufferSlice buffer, IoFlags flags)
    {
        Outcome? outcome = null;
        Start(operation, start, count, buffer, flags, request => outcome = new Outcome(
            request.Status, request.Errno, buffer.Span.ToArray(), [.. ListFailed(request)]));
        Loop.RunUntil(() => outcome is not null);
        return outcome!;
    }

    public static byte[] Pattern(long count, int blockBytes, byte value)
    {
        byte[] data = new byte[count * blockBytes];
        data.AsSpan().Fill(value);
        return data;
    }

    private static List<Extent> ListFailed(IoRequest request)
    {
        List<Extent> failed = [];
        for (int i = 0; i < request.Failed.Count; i++)
        {
            failed.Add(request.Failed[i]);
        }
        return failed;
    }
}

internal sealed record Outcome(IoStatus Status, int Errno, byte[] Data, Extent[] Failed);

internal sealed record BenchOptions
{
    public long Blocks { get; init; } = 2048;

    public int BlockBytes { get; init; } = 512;

    public MemberKind PrimaryKind { get; init; } = MemberKind.File;

    public bool IsPrimaryCacheOff { get; init; }

    public int PhysicalBytes { get; init; } = 4096;

    public int UnitBytes { get; init; } = 4096;

    public int AlignmentOffset { get; init; }

    public int Spares { get; init; } = 1;

    public long SpareUnits { get; init; } = 128;

    public int Seed { get; init; } = 1;

    public Duration LatencyMax { get; init; }

    /// <summary>Off, so that a test sees only the operations that it asked for.</summary>
    public bool ProbesNeighbourhood { get; init; }

    /// <summary>Off, for the same reason.</summary>
    public bool RetriesUnreadable { get; init; }

    public bool IsRetryPatient { get; init; }

    /// <summary>Off, for the same reason.</summary>
    public HealPolicy Heal { get; init; }

    public int ReadRetries { get; init; } = Limits.ReadRetriesDefault;

    public bool CopiesWeak { get; init; } = true;

    public OnGone OnGone { get; init; }

    public WriteCachePolicy WriteCache { get; init; }

    public bool KeepsCopies { get; init; }

    public bool AreCopiesInStep { get; init; }

    public IMemberIdentity? SpareIdentity { get; init; }

    /// <summary>The number of one that is not here; none.</summary>
    public int AbsentSpare { get; init; } = -1;

    public byte[]? PrimaryImage { get; init; }

    public byte[][]? SpareImages { get; init; }

    public SortedDictionary<long, RemapEntry>? Entries { get; init; }
}
