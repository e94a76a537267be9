using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Metadata;

public interface IMetadataFormatOwner
{
    /// <summary>
    /// Called once, on the loop's thread, never from inside Begin. Refusal is null when the set is durable.
    /// </summary>
    void OnFormatted(MetadataFormatter formatter);
}

/// <summary>What `create` decides.</summary>
public sealed record FormatRequest
{
    public required Guid SetUuid { get; init; }

    /// <summary>One for each spare, in the order of the spares, all different.</summary>
    public required Guid[] MemberUuids { get; init; }

    public required UnitGeometry Geometry { get; init; }

    public required int PrimaryPhysicalBlockBytes { get; init; }

    public required PrimaryIdentity Primary { get; init; }

    /// <summary>The first epoch's id: random, not zero.</summary>
    public required ulong Epoch { get; init; }

    /// <summary>Keep a second copy of each unit, on another spare.</summary>
    public bool KeepsCopies { get; init; }
}

/// <summary>
/// Makes a fresh set: an empty checkpoint, then superblocks, on all spares. Whether the spares may be
/// overwritten is the caller's question. Interrupted, it leaves spares that no start accepts as a set, or a
/// complete one.
/// </summary>
public sealed class MetadataFormatter : IMetadataStartOwner, ITimerOwner
{
    private readonly IEventLoop _loop;
    private readonly IBlockDevice[] _spares;
    private readonly FormatRequest _request;
    private readonly IMetadataFormatOwner _owner;
    private MetadataStore? _store;

    public MetadataFormatter(
        IEventLoop loop, IBlockDevice[] spares, FormatRequest request, IMetadataFormatOwner owner)
    {
        Invariant.Check(spares.Length > 0);
        Invariant.Check(spares.Length == request.MemberUuids.Length);
        Invariant.Check(request.Epoch != 0);
        _loop = loop;
        _spares = spares;
        _request = request;
        _owner = owner;
    }

    public MetadataRefusal? Refusal { get; private set; }

    /// <summary>By position of the spare; empty after a refusal.</summary>
    public MetadataMember[] Members { get; private set; } = [];

    public SetDescription? Set { get; private set; }

    public void Begin()
    {
        Refusal = LayOut();
        if (Refusal is not null)
        {
            _loop.Schedule(new LoopTimer(this), _loop.Now);
            return;
        }

        // No checkpoint is valid yet: with the pointer at B, A is idle and is written first.
        SuperblockState state = new()
        {
            Epoch = _request.Epoch,
            FirstJournalSequence = 1,
            Checkpoint = new CheckpointPointer { Area = CheckpointArea.B },
        };
        _store = new MetadataStore(new MetadataStoreParts
        {
            Loop = _loop,
            Set = Set!,
            Members = Members,
            Table = new RemapTable(_request.Geometry),
            Retired = new RetiredUnits(),
            State = state,
            NextSequence = 1,
            Deadline = MetadataDeadline.Default,
        });
        _store.Start(this, StartCheckpoint.Fresh);
    }

    void ITimerOwner.OnTimer(LoopTimer timer) => _owner.OnFormatted(this);

    void IMetadataStartOwner.OnMetadataStarted(bool isDurable)
    {
        // All of it, on all spares: a set that begins with a spare that fails is not worth having.
        bool areAllActive = Array.TrueForAll(Members, static member => member.IsActive);
        if (!isDurable || !areAllActive)
        {
            int[] inOrder = new int[_spares.Length];
            for (int i = 0; i < inOrder.Length; i++)
            {
                inOrder[i] = i;
            }
            Refusal = FailedWrite.ToRefusal(_store!.LastFailure, inOrder);
        }
        _owner.OnFormatted(this);
    }

    private MetadataRefusal? LayOut()
    {
        if (_spares.Length > Limits.SparesMax)
        {
            return new MetadataRefusal(
                MetadataRefusalKind.TooManySpares,
                -1,
                $"{_spares.Length} spares; {Limits.SparesMax} is the most");
        }
        long blocks = _request.Geometry.Blocks.Value;
        long blocksMax = Limits.UnitsMax * _request.Geometry.BlocksPerUnit;
        if (blocks > blocksMax)
        {
            return new MetadataRefusal(
                MetadataRefusalKind.WrongPrimary,
                -1,
                $"the main device has {blocks} blocks; {blocksMax} is the most");
        }
        long allBytes = 0;
        foreach (IBlockDevice spare in _spares)
        {
            allBytes += spare.Geometry.Bytes.Value;
        }
        MetadataMember[] members = new MetadataMember[_spares.Length];
        SpareLayout[] layouts = new SpareLayout[_spares.Length];
        MemberDescription[] descriptions = new MemberDescription[_spares.Length];
        for (int i = 0; i < members.Length; i++)
        {
            DeviceGeometry device = _spares[i].Geometry;
            SpareLayout? layout = SpareLayout.Compute(
                device.Bytes,
                device.PhysicalBlockBytes,
                _request.Geometry,
                new ByteCount(allBytes - device.Bytes.Value));
            bool isFit =
                device.LogicalBlockSize == _request.Geometry.BlockSize && device.AlignmentOffsetBytes == 0;
            if (layout is null || !isFit)
            {
                return RefusalOf(device, i);
            }
            members[i] = new MetadataMember(_spares[i], layout, MemberRole.Active);
            layouts[i] = layout;
            descriptions[i] = new MemberDescription
            {
                Uuid = _request.MemberUuids[i],
                State = MemberState.Active,
                Bytes = layout.SpareBytes,
                DataUnits = layout.DataUnits,
            };
        }
        Members = members;
        Set = new SetDescription
        {
            SetUuid = _request.SetUuid,
            Features = _request.KeepsCopies
                ? FeatureFlags.Created with { Incompatible = FeatureFlags.Copies }
                : FeatureFlags.Created,
            Geometry = _request.Geometry,
            PrimaryPhysicalBlockBytes = _request.PrimaryPhysicalBlockBytes,
            Primary = _request.Primary,
            Members = descriptions,
            Journal = JournalRing.Fitting(layouts),
        };
        CheckReadable();
        return null;
    }

    /// <summary>
    /// What is about to be written is what a start accepts: a request that contradicts itself ends here.
    /// </summary>
    private void CheckReadable()
    {
        CheckpointWriter empty = new();
        CheckpointPointer start = new() { Generation = 1, Epoch = _request.Epoch };
        RemapTable table = new(_request.Geometry);
        empty.Begin(Set!, table, new RetiredUnits(), start, firstSequence: 1, SpareLayout.SuperblockBytes);
        _ = empty.Fill(new byte[SpareLayout.SuperblockBytes]);
        SuperblockState state = new()
        {
            Epoch = _request.Epoch,
            Generation = 1,
            FirstJournalSequence = 1,
            Checkpoint = empty.Pointer,
        };
        byte[] copy = new byte[SpareLayout.SuperblockBytes];
        for (int member = 0; member < Members.Length; member++)
        {
            SuperblockEncoder.Encode(Set!, Members[member].Layout, state, member, 0, copy);
            UnverifiedSuperblock written = new(copy);
            Superblock? superblock = written.Verify(0, FeatureFlags.Supported, out _);
            Invariant.Check(superblock is not null);
        }
    }

    private static MetadataRefusal RefusalOf(DeviceGeometry device, int position) =>
        device.Bytes.Value < Limits.SpareBytesMin
            ? new MetadataRefusal(
                MetadataRefusalKind.TooSmall,
                position,
                $"{device.Bytes.Value} bytes; {Limits.SpareBytesMin} is the least")
            : new MetadataRefusal(
                MetadataRefusalKind.WrongBlockSize,
                position,
                $"blocks of {device.LogicalBlockSize.Bytes}/{device.PhysicalBlockBytes} bytes"
                    + $" at offset {device.AlignmentOffsetBytes} do not fit the main device");
}
