using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Metadata;
using Xunit;

namespace DmRemap.Tests.Metadata;

public sealed class MetadataRecoveryTests
{
    [Fact]
    public void With_any_one_valid_superblock_copy_a_set_opens_and_repairs_the_rest()
    {
        // D12: every subset of damaged copies but the whole.
        MetadataBench made = Made(1);
        for (int damaged = 0; damaged < (1 << SpareLayout.SuperblockCopies) - 1; damaged++)
        {
            MetadataBench bench = made.Copy();
            SpareSurgery.DamageCopies(bench.Disks[0], damaged);
            bench.MustRecover();
            Assert.Equal(3, bench.Entries.Length);
            Assert.Equal(int.PopCount(damaged), bench.Recovered!.CopiesRepaired);
            MetadataBench again = bench.Copy();
            again.MustRecover();
            Assert.Equal(0, again.Recovered!.CopiesRepaired);
        }
    }

    [Fact]
    public void A_stale_copy_never_wins_over_a_newer_one()
    {
        // Whole, of our set, and of the epoch before: what a write that a drive lost leaves behind.
        MetadataBench older = MetadataBench.Formatted(1, seed: 78);
        older.MustRecover();
        Assert.Equal(CommitOutcome.Done, older.Commit(Lost(1)));
        MetadataBench newer = older.Copy();
        newer.MustRecover(0xE2);
        Assert.Equal(CommitOutcome.Done, newer.Commit(Lost(2)));
        for (int stale = 0; stale < (1 << SpareLayout.SuperblockCopies) - 1; stale++)
        {
            MetadataBench mixed = newer.Copy();
            for (int copy = 0; copy < SpareLayout.SuperblockCopies; copy++)
            {
                if ((stale & (1 << copy)) != 0)
                {
                    SpareSurgery.CopySuperblock(older.Disks[0], mixed.Disks[0], copy);
                }
            }
            mixed.MustRecover();
            Assert.Equal(2, mixed.Entries.Length);
            Assert.Equal(0xE2u, SpareSurgery.NewestOf(mixed.Disks[0]).State.ParentEpoch);
        }
    }

    [Fact]
    public void With_one_valid_copy_a_power_cut_anywhere_in_recovery_loses_nothing()
    {
        MetadataBench made = Made(1);
        Random random = new(3);
        for (int left = 0; left < SpareLayout.SuperblockCopies; left++)
        {
            MetadataBench bench = made.Copy();
            SpareSurgery.DamageCopies(bench.Disks[0], 0x3F & ~(1 << left));
            bench.BeginRecovery(0xC1);
            while (!bench.IsAnswered)
            {
                MetadataBench crashed = bench.Crashed(random);
                crashed.MustRecover();
                Assert.Equal(3, crashed.Entries.Length);
                Assert.True(bench.Loop.Step());
            }
        }
    }

    [Fact]
    public void With_no_valid_copy_a_set_is_refused_and_nothing_is_written()
    {
        MetadataBench bench = Made(2).Copy();
        SpareSurgery.DamageCopies(bench.Disks[1], 0x3F);
        AssertRefused(bench, MetadataRefusalKind.Damaged, spare: 1);
    }

    [Fact]
    public void The_last_valid_copy_misread_once_is_read_again()
    {
        MetadataBench bench = Made(1).Copy();
        SpareSurgery.DamageCopies(bench.Disks[0], 0b111011);
        int misreads = 0;
        bench.Disks[0].Misread = request =>
        {
            bool isCopy = request.Extent.Start.Value == 2048;
            misreads += isCopy ? 1 : 0;
            request.Buffer.Span[100] ^= (byte)(isCopy && misreads == 1 ? 1 : 0);
        };
        bench.MustRecover();
        Assert.Equal(2, misreads);
        Assert.Equal(3, bench.Entries.Length);
    }

    [Fact]
    public void A_place_that_never_took_a_copy_is_not_called_overwritten_and_one_that_had_it_is()
    {
        const long Copy1 = 1024;
        const long Copy3 = 4096;
        MetadataBench made = new(1, seed: 41);
        made.Disks[0].Fault = (_, request) =>
            request.Operation == IoOperation.Write && request.Extent.Start.Value == Copy1 ? 5 : 0;
        made.Format();
        MetadataBench bench = made.Copy();
        bench.MustRecover();
        Assert.Equal(1, bench.Recovered!.CopiesRepaired);
        Assert.Equal([0], bench.Recovered.CopiesOverwritten);

        bench = made.Copy();
        for (long block = Copy3; block < Copy3 + 8; block++)
        {
            bench.Disks[0].Image.Write(block, new byte[SparseDisk.BlockBytes]);
        }
        bench.MustRecover();
        Assert.Equal([1], bench.Recovered!.CopiesOverwritten);
    }

    /// <summary>Counting on from it would end in numbers that no start reads back.</summary>
    [Fact]
    public void A_generation_that_nobody_counts_to_is_refused_and_nothing_is_written()
    {
        MetadataBench bench = Made(1).Copy();
        const int HighestByteOfGeneration = 111;
        for (int copy = 0; copy < SpareLayout.SuperblockCopies; copy++)
        {
            for (int i = 0; i < 0x41; i++)
            {
                SpareSurgery.ChangeField(bench.Disks[0], copy, HighestByteOfGeneration);
            }
        }
        AssertRefused(bench, MetadataRefusalKind.CopiesConflict, spare: -1);
    }

    [Fact]
    public void Unreadable_copies_are_told_from_damaged_ones_and_tried_again()
    {
        MetadataBench bench = Made(1).Copy();
        bench.Disks[0].Fault = (_, request) => IsSuperblockRead(request) ? 5 : 0;
        AssertRefused(bench, MetadataRefusalKind.Unreadable, spare: 0);
        Assert.Equal(3 * SpareLayout.SuperblockCopies, bench.Disks[0].Operations);

        // A transient error must not choose an older table.
        bench = Made(1).Copy();
        bench.Disks[0].Fault = (operation, _) => operation < SpareLayout.SuperblockCopies ? 5 : 0;
        bench.MustRecover();
        Assert.Equal(3, bench.Entries.Length);
        Assert.Equal(0, bench.Recovered!.CopiesRepaired);
    }

    [Fact]
    public void A_checkpoint_is_read_from_any_of_its_places_and_refused_when_none_has_it()
    {
        MetadataBench made = Made(2);
        SpareLayout[] layouts = [.. made.Recovered!.Members.Select(member => member!.Layout)];
        CheckpointArea current = SpareSurgery.NewestOf(made.Disks[0]).State.Checkpoint.Area;
        for (int damaged = 0; damaged < 16; damaged++)
        {
            MetadataBench bench = made.Copy();
            for (int place = 0; place < 4; place++)
            {
                if ((damaged & (1 << place)) != 0)
                {
                    ByteRegion area = layouts[place / 2].Area(current, place % 2);
                    bench.Disks[place / 2].Image.Corrupt(area.Start + 130, 1, value => (byte)(value ^ 0xFF));
                }
            }
            bench.Recover();
            if (damaged == 15)
            {
                Assert.Equal(MetadataRefusalKind.CheckpointDamaged, bench.Refusal!.Kind);
            }
            else
            {
                Assert.Equal(3, bench.Entries.Length);
                RecoveredSetIsWhole(bench);
            }
        }
    }

    [Fact]
    public void An_unreadable_checkpoint_is_never_replaced_by_the_older_one()
    {
        MetadataBench bench = Made(1).Copy();
        SparseDisk disk = bench.Disks[0];
        disk.Fault =
            (_, request) => request.Operation == IoOperation.Read && !IsSuperblockRead(request) ? 5 : 0;
        AssertRefused(bench, MetadataRefusalKind.CheckpointUnreadable, spare: -1);
    }

    [Fact]
    public void Spares_are_known_by_uuid_and_may_come_in_any_order()
    {
        MetadataBench made = Made(3);
        MetadataBench bench = new([.. made.Disks.Reverse().Select(disk => disk.Image.Clone())], seed: 4);
        bench.MustRecover();
        Assert.Equal([2, 1, 0], bench.Recovered!.SpareOfMember);
        Assert.Equal(3, bench.Entries.Length);
        for (int member = 0; member < 3; member++)
        {
            Assert.Same(bench.Disks[2 - member], bench.Recovered.Members[member]!.Device);
        }
    }

    [Fact]
    public void A_missing_spare_is_refused_by_its_uuid()
    {
        MetadataBench made = Made(2);
        MetadataBench bench = new([made.Disks[0].Image.Clone()], seed: 4);
        AssertRefused(bench, MetadataRefusalKind.MissingMember, spare: -1);
        Assert.Contains(
            MetadataBench.MemberUuid(1).ToString(), bench.Refusal!.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public void A_clone_is_refused()
    {
        MetadataBench made = Made(2);
        MetadataBench bench = new(
            [made.Disks[0].Image.Clone(), made.Disks[0].Image.Clone(), made.Disks[1].Image.Clone()], seed: 4);
        AssertRefused(bench, MetadataRefusalKind.Clone, spare: 1);
    }

    [Fact]
    public void A_spare_of_another_set_is_refused()
    {
        MetadataBench other = new(spares: 1, seed: 5);
        other.Format(MetadataBench.FormatRequestFor(1) with
        {
            SetUuid =
            new Guid("deadbeef-0000-4000-8000-000000000001")
        });
        MetadataBench made = Made(1);
        MetadataBench bench = new([made.Disks[0].Image.Clone(), other.Disks[0].Image.Clone()], seed: 4);
        AssertRefused(bench, MetadataRefusalKind.WrongSet, spare: 1);

        MetadataBench expecting = made.Copy();
        expecting.Recover(
            0xE9, new SetExpectation { SetUuid = new Guid("deadbeef-0000-4000-8000-000000000001") });
        Assert.Equal(MetadataRefusalKind.WrongSet, expecting.Refusal!.Kind);
    }

    [Fact]
    public void A_spare_that_shrank_or_grew_is_refused()
    {
        MetadataBench made = Made(1, spareBytes: 32 << 20);
        long[] others = [(32 << 20) - 512, (32 << 20) - 65536, (32 << 20) + 512, 48 << 20, 16 << 20];
        foreach (long bytes in others)
        {
            MetadataBench bench = new([made.Disks[0].Image.Clone()], seed: 4, bytes);
            AssertRefused(bench, MetadataRefusalKind.WrongSize, spare: 0);
        }
        MetadataBench tiny = new([made.Disks[0].Image.Clone()], seed: 4, 1 << 20);
        AssertRefused(tiny, MetadataRefusalKind.TooSmall, spare: 0);
    }

    [Fact]
    public void A_blank_or_foreign_spare_is_no_fresh_start()
    {
        AssertRefused(new MetadataBench(1, seed: 1), MetadataRefusalKind.NoMetadata, spare: 0);
        MetadataBench bench = new(1, seed: 1);
        bench.Disks[0].Image.Corrupt(0, 16384, _ => 0x42);
        AssertRefused(bench, MetadataRefusalKind.NoMetadata, spare: 0);
    }

    [Fact]
    public void Copies_of_two_sets_on_one_spare_are_refused()
    {
        MetadataBench made = Made(1);
        MetadataBench other = new(spares: 1, seed: 5);
        other.Format(MetadataBench.FormatRequestFor(1) with
        {
            SetUuid =
            new Guid("deadbeef-0000-4000-8000-000000000001")
        });
        MetadataBench bench = made.Copy();
        SpareSurgery.CopySuperblock(other.Disks[0], bench.Disks[0], copy: 2);
        AssertRefused(bench, MetadataRefusalKind.CopiesConflict, spare: 0);
    }

    [Fact]
    public void Another_primary_is_refused()
    {
        MetadataBench bench = Made(1).Copy();
        bench.Recover(0xE9, new SetExpectation { PrimaryBytes = 123 });
        Assert.Equal(MetadataRefusalKind.WrongPrimary, bench.Refusal!.Kind);
        bench.Recover(0xE9, new SetExpectation
        {
            PrimaryBytes = MetadataBench.Geometry.Blocks.Value * 512
        });
        Assert.Null(bench.Refusal);
    }

    [Fact]
    public void Another_block_size_or_a_misaligned_spare_is_refused()
    {
        MetadataBench bench = Made(1).Copy();
        DeviceGeometry right = bench.Disks[0].Geometry;
        bench.Disks[0].Geometry = right with { AlignmentOffsetBytes = 512 };
        AssertRefused(bench, MetadataRefusalKind.WrongBlockSize, spare: 0);
        bench.Disks[0].Geometry = right with { PhysicalBlockBytes = 16384 };
        AssertRefused(bench, MetadataRefusalKind.WrongBlockSize, spare: 0);
        bench.Disks[0].Geometry = right with { PhysicalBlockBytes = 512 };
        bench.MustRecover();
    }

    [Fact]
    public void A_new_epoch_is_on_every_copy_of_every_member_before_recovery_completes()
    {
        MetadataBench made = Made(2);
        MetadataBench bench = made.Copy();
        SuperblockState before = SpareSurgery.NewestOf(bench.Disks[0]).State;
        bench.Recover(0xABCDEF);
        Assert.Null(bench.Refusal);
        foreach (SparseDisk disk in bench.Disks)
        {
            for (int copy = 0; copy < SpareLayout.SuperblockCopies; copy++)
            {
                Superblock superblock = SpareSurgery.ReadCopy(disk, copy)!;
                Assert.Equal(0xABCDEFu, superblock.State.Epoch);
                Assert.Equal(before.Epoch, superblock.State.ParentEpoch);
                Assert.Equal(before.Generation + 1, superblock.State.Generation);
                Assert.Equal(made.Store.Sequence, superblock.State.JournalHead.Sequence);
                Assert.Equal(new PastEpoch(before.Epoch, before.Generation), superblock.Set.Past[0]);
                Assert.Equal(2, superblock.Set.Past.Length);
                Assert.Equal(0u, superblock.Set.Features.Incompatible);

                // Everything is whole where it lies: nothing is copied at a start.
                Assert.Equal(before.Checkpoint, superblock.State.Checkpoint);
                Assert.Equal(before.FirstJournalSequence, superblock.State.FirstJournalSequence);
            }
        }
    }

    [Fact]
    public void An_error_at_any_operation_of_recovery_is_survived_and_loses_nothing()
    {
        MetadataBench made = Made(2);
        MetadataBench counted = made.Copy();
        counted.MustRecover();
        for (int n = 0; n < counted.Disks[1].Operations; n++)
        {
            MetadataBench bench = made.Copy();
            int failing = n;
            bench.Disks[1].Fault = (operation, _) => operation == failing ? 5 : 0;
            bench.Recover();

            // Reads are tried again or made good elsewhere, and a copy that takes no write is named as bad.
            Assert.True(bench.Refusal is null, $"n={n}: {bench.Refusal}");
            Assert.Equal(made.Entries, bench.Entries);
            MetadataBench again = bench.Copy();
            again.MustRecover(0xE2);
            Assert.Equal(made.Entries, again.Entries);
        }
    }

    [Fact]
    public void A_set_that_holds_an_unknown_feature_is_refused_though_other_copies_are_fine()
    {
        MetadataBench bench = Made(1).Copy();
        SpareSurgery.ChangeField(bench.Disks[0], copy: 4, at: 39);
        AssertRefused(bench, MetadataRefusalKind.UnknownFeatures, spare: 0);
        bench = Made(1).Copy();
        SpareSurgery.ChangeField(bench.Disks[0], copy: 4, at: 9);
        AssertRefused(bench, MetadataRefusalKind.NewerFormat, spare: 0);
    }

    [Fact]
    public void Create_refuses_what_does_not_fit()
    {
        MetadataBench small = new(1, seed: 1, Limits.SpareBytesMin - 512);
        small.Format();
        Assert.Equal(MetadataRefusalKind.TooSmall, small.Refusal!.Kind);
        Assert.Equal(0, small.Disks[0].Operations);
        MetadataBench failing = new(2, seed: 1);
        failing.Disks[1].Fault = (_, _) => 5;
        failing.Format();
        Assert.Equal(MetadataRefusalKind.WriteFailed, failing.Refusal!.Kind);
        Assert.Equal(1, failing.Refusal.Spare);
        MetadataBench nine = new(9, seed: 1);
        nine.Format();
        Assert.Equal(MetadataRefusalKind.TooManySpares, nine.Refusal!.Kind);
    }

    [Fact]
    public void Create_never_writes_what_no_start_accepts()
    {
        FormatRequest request = MetadataBench.FormatRequestFor(2);
        MetadataBench bench = new(2, seed: 1);
        Guid[] twice = [request.MemberUuids[0], request.MemberUuids[0]];
        Assert.Throws<InvariantException>(() => bench.Format(request with { MemberUuids = twice }));
        PrimaryIdentity shorter = new() { Bytes = 512 };
        Assert.Throws<InvariantException>(() => bench.Format(request with { Primary = shorter }));
        Assert.Equal(0, bench.Disks[0].Operations);
    }

    /// <summary>A set with three entries in its table, and one older table in the other area.</summary>
    internal static MetadataBench Made(int spares, long spareBytes = MetadataBench.SpareBytes)
    {
        MetadataBench bench = new(spares, seed: 77, spareBytes);
        bench.Format();
        bench.MustRecover();
        Assert.Equal(CommitOutcome.Done, bench.Commit(Lost(1)));
        Assert.Equal(CommitOutcome.Done, bench.Commit(Lost(2), Lost(900)));
        return bench;
    }

    internal static TableChange Lost(long unit) => new(TableChangeKind.Set, new RemapEntry
    {
        Unit = new UnitNumber(unit),
        State = UnitState.LostDeclared,
        Blocks = BlockStates.AllOnPrimary.With(3, BlockState.Lost),
    });

    private static void AssertRefused(MetadataBench bench, MetadataRefusalKind kind, int spare)
    {
        List<IoOperation> operations = [];
        foreach (SparseDisk disk in bench.Disks)
        {
            disk.Watch = request => operations.Add(request.Operation);
        }
        bench.Recover();
        Assert.Equal(kind, bench.Refusal!.Kind);
        Assert.Equal(spare, bench.Refusal.Spare);
        Assert.NotEmpty(bench.Refusal.Detail);
        Assert.DoesNotContain(IoOperation.Write, operations);
    }

    private static void RecoveredSetIsWhole(MetadataBench bench)
    {
        MetadataBench again = bench.Copy();
        again.MustRecover();
        Assert.Equal(0, again.Recovered!.CheckpointPlacesBad);
        Assert.Equal(0, again.Store.CheckpointsDone);
        Assert.Equal(3, again.Entries.Length);
    }

    private static bool IsSuperblockRead(IoRequest request)
    {
        for (int copy = 0; copy < SpareLayout.SuperblockCopies; copy++)
        {
            long start = SpareLayout.SuperblockOffset(copy, MetadataBench.SpareBytes) / 512;
            if (request.Operation == IoOperation.Read && request.Extent.Start.Value == start)
            {
                return true;
            }
        }
        return false;
    }
}
