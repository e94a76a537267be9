using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Engine.Flushing;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>
/// The flush that a start makes of what it has read, and what follows where it fails or hangs.
/// </summary>
public sealed class OpeningFlushTests
{
    /// <summary>
    /// A copy that a failed write has left in a volatile cache may be the one that decides: it is made
    /// durable before the others are overwritten.
    /// </summary>
    [Fact]
    public void A_start_flushes_what_it_has_read_before_its_first_write()
    {
        MetadataBench bench = MetadataRecoveryTests.Made(2).Copy();
        List<IoOperation>[] done = [[], []];
        for (int i = 0; i < done.Length; i++)
        {
            List<IoOperation> operations = done[i];
            bench.Disks[i].Fault = (_, request) =>
            {
                operations.Add(request.Operation);
                return 0;
            };
        }
        bench.MustRecover();
        Assert.All(done, operations =>
        {
            int flush = operations.IndexOf(IoOperation.Flush);
            Assert.True(flush > 0);
            Assert.DoesNotContain(IoOperation.Write, operations[..flush]);
            Assert.DoesNotContain(IoOperation.Read, operations[flush..]);
        });
    }

    [Fact]
    public void Where_that_flush_fails_what_the_cache_holds_now_counts_and_the_spare_has_lost_a_flush()
    {
        MetadataBench made = MetadataRecoveryTests.Made(1);
        SparseImage durable = made.Disks[0].Image.Clone();
        Assert.Equal(CommitOutcome.Done, made.Commit(MetadataRecoveryTests.Lost(5)));
        MetadataBench bench = new([durable], seed: 7);
        bench.Disks[0].PutIntoCache(made.Disks[0].Image);
        int flushes = 0;
        bench.Disks[0].Fault = (_, request) =>
            request.Operation == IoOperation.Flush && flushes++ == 0 ? 5 : 0;
        bench.MustRecover();
        Assert.Equal(3, bench.Entries.Length);
        Assert.True(bench.Recovered!.Members[0]!.OpeningFlush!.HasFailed);
        Assert.Equal(3, bench.Reopened().Table.Count);
    }

    [Fact]
    public void A_flush_of_a_start_that_hangs_ends_later_as_it_ends()
    {
        foreach (int errno in (int[])[0, 5])
        {
            MetadataBench bench = MetadataRecoveryTests.Made(2).Copy();
            bench.Disks[1].Hang = request => request.Operation == IoOperation.Flush;
            bench.Disks[1].Fault = (_, request) => request.Operation == IoOperation.Flush ? errno : 0;
            bench.MustRecover();
            OpeningFlush opening = bench.Recovered!.Members[1]!.OpeningFlush!;
            Assert.True(opening.IsOut);
            bench.Disks[1].ReleaseHanging();
            bench.Loop.RunUntil(() => !opening.IsOut);
            Assert.Equal(errno != 0, opening.HasFailed);
            Assert.False(bench.Recovered.Members[0]!.OpeningFlush!.HasFailed);
        }
    }

    /// <summary>
    /// A copy that lies in a cache only is gone after the next power cut: were it settled, the spare would
    /// then be refused as an old image of itself, for ever.
    /// </summary>
    [Fact]
    public void What_a_failed_flush_leaves_in_doubt_is_not_settled()
    {
        MetadataBench made = MetadataRecoveryTests.Made(2);
        SparseImage durable = made.Disks[1].Image.Clone();
        made.BeginStop();
        made.Loop.RunUntilIdle();
        MetadataBench bench = new([made.Disks[0].Image.Clone(), durable.Clone()], seed: 7);
        bench.Disks[1].PutIntoCache(made.Disks[1].Image);
        bench.Disks[1].Hang = request => request.Operation != IoOperation.Read;
        bench.Recover();
        Assert.False(bench.Recovered!.Members[1]!.IsActive);
        MetadataBench after = new([bench.Disks[0].Image.Clone(), durable], seed: 8);
        after.MustRecover(0xE2);
        Assert.Equal(1, after.Recovered!.MembersResynced);
    }

    /// <summary>
    /// In doubt the table is written anew, where that can be; a last spare that takes none is served.
    /// </summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_spare_on_which_every_flush_and_every_table_fails_is_served_unless_a_record_is_in_doubt(
        bool isStopped)
    {
        MetadataBench made = MetadataRecoveryTests.Made(1);
        if (isStopped)
        {
            made.BeginStop();
            made.Loop.RunUntilIdle();
        }
        SpareLayout layout = made.Recovered!.Members[0]!.Layout;
        MetadataBench bench = made.Copy();
        ByteRegion[] areas = [layout.AreaA1, layout.AreaA2, layout.AreaB1, layout.AreaB2];
        bench.Disks[0].Fault = (_, request) =>
        {
            long start = request.Extent.Start.Value * 512;
            bool isTable = request.Operation == IoOperation.Write
                && areas.Any(area => area.Start <= start && start < area.End);
            return request.Operation == IoOperation.Flush || isTable ? 5 : 0;
        };
        bench.Recover();
        Assert.Equal(isStopped ? null : MetadataRefusalKind.WriteFailed, bench.Refusal?.Kind);
        Assert.Equal(isStopped ? true : null, bench.Recovered?.Members[0]!.OpeningFlush!.HasFailed);
    }
}
