using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Tests.Metadata;

/// <summary>A set of two members, and changes of its table: for tests of the formats alone.</summary>
internal static class TableSample
{
    public const long DataUnits = 5000;

    public static UnitGeometry Geometry { get; } = new(new BlockSize(512), 4096, new BlockCount(1 << 20), 0);

    public static JournalRing Ring { get; } = new(4096, 64);

    public static SetDescription Set { get; } = new()
    {
        SetUuid = new System.Guid("00112233-4455-6677-8899-aabbccddeeff"),
        Features = FeatureFlags.Created,
        Geometry = Geometry,
        PrimaryPhysicalBlockBytes = 4096,
        Primary = new PrimaryIdentity { Bytes = 1 << 29 },
        Members = [Member(0), Member(1)],
        Journal = Ring,
    };

    /// <summary>One that keeps second copies.</summary>
    public static SetDescription Twofold { get; } =
        Set with { Features = new FeatureFlags(0, 0, FeatureFlags.Copies) };

    public static RemapEntry Remapped(long unit, int spare, long spareUnit) => new()
    {
        Unit = new UnitNumber(unit),
        State = UnitState.Remapped,
        Location = new SpareLocation(spare, new UnitNumber(spareUnit)),
        Blocks = new BlockStates(0xFF, 0),
        LastErrno = 61,
        LastErrorDay = 20000,
    };

    public static RemapEntry Lost(long unit) => new()
    {
        Unit = new UnitNumber(unit),
        State = UnitState.LostUnreadable,
        Blocks = BlockStates.AllOnPrimary.With(3, BlockState.Lost),
        LastErrno = 5,
    };

    public static TableChange Set1(RemapEntry entry) => new(TableChangeKind.Set, entry);

    public static TableChange Remove(long unit) => new(TableChangeKind.Remove, Lost(unit));

    public static TableChange Retire(int spare, long spareUnit) =>
        new(TableChangeKind.RetireSpareUnit, Remapped(0, spare, spareUnit));

    public static void Apply(IEnumerable<TableChange> changes, RemapTable table, RetiredUnits retired)
    {
        foreach (TableChange change in changes)
        {
            switch (change.Kind)
            {
                case TableChangeKind.Set:
                    table.Set(change.Entry);
                    break;
                case TableChangeKind.Remove:
                    table.Remove(change.Entry.Unit);
                    break;
                default:
                    retired.Add(change.Entry.Location);
                    break;
            }
        }
    }

    private static MemberDescription Member(int index) => new()
    {
        Uuid = MetadataBench.MemberUuid(index),
        State = MemberState.Active,
        Bytes = 1 << 25,
        DataUnits = DataUnits,
    };
}
