using System;
using System.Diagnostics;
using System.IO;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Devices;
using DmRemap.Engine.Metadata;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Members;

namespace DmRemap.Benchmarks.Metadata;

/// <summary>
/// One spare file with a set on it, opened by the production code on a loop of its own. Everything runs on
/// the loop's thread; the caller waits.
/// </summary>
internal sealed class BenchSet
    : IMetadataFormatOwner, IMetadataRecoveryOwner, IMetadataStopOwner, ICommitOwner, IDisposable
{
    /// <summary>1 TiB in units of 4 KiB.</summary>
    public const long Units = 1L << 28;

    /// <summary>A disk that still writes the zeros of a large spare may take long for a checkpoint.</summary>
    private static readonly Duration s_patience = Duration.FromSeconds(300);

    private const long WrittenBytesMax = 8L << 30;

    /// <summary>Beyond it, commits would take many checkpoints of the growing table, and minutes.</summary>
    private const long CommittedMax = 1_000_000;

    private readonly KernelLoop _loop = KernelLoop.Create(new KernelLoopOptions { Name = "bench" });
    private readonly ManualResetEventSlim _ended = new();
    private readonly CommitRequest _request = new(Limits.CommitChangesMax);
    private readonly MemberFile _member;
    private LinuxFile? _file;

    public BenchSet(string path)
    {
        MemberOptions options = new() { BlockBytes = 512, FilePhysicalBlockBytes = 4096 };
        _member = MemberFile.WaitForClaim(path, options, _ => { }, CancellationToken.None);
        using ManualResetEventSlim started = new();
        _loop.Start(_ => started.Set());
        started.Wait();
        OnLoop(() => _file = new LinuxFile(
            _loop, _member.Handle, _member.Geometry, LinuxFileOptions.Of(_member)));
    }

    public static UnitGeometry Geometry { get; } =
        new(new BlockSize(512), 4096, new BlockCount(Units * 8), alignmentOffsetBytes: 0);

    public KernelLoop Loop => _loop;

    public bool IsDirect => _member.IsDirect;

    public RecoveredSet Recovered { get; private set; } = null!;

    /// <summary>
    /// A spare file of this size, written in full; with holes when it is very large, since no data is put on
    /// it here and the metadata fills its own part before anything is measured.
    /// </summary>
    public static void MakeFile(string path, long bytes)
    {
        if (bytes > WrittenBytesMax)
        {
            using FileStream sparse = File.Create(path);
            sparse.SetLength(bytes);
            return;
        }
        byte[] zeros = new byte[1 << 20];
        using FileStream file = File.Create(path);
        for (long written = 0; written < bytes; written += zeros.Length)
        {
            file.Write(zeros);
        }
        file.Flush(flushToDisk: true);
    }

    /// <summary>
    /// Remap so many units, from this one on, of the device that this spare is the only one of, and that is
    /// not served now.
    /// </summary>
    public static void FillSpare(string path, long remaps, long from = 0)
    {
        using BenchSet set = new(path);
        set.Recover((ulong)Stopwatch.GetTimestamp());
        set.Fill(remaps, from);
        set.Stop();
    }

    public void Format()
    {
        FormatRequest request = new()
        {
            SetUuid = new Guid("5e700000-0000-4000-8000-000000000001"),
            MemberUuids = [new Guid("3e3be400-0000-4000-8000-000000000001")],
            Geometry = Geometry,
            PrimaryPhysicalBlockBytes = 4096,
            Primary = new PrimaryIdentity { Bytes = Units * 4096, Text = "bench" },
            Epoch = 1,
        };
        Await(() => new MetadataFormatter(_loop, [_file!], request, this).Begin());
    }

    public void Recover(ulong epoch) =>
        Await(() => new MetadataRecovery(
            _loop, [_file!], new SetExpectation(), epoch, this, deadline: s_patience).Begin());

    /// <summary>
    /// Remap so many units, scattered over the primary from this one on, one run each.
    /// </summary>
    public void Fill(long remaps, long from = 0)
    {
        long stride = (Units - from) / remaps;
        long next = Math.Max(0, remaps - CommittedMax);
        OnLoop(() =>
        {
            // What lies on the spare in the end is the same: one checkpoint, and the records behind it.
            for (long i = 0; i < next; i++)
            {
                Recovered.Table.Set(PlaceUnit(from + (i * stride)));
            }
        });
        while (next < remaps)
        {
            long first = next;
            long count = Math.Min(Limits.CommitChangesMax, remaps - first);
            Await(() => Commit(first, count, stride, from));
            next += count;
        }
    }

    /// <summary>One small commit, of a unit that has a remap already.</summary>
    public void Touch() => Await(() =>
    {
        bool isFound = Recovered.Table.TryGetNext(new UnitNumber(0), out RemapEntry first);
        Invariant.Check(isFound);
        _request.Prepare(this);
        _request.Add(new TableChange(TableChangeKind.Set, first with { LastErrno = 5 }));
        Recovered.Store.Commit(_request);
    });

    /// <summary>Stop cleanly; the time from the call to the answer.</summary>
    public void Stop() => Await(() => Recovered.Store.BeginStop(this));

    /// <summary>Run on the loop's thread and wait until it has.</summary>
    public void OnLoop(Action action)
    {
        using ManualResetEventSlim done = new();
        bool isPosted = _loop.Post(new Message(() =>
        {
            action();
            done.Set();
        }));
        Invariant.Check(isPosted);
        done.Wait();
    }

    /// <summary>Begin something on the loop's thread and wait for its callback.</summary>
    public void Await(Action begin)
    {
        _ended.Reset();
        OnLoop(begin);
        _ended.Wait();
    }

    public void Dispose()
    {
        OnLoop(_file!.Retire);
        _loop.Stop();
        _loop.Join(TimeSpan.FromSeconds(5));
        _file.Dispose();
        _loop.Dispose();
        _ended.Dispose();
    }

    void IMetadataFormatOwner.OnFormatted(MetadataFormatter formatter)
    {
        Invariant.Check(formatter.Refusal is null);
        _ended.Set();
    }

    void IMetadataRecoveryOwner.OnRecovered(MetadataRecovery recovery)
    {
        Recovered = recovery.Recovered ?? throw new InvalidOperationException($"{recovery.Refusal}");
        _ended.Set();
    }

    void IMetadataStopOwner.OnMetadataStopped(bool isClean)
    {
        Invariant.Check(isClean);
        _ended.Set();
    }

    void ICommitOwner.OnCommitted(CommitRequest request)
    {
        Invariant.Check(request.Outcome == CommitOutcome.Done);
        foreach (ref readonly TableChange change in request.Changes)
        {
            Recovered.Table.Set(change.Entry);
        }
        _ended.Set();
    }

    private void Commit(long first, long count, long stride, long from)
    {
        _request.Prepare(this);
        for (long i = first; i < first + count; i++)
        {
            _request.Add(new TableChange(TableChangeKind.Set, PlaceUnit(from + (i * stride))));
        }
        Recovered.Store.Commit(_request);
    }

    private RemapEntry PlaceUnit(long number)
    {
        UnitNumber unit = new(number);
        bool isFound = Recovered.Allocator.TryAllocate(unit, out SpareLocation place);
        Invariant.Check(isFound);
        return new RemapEntry
        {
            Unit = unit,
            State = UnitState.Remapped,
            Location = place,
            Blocks = new BlockStates(0xFF, 0),
            LastErrno = 61,
            LastErrorDay = 20_000,
        };
    }

    private sealed class Message(Action run) : ILoopMessage
    {
        public void Run() => run();
    }
}
