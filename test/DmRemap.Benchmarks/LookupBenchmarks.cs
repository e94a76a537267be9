using System;
using BenchmarkDotNet.Attributes;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Core.Requests;

namespace DmRemap.Benchmarks;

/// <summary>
/// What a request pays for the remap table, on a primary of 1 TiB: a lookup far from any remap, one next to
/// some, one that hits; and splitting. Must not allocate, and must stay flat as the table grows.
/// </summary>
[MemoryDiagnoser]
[ShortRunJob]
public class LookupBenchmarks
{
    private const long PrimaryBytes = 1L << 40;
    private const int UnitBytes = 4096;
    private const int Requests = 4096;
    private const int RequestBlocks = 8;
    private readonly Extent[] _anywhere = new Extent[Requests];
    private readonly Extent[] _hits = new Extent[Requests];
    private RemapTable _table = null!;

    /// <summary>Remapped units, scattered over the whole primary.</summary>
    [Params(0, 1_000, 1_000_000)]
    public int Entries { get; set; }

    [GlobalSetup]
    public void Fill()
    {
        BlockSize blockSize = new(512);
        long blocks = PrimaryBytes / blockSize.Bytes;
        _table = new RemapTable(new UnitGeometry(blockSize, UnitBytes, new BlockCount(blocks), 0));
        Random random = new(1);
        long[] units = new long[Math.Max(1, Entries)];
        for (int i = 0; i < Entries; i++)
        {
            units[i] = random.NextInt64(PrimaryBytes / UnitBytes);
            _table.Set(new RemapEntry
            {
                Unit = new UnitNumber(units[i]),
                State = UnitState.Remapped,
                Location = new SpareLocation(0, new UnitNumber(i)),
                Blocks =
                    BlockStates.AllOnPrimary.With(BlockStates.Mask(0, RequestBlocks), BlockState.OnSpare),
            });
        }

        for (int i = 0; i < Requests; i++)
        {
            long anywhere = random.NextInt64(PrimaryBytes / UnitBytes);
            long hit = units[random.Next(units.Length)];
            _anywhere[i] = At(anywhere);
            _hits[i] = At(hit);
        }
    }

    [Benchmark(Baseline = true, OperationsPerInvoke = Requests)]
    public int Lookup_anywhere()
    {
        int primary = 0;
        foreach (Extent extent in _anywhere)
        {
            primary += _table.IsEntirelyPrimary(extent) ? 1 : 0;
        }

        return primary;
    }

    [Benchmark(OperationsPerInvoke = Requests)]
    public int Lookup_of_remapped_units()
    {
        int primary = 0;
        foreach (Extent extent in _hits)
        {
            primary += _table.IsEntirelyPrimary(extent) ? 1 : 0;
        }

        return primary;
    }

    [Benchmark(OperationsPerInvoke = Requests)]
    public int Splitting_at_remapped_units()
    {
        int fragments = 0;
        foreach (Extent extent in _hits)
        {
            RequestSplitter splitter = new(_table, extent);
            while (splitter.TryNext(out Fragment _))
            {
                fragments++;
            }
        }

        return fragments;
    }

    private static Extent At(long unit) =>
        new(new BlockNumber(unit * RequestBlocks), new BlockCount(RequestBlocks));
}
