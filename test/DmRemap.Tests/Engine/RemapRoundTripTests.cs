using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Engine;
using DmRemap.Engine.Metadata;
using DmRemap.Tests.Metadata;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>
/// From a write to its answer, counted in turns of I/O, with the production metadata: on disks whose every
/// operation takes as long as the next.
/// </summary>
public sealed class RemapRoundTripTests : IMetadataRecoveryOwner, IIoOwner
{
    private static readonly Duration s_turn = Duration.FromMilliseconds(10);

    private RecoveredSet? _set;
    private bool _isAnswered;

    /// <summary>
    /// The write that fails; then, one behind the other, once more under a hold, the spare's data, the record
    /// of it: three turns after the error, which is the goal.
    /// </summary>
    [Theory]
    [InlineData(1, 61)]
    [InlineData(2, 61)]
    [InlineData(1, 5)]
    public void Write_that_the_medium_refuses_is_answered_three_turns_of_io_later(int spares, int errno)
    {
        MetadataBench bench = MetadataBench.Formatted(spares, seed: 1);
        (RemapDevice device, SimulatedDisk primary) = Serve(bench);
        primary.ErrnoOfBadBlocks = errno;
        primary.BadForWriting.UnionWith([800, 801, 802, 803, 804, 805, 806, 807]);
        Instant began = bench.Loop.Now;
        IoRequest request = new();
        BufferSlice data = AlignedMemory.Allocate(4096);
        request.Prepare(
            this, IoOperation.Write, new Extent(new BlockNumber(800), new BlockCount(8)), data, IoFlags.None);
        _isAnswered = false;
        device.Submit(request);
        bench.Loop.RunUntil(() => _isAnswered);
        Assert.Equal(IoStatus.Ok, request.Status);
        Assert.Equal(1, device.Tally.RemappedUnits);
        long elapsed = bench.Loop.Now.Nanoseconds - began.Nanoseconds;
        // The simulated disks below add less than a microsecond to a turn.
        Assert.Equal(1 + 3, elapsed / s_turn.Nanoseconds);
    }

    void IMetadataRecoveryOwner.OnRecovered(MetadataRecovery recovery) => _set = recovery.Recovered;

    void IIoOwner.OnCompleted(IoRequest request) => _isAnswered = true;

    private (RemapDevice Device, SimulatedDisk Primary) Serve(MetadataBench bench)
    {
        SlowDevice[] slow = new SlowDevice[bench.Disks.Length];
        for (int i = 0; i < slow.Length; i++)
        {
            slow[i] = new SlowDevice(bench.Loop, bench.Disks[i]);
        }
        new MetadataRecovery(bench.Loop, slow, new SetExpectation(), 0xE1, this).Begin();
        bench.Loop.RunUntil(() => _set is not null);
        SimulatedDisk primary = new(
            bench.Loop, SimulatedDisk.MakeGeometry(MetadataBench.Geometry.Blocks.Value));
        Member[] members = new Member[slow.Length];
        for (int i = 0; i < members.Length; i++)
        {
            MetadataMember member = _set!.Members[i]!;
            members[i] = new Member(i, $"spare{i}", member.Device, member.Layout.DataStart);
        }
        SlowDevice main = new(bench.Loop, primary);
        RemapDevice device = new(new RemapDeviceParts
        {
            Loop = bench.Loop,
            Primary = new Member(Member.Primary, "main", main, new BlockNumber(0)),
            Spares = members,
            Table = _set!.Table,
            Allocator = _set.Allocator,
            Log = _set.Store,
        });
        return (device, primary);
    }

    /// <summary>Each operation reaches the disk one turn after it was submitted, side by side.</summary>
    private sealed class SlowDevice(SimulatedLoop loop, IBlockDevice disk) : IBlockDevice, ITimerOwner
    {
        private readonly Dictionary<LoopTimer, IoRequest> _waiting = [];

        public DeviceGeometry Geometry => disk.Geometry;

        public void Submit(IoRequest request)
        {
            LoopTimer timer = new(this);
            _waiting.Add(timer, request);
            loop.Schedule(timer, loop.Now + s_turn);
        }

        public void OnTimer(LoopTimer timer)
        {
            _waiting.Remove(timer, out IoRequest? request);
            disk.Submit(request!);
        }
    }
}
