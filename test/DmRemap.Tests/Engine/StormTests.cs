using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;
using DmRemap.Engine;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>The breaker in the device: what trips it, and what writes still get then (F-29).</summary>
public sealed class StormTests
{
    private static EngineBench Tripped()
    {
        EngineBench bench = new();
        bench.Device.Breaker.OnReadsNowhere();
        return bench;
    }

    /// <summary>ENODATA is what a locked NVMe drive answers with.</summary>
    [Theory]
    [InlineData(5)]
    [InlineData(61)]
    public void Read_that_fails_with_all_its_controls_trips_the_breaker_once(int errno)
    {
        EngineBench bench = new();
        bench.Primary.Fault = (_, request) => request.Operation == IoOperation.Read ? errno : 0;
        Assert.Equal(IoStatus.DeviceError, bench.Read(803, 1).Status);
        Assert.Equal(IoStatus.DeviceError, bench.Read(1203, 1).Status);
        Assert.True(bench.Device.Breaker.IsTripped);
        Assert.Single(bench.Events, happened => happened.Kind == EngineEventKind.StormOfReads);
        Assert.Equal(0, bench.Device.Suspects.Count);
    }

    [Theory]
    [InlineData(6)]
    [InlineData(110)]
    public void Disk_that_is_gone_or_stalled_is_no_storm(int errno)
    {
        EngineBench bench = new();
        bench.Primary.Fault = (_, request) => request.Operation == IoOperation.Read ? errno : 0;
        Assert.Equal(IoStatus.DeviceError, bench.Read(803, 1).Status);
        Assert.False(bench.Device.Breaker.IsTripped);
    }

    /// <summary>The disk took a write since: the failing place is bad, storm or not.</summary>
    [Fact]
    public void Write_to_a_bad_sector_moves_its_unit_when_the_control_passes()
    {
        EngineBench bench = Tripped();
        Assert.Equal(IoStatus.Ok, bench.Write(0, EngineBench.Pattern(8, 512, 4)).Status);
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        Assert.Equal(1, bench.Device.Table.Count);
        Assert.All(bench.Read(0, 8).Data, value => Assert.Equal(4, value));
        Assert.All(bench.Read(800, 8).Data, value => Assert.Equal(9, value));
    }

    /// <summary>Before the first good write nothing can be asked; the bound on such moves holds.</summary>
    [Fact]
    public void Write_for_which_no_control_can_be_made_moves_its_unit()
    {
        EngineBench bench = Tripped();
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        Assert.Equal(1, bench.Device.Table.Count);
    }

    /// <summary>The control's place is bad by now: its bytes are saved, the write that asked fails.</summary>
    [Fact]
    public void Control_that_fails_in_a_storm_loses_no_content()
    {
        EngineBench bench = Tripped();
        Assert.Equal(IoStatus.Ok, bench.Write(0, EngineBench.Pattern(8, 512, 4)).Status);
        bench.Primary.Fault = (_, request) => request.Operation == IoOperation.Write ? 5 : 0;
        Assert.Equal(IoStatus.DeviceError, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        Assert.All(bench.Read(0, 8).Data, value => Assert.Equal(4, value));
        Assert.False(bench.Device.Table.TryGet(new UnitNumber(100), out _));
        // Cleared by a person, the same write moves its unit.
        bench.Device.Breaker.Clear();
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        Assert.True(bench.Device.Table.TryGet(new UnitNumber(100), out _));
    }

    /// <summary>
    /// A control that the disk did not answer may land later, over what was written since: where it lands
    /// nobody may read any more, whatever the error says of the disk.
    /// </summary>
    [Theory]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(110)]
    public void Place_of_a_control_that_failed_is_on_a_spare_afterwards(int errno)
    {
        EngineBench bench = Tripped();
        Assert.Equal(IoStatus.Ok, bench.Write(0, EngineBench.Pattern(8, 512, 4)).Status);
        bench.Primary.Fault = (_, request) => request.Operation != IoOperation.Write ? 0
            : request.Extent.Start.Value == 0 ? errno : 5;
        bench.Write(800, EngineBench.Pattern(8, 512, 9));
        Assert.True(bench.Device.Table.TryGet(new UnitNumber(0), out _));
        Assert.All(bench.Read(0, 8).Data, value => Assert.Equal(4, value));
    }

    /// <summary>The last good write lies where all is bad by now; an earlier one, far away, tells.</summary>
    [Fact]
    public void Control_at_an_earlier_place_lets_the_same_write_move_its_unit()
    {
        EngineBench bench = new(new BenchOptions { Blocks = 300_000, SpareUnits = 500 });
        bench.Device.Breaker.OnReadsNowhere();
        Assert.Equal(IoStatus.Ok, bench.Write(280_000, EngineBench.Pattern(8, 512, 4)).Status);
        Assert.Equal(IoStatus.Ok, bench.Write(0, EngineBench.Pattern(8, 512, 5)).Status);
        for (long block = 0; block < 1000; block++)
        {
            bench.Primary.BadForWriting.Add(block);
        }
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        Assert.All(bench.Read(0, 8).Data, value => Assert.Equal(5, value));
        Assert.All(bench.Read(800, 8).Data, value => Assert.Equal(9, value));
        Assert.All(bench.Read(280_000, 8).Data, value => Assert.Equal(4, value));
    }

    /// <summary>
    /// A disk of 20 GiB; the first block in every 16 refuses writes; a unit is a block. The last has been
    /// written before: the place of a control.
    /// </summary>
    [Theory]
    [InlineData(4112, true)]
    [InlineData(16, false)]
    public void Moves_all_over_the_disk_trip_it_and_a_growing_cluster_does_not(int spread, bool isStorm)
    {
        SimulatedLoop loop = new();
        UnitGeometry units = new(new BlockSize(4096), 4096, new BlockCount(5L << 20), 0);
        SpareAllocator allocator = new();
        allocator.AddSpare(0, 1200);
        SimulatedDisk spare = new(loop, SimulatedDisk.MakeGeometry(1201, 4096));
        NullDisk primary = new(loop, units.Blocks.Value);
        RemapDevice device = new(new RemapDeviceParts
        {
            Loop = loop,
            Primary = new Member(Member.Primary, "main", primary, new BlockNumber(0)),
            Spares = [new Member(0, "spare", spare, new BlockNumber(1))],
            Table = new RemapTable(units),
            Allocator = allocator,
            Log = new SimulatedLog(loop),
        });
        IoRequest request = new();
        BufferSlice data = AlignedMemory.Allocate(4096);
        for (long i = -1; i < 1100; i++)
        {
            long at = i < 0 ? units.Blocks.Value - 1 : i * spread;
            long answered = primary.Answered;
            Extent block = new(new BlockNumber(at), new BlockCount(1));
            request.Prepare(primary, IoOperation.Write, block, data, IoFlags.None);
            device.Submit(request);
            loop.RunUntil(() => primary.Answered > answered);
            Assert.Equal(IoStatus.Ok, request.Status);
        }
        Assert.Equal(isStorm, device.Breaker.IsTripped);
        Assert.Equal(1100, device.Table.Count);
    }

    /// <summary>Holds nothing.</summary>
    private sealed class NullDisk(IEventLoop loop, long blocks) : IBlockDevice, IIoOwner
    {
        public DeviceGeometry Geometry { get; } = SimulatedDisk.MakeGeometry(blocks, 4096);

        public void Submit(IoRequest request)
        {
            request.MarkSubmitted();
            bool isBad = request.Operation == IoOperation.Write && request.Extent.Start.Value % 16 == 0;
            request.SetResult(isBad ? IoStatus.DeviceError : IoStatus.Ok, isBad ? 61 : 0, Duration.Zero);
            loop.DeliverLater(request);
        }

        /// <summary>Of the requests that this stands for the client of.</summary>
        public long Answered { get; private set; }

        public void OnCompleted(IoRequest request) => Answered++;
    }
}
