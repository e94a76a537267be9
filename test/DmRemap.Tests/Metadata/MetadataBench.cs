using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Metadata;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>
/// A loop, some sparse disks, and the three things one does with them: format, recover, commit.
/// </summary>
internal sealed class MetadataBench
    : IMetadataFormatOwner, IMetadataRecoveryOwner, ICommitOwner, IMetadataStopOwner
{
    public const long SpareBytes = Limits.SpareBytesMin;

    private readonly List<CommitRequest> _finished = [];

    public MetadataBench(int spares, int seed, long spareBytes = SpareBytes)
        : this([.. Enumerable.Range(0, spares).Select(_ => new SparseImage())], seed, spareBytes)
    {
    }

    public MetadataBench(
        SparseImage[] images, int seed, long spareBytes = SpareBytes, int physicalBytes = 4096)
    {
        Disks = new SparseDisk[images.Length];
        for (int i = 0; i < Disks.Length; i++)
        {
            Disks[i] = new SparseDisk(Loop, spareBytes, images[i], seed + (i * 7919), physicalBytes);
        }
    }

    public static UnitGeometry Geometry { get; } =
        new(new BlockSize(512), 4096, new BlockCount(1 << 20), alignmentOffsetBytes: 0);

    public SimulatedLoop Loop { get; } = new();

    public Duration Deadline { get; init; } = MetadataDeadline.Default;

    public SparseDisk[] Disks { get; }

    public MetadataRefusal? Refusal { get; private set; }

    public RecoveredSet? Recovered { get; private set; }

    public MetadataStore Store => Recovered!.Store;

    /// <summary>The live table, as a device has it.</summary>
    public RemapEntry[] Entries => EntriesOf(Recovered!.Table);

    public bool IsAnswered { get; private set; }

    public bool? StoppedClean { get; private set; }

    public CommitRequest[] Finished => [.. _finished];

    /// <summary>The same for every run: golden images depend on it.</summary>
    public static FormatRequest FormatRequestFor(int spares, ulong epoch = 0xE0) => new()
    {
        SetUuid = new Guid("5e700000-0000-4000-8000-000000000001"),
        MemberUuids = [.. Enumerable.Range(0, spares).Select(MemberUuid)],
        Geometry = Geometry,
        PrimaryPhysicalBlockBytes = 4096,
        Primary =
            new PrimaryIdentity { Bytes = Geometry.Blocks.Value * 512, Text = "ATA-Seagate-Ärger-12345" },
        Epoch = epoch,
    };

    public static MetadataBench WithPhysicalBlock(int bytes) =>
        new([new SparseImage()], seed: 1, SpareBytes, bytes);

    public static Guid MemberUuid(int index) => new($"3e3be400-0000-4000-8000-00000000000{index}");

    public static MetadataBench Formatted(int spares, int seed)
    {
        MetadataBench bench = new(spares, seed);
        bench.Format();
        Assert.Null(bench.Refusal);
        return bench;
    }

    /// <summary>A fresh process over what these disks hold after a crash now.</summary>
    public MetadataBench Crashed(Random random) =>
        new([.. Disks.Select(disk => disk.Crash(random))], random.Next());

    /// <summary>A fresh process over a copy of what is durable.</summary>
    public MetadataBench Copy(int seed = 1) => new([.. Disks.Select(disk => disk.Image.Clone())], seed);

    public void Format(FormatRequest? request = null)
    {
        IsAnswered = false;
        new MetadataFormatter(Loop, Disks, request ?? FormatRequestFor(Disks.Length), this).Begin();
        Loop.RunUntil(() => IsAnswered);
    }

    public void BeginRecovery(ulong epoch, SetExpectation? expected = null)
    {
        IsAnswered = false;
        new MetadataRecovery(Loop, Disks, expected ?? new SetExpectation(), epoch, this, Deadline).Begin();
    }

    public static RemapEntry[] EntriesOf(RemapTable table)
    {
        List<RemapEntry> entries = [];
        UnitNumber from = new(0);
        while (from.Value < table.Geometry.Units && table.TryGetNext(from, out RemapEntry entry))
        {
            entries.Add(entry);
            from = new UnitNumber(entry.Unit.Value + 1);
        }
        return [.. entries];
    }

    public void Recover(ulong epoch = 0xE1, SetExpectation? expected = null)
    {
        BeginRecovery(epoch, expected);
        Loop.RunUntil(() => IsAnswered);
    }

    public void MustRecover(ulong epoch = 0xE1)
    {
        Recover(epoch);
        Assert.True(Refusal is null, $"refused: {Refusal}");
        Loop.RunUntil(() => !Store.IsWriting);
    }

    /// <summary>The stored table, in a fresh process; this bench's disks are not touched.</summary>
    public RecoveredSet Reopened()
    {
        MetadataBench bench = Copy();
        bench.MustRecover(0xF00D);
        return bench.Recovered!;
    }

    public CommitRequest BeginCommit(params TableChange[] changes)
    {
        CommitRequest request = new(Math.Max(1, changes.Length));
        request.Prepare(this);
        foreach (TableChange change in changes)
        {
            request.Add(change);
        }
        Store.Commit(request);
        return request;
    }

    /// <summary>Many changes, in as many commits as they need.</summary>
    public void CommitAll(IEnumerable<TableChange> changes)
    {
        foreach (TableChange[] chunk in changes.Chunk(Limits.CommitChangesMax))
        {
            Assert.Equal(CommitOutcome.Done, Commit(chunk));
        }
    }

    public CommitOutcome Commit(params TableChange[] changes)
    {
        CommitRequest request = BeginCommit(changes);
        Loop.RunUntil(() => !request.IsPending);
        return request.Outcome;
    }

    public void BeginStop() => Store.BeginStop(this);

    public ChangeSource Changes(Random random) =>
        new(random, Geometry, Disks.Length, Recovered!.Members.Min(member => member!.Layout.DataUnits));

    void IMetadataFormatOwner.OnFormatted(MetadataFormatter formatter)
    {
        Assert.False(IsAnswered);
        IsAnswered = true;
        Refusal = formatter.Refusal;
    }

    void IMetadataRecoveryOwner.OnRecovered(MetadataRecovery recovery)
    {
        Assert.False(IsAnswered);
        IsAnswered = true;
        Refusal = recovery.Refusal;
        Recovered = recovery.Recovered;
        Assert.True(Refusal is null != Recovered is null);
    }

    /// <summary>As a device does: what is Done is in the table before this returns.</summary>
    void ICommitOwner.OnCommitted(CommitRequest request)
    {
        _finished.Add(request);
        foreach (TableChange change in request.Outcome == CommitOutcome.Done ? request.Changes : [])
        {
            if (change.Kind == TableChangeKind.Set)
            {
                Recovered!.Table.Set(change.Entry);
            }
            else if (change.Kind == TableChangeKind.Remove)
            {
                Recovered!.Table.Remove(change.Entry.Unit);
            }
        }
    }

    void IMetadataStopOwner.OnMetadataStopped(bool isClean) => StoppedClean = isClean;
}
