using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Metadata;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>Commits, checkpoints among them, make no garbage once they have run for a while.</summary>
public sealed class MetadataAllocationTests
{
    [Fact]
    public void A_commit_in_steady_state_allocates_nothing()
    {
        SimulatedLoop loop = new();
        SimulatedDisk disk = new(loop, SimulatedDisk.MakeGeometry(Limits.SpareBytesMin / 512));
        OneSet set = new(loop, disk);
        CommitRequest request = new(4);
        Allocations.AssertNone(() => CommitTimes(loop, set, request, 2_000));
    }

    private static void CommitTimes(SimulatedLoop loop, OneSet set, CommitRequest request, int times)
    {
        for (int i = 0; i < times; i++)
        {
            CommitOnce(loop, set, request, i);
        }
    }

    private static void CommitOnce(SimulatedLoop loop, OneSet set, CommitRequest request, int i)
    {
        request.Prepare(set);
        request.Add(MetadataStoreTests.SetRemapped(i % 2, i % 100));
        request.Add(MetadataStoreTests.SetLost(10 + (i % 8)));
        request.Add(MetadataStoreTests.Remove(10 + ((i + 4) % 8)));
        set.Store!.Commit(request);
        loop.RunUntilIdle();
        Invariant.Check(request.Outcome == CommitOutcome.Done);
    }

    /// <summary>A formatted and recovered set on one disk, without the bench's lists.</summary>
    private sealed class OneSet : IMetadataFormatOwner, IMetadataRecoveryOwner, ICommitOwner
    {
        public OneSet(SimulatedLoop loop, IBlockDevice disk)
        {
            new MetadataFormatter(loop, [disk], MetadataBench.FormatRequestFor(1), this).Begin();
            loop.RunUntilIdle();
            new MetadataRecovery(loop, [disk], new SetExpectation(), 9, this).Begin();
            loop.RunUntilIdle();
        }

        private RemapTable? _table;

        public MetadataStore? Store { get; private set; }

        public void OnFormatted(MetadataFormatter formatter) => Assert.Null(formatter.Refusal);

        public void OnRecovered(MetadataRecovery recovery)
        {
            Store = recovery.Recovered!.Store;
            _table = recovery.Recovered.Table;
        }

        public void OnCommitted(CommitRequest request)
        {
            foreach (ref readonly TableChange change in request.Changes)
            {
                if (change.Kind == TableChangeKind.Set)
                {
                    _table!.Set(change.Entry);
                }
                else
                {
                    _table!.Remove(change.Entry.Unit);
                }
            }
        }
    }
}
