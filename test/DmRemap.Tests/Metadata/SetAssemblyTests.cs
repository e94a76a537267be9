using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>Which superblocks are one set, and what each member is: decided from the copies alone.</summary>
public sealed class SetAssemblyTests
{
    private const long Bytes = Limits.SpareBytesMin;

    private static UnitGeometry Geometry { get; } = new(new BlockSize(512), 4096, new BlockCount(1 << 20), 0);

    private static SpareLayout Layout { get; } =
        SpareLayout.Compute(new ByteCount(Bytes), 4096, Geometry, new ByteCount(Bytes))!;

    [Fact]
    public void Members_of_one_generation_are_all_active_in_any_order()
    {
        AssembledSet set = Decide([Spare(2, 7), Spare(0, 7), Spare(1, 7)])!;
        Assert.Equal([1, 2, 0], set.SpareOfMember);
        Assert.All(set.Roles, role => Assert.Equal(MemberRole.Active, role));
        Assert.Equal(7u, set.GenerationMax);
        Assert.Equal(0, set.CopiesStale);
        Assert.Equal(0, set.CopiesInvalid);
    }

    [Fact]
    public void The_highest_generation_decides_and_what_lags_is_counted()
    {
        SpareReading lagging = Spare(1, 7);
        SpareReading newest = Spare(0, 8);
        newest.Copies[2] = new CopyReading(SuperblockVerdict.Damaged, null);
        newest.Copies[4] = Spare(0, 7).Copies[4];
        AssembledSet set = Decide([lagging, newest, Spare(2, 8)])!;
        Assert.Equal(8u, set.Newest.State.Generation);
        Assert.Equal(1, set.CopiesInvalid);
        Assert.Equal(6 + 2, set.CopiesStale);
        Assert.Equal(MemberRole.Active, set.Roles[1]);
    }

    [Fact]
    public void A_missing_active_member_is_refused_unless_that_is_allowed()
    {
        SpareReading[] two = [Spare(0, 7), Spare(2, 7)];
        AssertRefused(two, MetadataRefusalKind.MissingMember, -1);
        AssembledSet set = Decide(two, new SetExpectation { AllowsMissing = true })!;
        Assert.Equal([MemberRole.Active, MemberRole.Absent, MemberRole.Active], set.Roles);
        Assert.Equal(-1, set.SpareOfMember[1]);
        Assert.Null(set.Layouts[1]);
    }

    [Fact]
    public void An_inactive_member_may_be_away()
    {
        SpareReading[] two = [Spare(0, 8, inactive: 1), Spare(2, 8, inactive: 1)];
        AssembledSet set = Decide(two)!;
        Assert.Equal([MemberRole.Active, MemberRole.Absent, MemberRole.Active], set.Roles);
    }

    [Theory]
    [InlineData(5, 1)]
    [InlineData(7, 1)]
    [InlineData(4, 2)]
    [InlineData(3, 3)]
    public void An_inactive_member_whose_history_is_a_part_of_the_others_joins(ulong generation, ulong epoch)
    {
        PastEpoch[] past = [new(1, 7), new(2, 4), new(3, 3)];
        SpareReading[] spares =
        [
            Spare(0, 9, epoch: 9, inactive: 1, past: past),
            Spare(1, generation, epoch: epoch),
            Spare(2, 9, epoch: 9, inactive: 1, past: past),
        ];
        AssembledSet set = Decide(spares)!;
        Assert.Equal([MemberRole.Active, MemberRole.Joining, MemberRole.Active], set.Roles);
        Assert.Equal(9u, set.Newest.State.Generation);

        // What it says is old, and no damage to be counted.
        Assert.Equal(0, set.CopiesStale);
    }

    [Theory]
    [InlineData(1, 4)]
    [InlineData(9, 4)]
    [InlineData(10, 4)]
    public void A_member_that_went_elsewhere_has_diverged(ulong generation, ulong epoch)
    {
        PastEpoch[] past = [new(1, 7), new(2, 4), new(3, 3)];
        foreach (int inactive in (int[])[-1, 1])
        {
            SpareReading[] spares =
            [
                Spare(0, 9, epoch: 9, inactive: inactive, past: past),
                Spare(1, generation, epoch: epoch),
                Spare(2, 9, epoch: 9, inactive: inactive, past: past),
            ];
            Assert.Null(SetAssembly.Decide(
                spares, new SetExpectation { AllowsMissing = true }, out MetadataRefusal? refusal));
            Assert.Equal(MetadataRefusalKind.Diverged, refusal!.Kind);
        }
    }

    [Theory]
    [InlineData(8, -1, true)]
    [InlineData(8, 0, true)]
    [InlineData(8, 2, true)]
    [InlineData(20, -1, true)]
    [InlineData(20, 0, true)]
    [InlineData(8, -1, true, 1, 7)]
    [InlineData(8, -1, false, 1, 8)]
    [InlineData(20, -1, false, 1, 8)]
    [InlineData(9, -1, true, 5, 7, 7)]
    [InlineData(20, -1, true, 5, 7, 7)]
    [InlineData(9, -1, false, 5, 8, 7)]
    [InlineData(9, -1, false, 5, 7, 8)]
    [InlineData(9, -1, true, 5, 6, 6)]
    [InlineData(9, -1, false, 5, 7, 6)]
    public void A_member_that_is_ahead_joins_where_that_counts_one_that_went_on_and_never_had_more(
        ulong generation, int inactive, bool joins, ulong epoch = 1, ulong settled = 0, ulong begunAt = 0)
    {
        PastEpoch[] past = [new(1, 7)];
        PastEpoch[] own = begunAt == 0 ? [] : [new(1, begunAt)];
        SpareReading returned = Spare(1, generation, epoch, inactive: inactive, past: own);
        Settle(returned, settled);
        foreach (ulong wentOn in (ulong[])[8, 9])
        {
            SpareReading[] one =
            [
                Spare(0, wentOn, epoch: 9, inactive: 1, past: past),
                returned,
                Spare(2, wentOn, epoch: 9, inactive: 1, past: past),
            ];
            foreach (SpareReading[] spares in (SpareReading[][])[one, [one[1], one[0], one[2]]])
            {
                AssembledSet? set = SetAssembly.Decide(
                    spares, new SetExpectation(), out MetadataRefusal? refusal);
                Assert.Equal(joins, set is not null);
                Assert.Equal(joins ? MemberRole.Joining : null, set?.Roles[1]);
                Assert.Equal(joins ? null : MetadataRefusalKind.Diverged, refusal?.Kind);
            }
        }
    }

    [Fact]
    public void Of_those_who_went_on_the_highest_decides_though_one_is_ahead_in_vain()
    {
        PastEpoch[] past = [new(1, 7)];
        SpareReading[] spares =
        [
            Spare(0, 12, epoch: 9, inactive: 1, past: past),
            Spare(1, 20, epoch: 1),
            Spare(2, 14, epoch: 9, inactive: 1, past: past),
        ];
        foreach (int[] order in (int[][])[[0, 1, 2], [2, 1, 0], [1, 0, 2]])
        {
            AssembledSet set = SetAssembly.Decide(
                [.. order.Select(i => spares[i])], new SetExpectation(), out MetadataRefusal? refusal)!;
            Assert.Null(refusal);
            Assert.Equal(14u, set.Newest.State.Generation);
            Assert.Equal(14u, set.EpochGeneration);
            Assert.Equal(20u, set.GenerationMax);
        }
    }

    [Theory]
    [InlineData(8, true)]
    [InlineData(7, false)]
    public void Who_went_on_and_was_left_behind_since_still_tells_that_one_is_ahead_in_vain(
        ulong hadThen, bool isOpened)
    {
        // Member 2 went on without member 1, member 0 joined it, and went on alone: that decides.
        PastEpoch[] past = [new(1, 7)];
        SpareReading alone = Spare(0, 19, epoch: 9, inactive: 1, past: past);
        Change(alone, one => WithMember(one, 2, MemberState.Inactive, hadThen));
        SpareReading ahead = Spare(1, 8, epoch: 1, inactive: 0);
        SpareReading first = Spare(2, 9, epoch: 9, inactive: 1, past: past);
        foreach (SpareReading[] spares in (SpareReading[][])[[alone, ahead], [ahead, alone]])
        {
            AssembledSet? set = SetAssembly.Decide(
                spares, new SetExpectation(), out MetadataRefusal? refusal);
            Assert.Equal(isOpened ? null : MetadataRefusalKind.Diverged, refusal?.Kind);
            Assert.Equal(isOpened ? 19u : null, set?.Newest.State.Generation);
        }
        // It is here, and tells it itself.
        foreach (SpareReading[] spares in (SpareReading[][])[[alone, ahead, first], [first, ahead, alone]])
        {
            AssembledSet set = SetAssembly.Decide(
                spares, new SetExpectation(), out MetadataRefusal? refusal)!;
            Assert.Null(refusal);
            Assert.Equal(19u, set.Newest.State.Generation);
        }
    }

    /// <summary>
    /// It says itself that it is active: that is what is to be judged, and no witness of it.
    /// </summary>
    [Fact]
    public void An_old_image_that_was_served_alone_has_diverged_though_it_calls_itself_active()
    {
        SpareReading wentOn = Spare(0, 12, epoch: 9, inactive: 1, past: [new(2, 9), new(1, 7)]);
        Change(wentOn, one => WithMember(one, 1, MemberState.Inactive, settled: 8));
        SpareReading alone = Spare(1, 8, epoch: 5, inactive: 0, past: [new(1, 7)]);
        Settle(alone, 7);
        SpareReading[] spares = [wentOn, alone];
        foreach (SpareReading spare in spares)
        {
            DropMember(spare, 2);
        }
        AssertRefused(spares, MetadataRefusalKind.Diverged, 1);
    }

    /// <summary>
    /// Member 0 had begun without member 1, with a generation that only it had, and member 2 had no word of
    /// that; then members 1 and 2 went on, and acknowledged. That member 0 counts 2 as active proves nothing.
    /// </summary>
    [Theory]
    [InlineData(12)]
    [InlineData(11)]
    public void Who_began_alone_does_not_decide_over_those_who_went_on(ulong generation)
    {
        SpareReading alone = Spare(0, 12, epoch: 9, inactive: 1, past: [new(1, 11)]);
        Settle(alone, 10);
        SpareReading wentOn = Spare(1, generation, epoch: 5, inactive: 0, past: [new(1, 10)]);
        Settle(wentOn, generation - 1);
        SpareReading witness = Spare(2, generation, epoch: 5, inactive: 0, past: [new(1, 10)]);
        Settle(witness, generation - 1);
        SpareReading[][] all =
        [
            [alone, wentOn], [wentOn, alone], [alone, witness], [alone, wentOn, witness],
            [witness, alone, wentOn],
        ];
        foreach (SpareReading[] spares in all)
        {
            Assert.Null(SetAssembly.Decide(
                spares, new SetExpectation { AllowsMissing = true }, out MetadataRefusal? refusal));
            Assert.Equal(MetadataRefusalKind.Diverged, refusal!.Kind);
        }
    }

    /// <summary>Its copies are here and say that it took part in nothing else.</summary>
    [Fact]
    public void A_member_that_is_here_and_only_behind_tells_that_another_is_ahead_in_vain()
    {
        SpareReading decides = Spare(0, 12, epoch: 9, inactive: 1, past: [new(1, 10)]);
        SpareReading ahead = Spare(1, 11, epoch: 5, inactive: 0, past: [new(1, 10)]);
        SpareReading behind = Spare(2, 10, epoch: 1);
        AssembledSet set = SetAssembly.Decide(
            [decides, ahead, behind], new SetExpectation(), out MetadataRefusal? refusal)!;
        Assert.Null(refusal);
        Assert.Equal(MemberRole.Joining, set.Roles[1]);
        Assert.Null(SetAssembly.Decide(
            [decides, ahead], new SetExpectation { AllowsMissing = true }, out refusal));
        Assert.Equal(MetadataRefusalKind.Diverged, refusal!.Kind);
    }

    [Fact]
    public void A_member_ahead_in_vain_whose_joining_was_cut_off_at_its_last_step_joins_again()
    {
        PastEpoch[] past = [new(9, 11), new(1, 7)];
        SpareReading last = Spare(0, 13, epoch: 10, past: past);
        Change(last, one => WithMember(one, 2, MemberState.Active, settled: 7));
        SpareReading before = Spare(1, 12, epoch: 10, inactive: 2, past: past);
        SpareReading ahead = Spare(2, 8, epoch: 1);
        SpareReading[] spares = [last, before, ahead];
        AssembledSet set = SetAssembly.Decide(
            spares, new SetExpectation(), out MetadataRefusal? refusal)!;
        Assert.Null(refusal);
        Assert.Equal(13u, set.Newest.State.Generation);
    }

    private static Superblock WithMember(Superblock one, int member, MemberState state, ulong settled)
    {
        MemberDescription[] members = [.. one.Set.Members];
        members[member] = members[member] with { State = state, SettledGeneration = settled };
        return one with { Set = one.Set with { Members = members } };
    }

    private static void Settle(SpareReading spare, ulong generation)
    {
        for (int copy = 0; copy < SpareLayout.SuperblockCopies; copy++)
        {
            Superblock one = spare.Copies[copy].Superblock!;
            spare.Copies[copy] = new CopyReading(
                SuperblockVerdict.Valid,
                one with { State = one.State with { SettledGeneration = generation } });
        }
    }

    [Fact]
    public void A_member_one_generation_ahead_that_had_given_up_who_went_on_has_diverged()
    {
        // What was acknowledged in that generation is on none of the others.
        SpareReading[] spares =
        [
            Spare(1, 8, epoch: 1, inactive: 0),
            Spare(0, 9, epoch: 9, inactive: 1, past: [new(1, 7)]),
        ];
        foreach (SpareReading spare in spares)
        {
            DropMember(spare, 2);
        }
        AssertRefused(spares, MetadataRefusalKind.Diverged, 0);
    }

    [Fact]
    public void Two_contents_of_one_generation_are_a_contradiction()
    {
        SpareReading other = Spare(1, 7);
        SpareReading[] spares = [Spare(0, 7), other, Spare(2, 7)];
        for (int copy = 0; copy < SpareLayout.SuperblockCopies; copy++)
        {
            Superblock one = other.Copies[copy].Superblock!;
            other.Copies[copy] = new CopyReading(
                SuperblockVerdict.Valid, one with { State = one.State with { JournalHead = new(3, 3) } });
        }
        AssertRefused(spares, MetadataRefusalKind.CopiesConflict, 1);

        // Within one spare their bytes differ.
        spares = [Spare(0, 7), Spare(1, 7), Spare(2, 7)];
        Superblock changed = spares[2].Copies[3].Superblock! with { ContentChecksum = 99 };
        spares[2].Copies[3] = new CopyReading(SuperblockVerdict.Valid, changed);
        AssertRefused(spares, MetadataRefusalKind.CopiesConflict, 2);
    }

    [Fact]
    public void Clones_strangers_and_retired_members_are_refused()
    {
        AssertRefused(
            [Spare(0, 7), Spare(1, 7), Spare(1, 7), Spare(2, 7)], MetadataRefusalKind.Clone, 2);
        AssertRefused(
            [Spare(0, 7), Spare(1, 7), Spare(2, 7), Spare(0, 6)], MetadataRefusalKind.Clone, 3);
        SpareReading[] strangers = [Spare(0, 7), Spare(1, 7), Spare(2, 7, setUuid: Guid.Empty)];
        AssertRefused(strangers, MetadataRefusalKind.WrongSet, 2);
        SpareReading[] retired =
        [
            Spare(0, 8, inactive: 1, state: MemberState.Retired),
            Spare(1, 7),
            Spare(2, 8, inactive: 1, state: MemberState.Retired),
        ];
        AssertRefused(retired, MetadataRefusalKind.NotActive, 1);
        Assert.NotNull(Decide([retired[0], retired[2]]));
    }

    [Fact]
    public void A_member_with_another_grid_or_no_room_for_the_checkpoint_is_a_contradiction()
    {
        // Its units would be looked for in the wrong places, over its own metadata.
        SpareReading other = Spare(1, 7);
        UnitGeometry wider = new(new BlockSize(512), 8192, new BlockCount(1 << 20), 0);
        Change(other, one => one with { Set = one.Set with { Geometry = wider } });
        AssertRefused([Spare(0, 7), other, Spare(2, 7)], MetadataRefusalKind.CopiesConflict, 1);

        SpareReading[] long1 = [Spare(0, 7), Spare(1, 7), Spare(2, 7)];
        CheckpointPointer checkpoint = new() { LengthBytes = Layout.AreaA1.Bytes + 64 };
        foreach (SpareReading spare in long1)
        {
            Change(spare, one => one with { State = one.State with { Checkpoint = checkpoint } });
        }
        AssertRefused(long1, MetadataRefusalKind.CopiesConflict, 0);
    }

    [Fact]
    public void A_table_that_only_inactive_members_have_is_not_taken()
    {
        // Its own copies call it active; those that say otherwise are away, and with them the table.
        AssertRefused([Spare(1, 7)], MetadataRefusalKind.MissingMember, -1);
        SpareReading[] spares = [Spare(1, 7)];
        for (int copy = 0; copy < SpareLayout.SuperblockCopies; copy++)
        {
            spares[0].Copies[copy] = new CopyReading(
                SuperblockVerdict.Valid, Spare(1, 7, inactive: 1).Copies[copy].Superblock);
        }
        Assert.Null(SetAssembly.Decide(
            spares, new SetExpectation { AllowsMissing = true }, out MetadataRefusal? refusal));
        Assert.Equal(MetadataRefusalKind.MissingMember, refusal!.Kind);
    }

    private static AssembledSet? Decide(SpareReading[] spares, SetExpectation? expected = null)
    {
        AssembledSet? set = SetAssembly.Decide(
            spares, expected ?? new SetExpectation(), out MetadataRefusal? refusal);
        Assert.True(set is not null, $"{refusal}");
        return set;
    }

    private static void AssertRefused(SpareReading[] spares, MetadataRefusalKind kind, int spare)
    {
        Assert.Null(SetAssembly.Decide(spares, new SetExpectation(), out MetadataRefusal? refusal));
        Assert.Equal(kind, refusal!.Kind);
        Assert.Equal(spare, refusal.Spare);
        Assert.NotEmpty(refusal.Detail);
    }

    /// <summary>A spare of a set of three whose six copies all say this.</summary>
    private static void DropMember(SpareReading spare, int member)
    {
        for (int copy = 0; copy < spare.Copies.Length; copy++)
        {
            Superblock one = spare.Copies[copy].Superblock!;
            MemberDescription[] members = [.. one.Set.Members];
            members[member] = members[member] with { State = MemberState.Inactive };
            spare.Copies[copy] = new CopyReading(
                SuperblockVerdict.Valid, one with { Set = one.Set with { Members = members } });
        }
    }

    private static void Change(SpareReading spare, Func<Superblock, Superblock> change)
    {
        for (int copy = 0; copy < spare.Copies.Length; copy++)
        {
            spare.Copies[copy] = new CopyReading(
                SuperblockVerdict.Valid, change(spare.Copies[copy].Superblock!));
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void A_spare_that_is_settled_nowhere_is_left_aside_and_of_any_other_that_is_a_refusal(int position)
    {
        SpareReading blank = Spare(1, 7) with { Copies = new CopyReading[SpareLayout.SuperblockCopies] };
        foreach (SpareReading one in (SpareReading[])[blank, Spare(1, 7)])
        {
            List<SpareReading> spares =
                [Spare(0, 8, 1, 1, MemberState.Retired), Spare(2, 8, 1, 1, MemberState.Retired)];
            spares.Insert(position, one);
            Assert.Null(SetAssembly.Decide([.. spares], new SetExpectation(), out _));
            AssembledSet set = Decide([.. spares], new SetExpectation { Unsettled = position })!;
            int[] positions = [set.SpareOfMember[0], set.SpareOfMember[2], position];
            Assert.Equal([0, 1, 2], positions.Order());
            Assert.Equal(MemberRole.Absent, set.Roles[1]);
        }
        // One that the others count is one.
        SpareReading[] all = [Spare(0, 8), Spare(1, 8), Spare(2, 8)];
        Assert.Equal([0, 1, 2], Decide(all, new() { Unsettled = position })!.SpareOfMember);
    }

    private static SpareReading Spare(
        int member,
        ulong generation,
        ulong epoch = 1,
        int inactive = -1,
        MemberState state = MemberState.Inactive,
        PastEpoch[]? past = null,
        Guid? setUuid = null)
    {
        SetDescription set = TableSample.Set with
        {
            SetUuid = setUuid ?? TableSample.Set.SetUuid,
            Geometry = Geometry,
            Journal = JournalRing.Fitting([Layout]),
            Past = past ?? [],
            Members = [.. Enumerable.Range(0, 3).Select(i => new MemberDescription
            {
                Uuid = MetadataBench.MemberUuid(i),
                State = i == inactive ? state : MemberState.Active,
                Bytes = Bytes,
                DataUnits = Layout.DataUnits,
            })],
        };
        return new SpareReading
        {
            Device = new DeviceGeometry
            {
                LogicalBlockSize = new BlockSize(512),
                PhysicalBlockBytes = 4096,
                Blocks = new BlockCount(Bytes / 512),
            },
            Copies = [.. Enumerable.Range(0, SpareLayout.SuperblockCopies).Select(copy => new CopyReading(
                SuperblockVerdict.Valid,
                new Superblock
                {
                    Set = set,
                    MemberIndex = member,
                    Layout = Layout,
                    State = new SuperblockState
                    {
                        Epoch = epoch,
                        Generation = generation,
                        FirstJournalSequence = 1,
                    },
                    CopyIndex = copy,
                    ContentChecksum = (uint)generation,
                }))],
        };
    }
}
