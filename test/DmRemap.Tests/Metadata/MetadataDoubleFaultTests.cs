using System;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>
/// Failures of one member while another one's failure is being recorded: superblocks and records are written
/// side by side, so either may end first.
/// </summary>
public sealed class MetadataDoubleFaultTests
{
    [Fact]
    public void Failures_of_two_members_at_once_give_true_outcomes()
    {
        for (int seed = 0; seed < 120; seed++)
        {
            Random random = new(seed);
            MetadataBench bench = MetadataBench.Formatted(2, seed);
            bench.MustRecover();
            ModelTable done = new();
            ChangeSource source = bench.Changes(random);
            for (int i = 0; i < 28; i++)
            {
                TableChange[] changes = source.Next(1);
                Assert.Equal(CommitOutcome.Done, bench.Commit(changes));
                done = done.With(changes);
            }
            int journalFails = random.Next(2);
            int journalAfter = random.Next(12);
            int superblocksAfter = random.Next(4);
            SparseDisk failing = bench.Disks[journalFails];
            SparseDisk other = bench.Disks[1 - journalFails];
            failing.Fault = (_, request) => IsJournal(bench, request) && journalAfter-- <= 0 ? 5 : 0;
            other.Fault = (_, request) => IsSuperblock(request) && superblocksAfter-- <= 0 ? 5 : 0;
            bool isUnknown = false;
            for (int i = 0; i < 12 && !isUnknown; i++)
            {
                TableChange[] changes = source.Next(1);
                CommitOutcome outcome = bench.Commit(changes);
                isUnknown = outcome != CommitOutcome.Done;
                done = outcome == CommitOutcome.Done ? done.With(changes) : done;
            }
            MetadataBench again = bench.Copy();
            again.Recover(0xE2);
            Assert.True(again.Refusal is null, $"seed={seed}: {again.Refusal}");
            bool isRight = done.Equals(again.Entries, again.Recovered!.Retired);
            Assert.True(isRight || isUnknown, $"seed={seed}");

            // The member that counts as active must be enough.
            for (int member = 0; member < 2; member++)
            {
                if (bench.Store.DescriptionOf(1 - member).State == MemberState.Inactive)
                {
                    MetadataBench alone = new([bench.Disks[member].Image.Clone()], seed: 1);
                    alone.Recover(0xE3);
                    isRight = alone.Refusal is null && done.Equals(alone.Entries, alone.Recovered!.Retired);
                    Assert.True(isRight || isUnknown, $"seed={seed}, member {member}: {alone.Refusal}");
                }
            }
        }
    }

    private static bool IsJournal(MetadataBench bench, IoRequest request)
    {
        SpareLayout layout = bench.Recovered!.Members[0]!.Layout;
        long at = request.Extent.Start.Value * 512;
        bool isIn = (at >= layout.Journal1.Start && at < layout.Journal1.End)
            || (at >= layout.Journal2.Start && at < layout.Journal2.End);
        return isIn && request.Operation == IoOperation.Write;
    }

    private static bool IsSuperblock(IoRequest request)
    {
        long at = request.Extent.Start.Value * 512;
        return request.Operation == IoOperation.Write && Enumerable.Range(0, SpareLayout.SuperblockCopies)
            .Any(copy => SpareLayout.SuperblockOffset(copy, MetadataBench.SpareBytes) == at);
    }
}
