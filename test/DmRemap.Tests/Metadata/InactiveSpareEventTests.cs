using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Metadata;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>A spare that takes no metadata any more is given up, and that is said.</summary>
public sealed class InactiveSpareEventTests
{
    [Fact]
    public void Spare_that_takes_no_record_is_said_once_with_its_error()
    {
        MetadataBench bench = MetadataBench.Formatted(2, seed: 21);
        bench.MustRecover();
        Sink sink = new();
        bench.Store.Membership = sink;
        bench.Disks[1].Fault = (_, request) => request.Operation == IoOperation.Write ? 5 : 0;
        for (int unit = 1; unit <= 3; unit++)
        {
            Assert.Equal(CommitOutcome.Done, bench.Commit(Lost(unit)));
        }
        Assert.Equal(1, Assert.Single(sink.Members));
        Assert.Equal(5, bench.Store.LastFailure.Errno);
        Assert.Equal(MemberState.Inactive, bench.Store.DescriptionOf(1).State);
    }

    [Fact]
    public void Spare_on_which_no_place_takes_a_checkpoint_is_said_too()
    {
        MetadataBench bench = MetadataBench.Formatted(2, seed: 22);
        bench.MustRecover();
        Sink sink = new();
        bench.Store.Membership = sink;
        SpareLayout layout = bench.Recovered!.Members[1]!.Layout;
        ByteRegion[] areas = [layout.AreaA1, layout.AreaA2, layout.AreaB1, layout.AreaB2];
        bench.Disks[1].Fault = (_, request) => request.Operation == IoOperation.Write
            && System.Array.Exists(areas, area => IsIn(request, area)) ? 5 : 0;
        long before = bench.Store.CheckpointsDone;
        for (int unit = 1; bench.Store.CheckpointsDone == before; unit++)
        {
            Assert.Equal(CommitOutcome.Done, bench.Commit(Lost(unit)));
        }
        Assert.Equal(1, Assert.Single(sink.Members));
    }

    private static bool IsIn(IoRequest request, ByteRegion region)
    {
        long start = request.Extent.Start.Value * SparseDisk.BlockBytes;
        return start >= region.Start && start < region.End;
    }

    private static TableChange Lost(long unit) => new(TableChangeKind.Set, new RemapEntry
    {
        Unit = new UnitNumber(unit),
        State = UnitState.LostDeclared,
        Blocks = BlockStates.AllOnPrimary.With(1, BlockState.Lost),
    });

    private sealed class Sink : IMembershipOwner
    {
        public List<int> Members { get; } = [];

        public void OnMemberInactive(int member) => Members.Add(member);
    }
}
