using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>
/// The device against a byte-exact model: random requests in flight together, sectors that go bad while they
/// run, slow and reordered completions; and crashes at any event, after which every block must hold a value
/// that it may hold. Values are numbers of writes, so that "what was written when" can be told from the
/// content.
/// </summary>
public sealed class RemapDeviceModelTests
{
    private const int Blocks = 1024;

    [Theory]
    [InlineData(512, 4096, 0)]
    [InlineData(512, 512, 0)]
    [InlineData(4096, 4096, 0)]
    [InlineData(512, 4096, 3584)]
    public void Random_requests_on_a_failing_disk_match_the_model(int blockBytes, int physicalBytes,
        int alignmentOffset)
    {
        for (int seed = 1; seed <= 8; seed++)
        {
            Run(seed, blockBytes, physicalBytes, alignmentOffset, Ending.Orderly);
        }
    }

    [Theory]
    [InlineData(512, 4096)]
    [InlineData(512, 512)]
    public void Power_cut_at_any_event_leaves_every_flushed_write_and_never_invents_data(int blockBytes,
        int physicalBytes)
    {
        for (int seed = 1; seed <= 20; seed++)
        {
            Run(seed, blockBytes, physicalBytes, 0, Ending.PowerCut);
        }
    }

    [Theory]
    [InlineData(512, 4096)]
    [InlineData(512, 512)]
    public void Kill_at_any_event_loses_nothing_that_was_acknowledged(int blockBytes, int physicalBytes)
    {
        for (int seed = 1; seed <= 20; seed++)
        {
            Run(seed, blockBytes, physicalBytes, 0, Ending.Kill);
        }
    }

    private static void Run(int seed, int blockBytes, int physicalBytes, int alignmentOffset, Ending ending)
    {
        try
        {
            ModelRun run = new(seed, blockBytes, physicalBytes, alignmentOffset);
            run.Go(ending);
        }
        catch (Exception e)
        {
            throw new InvalidOperationException(
                $"seed={seed} block={blockBytes} physical={physicalBytes} ending={ending}", e);
        }
    }

    private enum Ending
    {
        Orderly = 0,
        Kill = 1,
        PowerCut = 2,
    }

    private sealed class ModelRun
    {
        private readonly Random _random;
        private readonly BenchOptions _options;
        private readonly EngineBench _bench;
        private readonly BlockModel _model = new(Blocks);
        private readonly int _blockBytes;
        private int _inFlight;
        private int _version;

        public ModelRun(int seed, int blockBytes, int physicalBytes, int alignmentOffset)
        {
            _random = new Random(seed);
            _blockBytes = blockBytes;
            _options = new BenchOptions
            {
                Blocks = Blocks,
                BlockBytes = blockBytes,
                PhysicalBytes = physicalBytes,
                UnitBytes = Math.Max(4096, blockBytes),
                AlignmentOffset = alignmentOffset,
                Spares = 1 + (seed % 2),
                SpareUnits = 160,
                Seed = seed,
                LatencyMax = Duration.FromMilliseconds(3),
            };
            _bench = new EngineBench(_options);
        }

        public void Go(Ending ending)
        {
            int operations = 150 + _random.Next(150);
            long crashAt = ending != Ending.Orderly ? _random.Next(2500) : long.MaxValue;
            _bench.Loop.StopBefore = events => events >= crashAt;
            for (int i = 0; i < operations && !_bench.Loop.IsStopped; i++)
            {
                SpoilSomething();
                StartOne();
                while ((_inFlight >= 8 || _random.Next(3) > 0) && _bench.Loop.Step())
                {
                }
            }
            _bench.Loop.RunUntilIdle();
            if (_bench.Loop.IsStopped)
            {
                Recover(ending);
                return;
            }
            _bench.Loop.StopBefore = null;
            Assert.Equal(0, _inFlight);
            Assert.True(_bench.Device.IsQuiet);
            CheckAll(_bench, Ending.Orderly);
        }

        /// <summary>
        /// Power is cut: boot from what the disks and the log hold, twice, with the same answer both times.
        /// </summary>
        private void Recover(Ending ending)
        {
            byte[] primary = ImageOf(_bench.Primary, ending);
            byte[][] spares = Array.ConvertAll(_bench.Spares, spare => ImageOf(spare, ending));
            SortedDictionary<long, RemapEntry> entries = _bench.Log.AfterCrash(_random);
            EngineBench second = new(_options with
            {
                PrimaryImage = primary,
                SpareImages = spares,
                Entries = entries,
                LatencyMax = Duration.Zero,
            });
            second.Primary.BadForReading.UnionWith(_bench.Primary.BadForReading);
            second.Primary.BadForWriting.UnionWith(_bench.Primary.BadForWriting);
            second.Primary.WritesHeal = true;
            CheckAll(second, ending);
            CheckAll(second, ending);
        }

        private byte[] ImageOf(SimulatedDisk disk, Ending ending) =>
            ending == Ending.PowerCut ? disk.PowerCut(_random) : disk.Kill(_random);

        private void SpoilSomething()
        {
            if (_random.Next(4) == 0)
            {
                // A physical sector goes bad as a whole.
                int perSector = _options.PhysicalBytes / _blockBytes;
                int shift = (perSector - (_options.AlignmentOffset / _blockBytes % perSector)) % perSector;
                long sector = (ClusteredBlock() + shift) / perSector;
                bool read = _random.Next(2) == 0;
                bool write = _random.Next(2) == 0;
                for (
                    long block =
                        (sector * perSector) - shift; block < ((sector + 1) * perSector) - shift; block++)
                {
                    Spoil(block, read, write);
                }
            }
        }

        private void Spoil(long block, bool read, bool write)
        {
            if (block is < 0 or >= Blocks)
            {
                return;
            }
            if (read)
            {
                _bench.Primary.BadForReading.Add(block);
                _model.Unreadable[block] = true;
            }
            if (write)
            {
                _bench.Primary.BadForWriting.Add(block);
            }
        }

        private long ClusteredBlock() =>
            _random.Next(2) == 0 ? _random.Next(Blocks) : (_random.Next(4) * 64) + _random.Next(16);

        private void StartOne()
        {
            long start = ClusteredBlock();
            long count = Math.Min(1 + _random.Next(40), Blocks - start);
            count = Math.Min(count, Limits.SliceBytes / _blockBytes);
            switch (_random.Next(10))
            {
                case 0:
                    StartFlush();
                    break;
                case 1:
                    StartZeroes(start, count);
                    break;
                case 2 or 3 or 4:
                    StartRead(start, count);
                    break;
                default:
                    StartWrite(start, count);
                    break;
            }
        }

        private void StartWrite(long start, long count)
        {
            int version = ++_version;
            bool fua = _random.Next(5) == 0;
            BufferSlice data = AlignedMemory.Allocate((int)count * _blockBytes);
            for (int i = 0; i < count; i++)
            {
                BitConverter.TryWriteBytes(data.Span[(i * _blockBytes)..], version);
            }
            _model.Begin(start, count, version);
            _inFlight++;
            _bench.Start(IoOperation.Write, start, count, data, fua ? IoFlags.ForceUnitAccess : IoFlags.None,
                request =>
            {
                _inFlight--;
                // Spares are plentiful and the log works: a write must not fail (P2).
                Assert.Equal(IoStatus.Ok, request.Status);
                _model.End(start, count, version, fua);
            });
        }

        private void StartZeroes(long start, long count)
        {
            _model.Begin(start, count, 0);
            _inFlight++;
            _bench.Start(IoOperation.WriteZeroes, start, count, default, IoFlags.None, request =>
            {
                _inFlight--;
                Assert.Equal(IoStatus.Ok, request.Status);
                _model.End(start, count, 0, false);
            });
        }

        private void StartRead(long start, long count)
        {
            BufferSlice data = AlignedMemory.Allocate((int)count * _blockBytes);
            HashSet<int>[] allowed = _model.Allowed(start, count);
            int[] stamps = _model.Stamps(start, count);
            _inFlight++;
            _bench.Start(IoOperation.Read, start, count, data, IoFlags.None, request =>
            {
                _inFlight--;
                for (int i = 0; i < count; i++)
                {
                    bool failed = request.Status != IoStatus.Ok && IsFailed(request, start + i);
                    if (!failed)
                    {
                        int value = BitConverter.ToInt32(data.Span[(i * _blockBytes)..]);
                        bool ok = allowed[i].Contains(value)
                            || _model.WasBegunSince(start + i, stamps[i], value);
                        Assert.True(ok,
                            $"block {start + i} holds {value}, allowed {string.Join(',', allowed[i])}");
                    }
                    else
                    {
                        Assert.True(_model.Unreadable[start + i],
                            $"block {start + i} fails although it was never bad");
                    }
                }
            });
        }

        private void StartFlush()
        {
            int stamp = _model.Clock;
            _inFlight++;
            _bench.Start(IoOperation.Flush, 0, 0, default, IoFlags.None, request =>
            {
                _inFlight--;
                Assert.Equal(IoStatus.Ok, request.Status);
                _model.Flushed(stamp);
            });
        }

        private static bool IsFailed(IoRequest request, long block)
        {
            for (int i = 0; i < request.Failed.Count; i++)
            {
                if (request.Failed[i].Contains(new BlockNumber(block)))
                {
                    return true;
                }
            }
            return false;
        }

        private void CheckAll(EngineBench bench, Ending ending)
        {
            bool crashed = ending != Ending.Orderly;
            for (int block = 0; block < Blocks; block++)
            {
                Outcome read = bench.Read(block, 1);
                if (read.Status != IoStatus.Ok)
                {
                    Assert.True(_model.Unreadable[block], $"block {block} fails although it was never bad");
                    Assert.False(
                        !crashed && _model.IsCertain(block),
                        $"block {block} was written after it went bad, and fails");
                    continue;
                }
                int value = BitConverter.ToInt32(read.Data);
                HashSet<int> allowed = _model.AllowedAfter(block, ending == Ending.PowerCut);
                Assert.True(allowed.Contains(value),
                    $"block {block} holds {value}, allowed {string.Join(',', allowed)}");
                if (crashed)
                {
                    _model.Pin(block, value);
                }
            }
        }
    }
}
