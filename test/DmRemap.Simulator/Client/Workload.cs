using System;
using DmRemap.Core.Abstractions;
using DmRemap.Engine;
using DmRemap.Simulator.Checkers;
using DmRemap.Simulator.Disks;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Client;

/// <summary>
/// What applications do: random requests, several at once, also to the same sectors. Every answer is checked
/// against the model.
/// </summary>
internal sealed partial class Workload : WorldEvent, IIoOwner
{
    private readonly Universe _universe;
    private readonly SimulationConfig _config;
    private readonly Dice _dice;
    private readonly SectorModel _model;
    private readonly Readability _readability;
    private readonly Excuses _excuses;
    private readonly Promptness _promptness;
    private readonly Suspension _suspension;
    private readonly ClientRequest[] _requests;
    private readonly int _weightsTotal;
    private readonly FlushClient[] _flushClients = new FlushClient[ClientRequest.FlushClients];
    private RemapDevice? _device;
    private Action? _beforeEach;
    private long _version;
    private int _left;

    public Workload(
        Universe universe, SimulationConfig config, Dice dice, ClientRequest[] requests, SectorModel model,
        Readability readability, Excuses excuses, Promptness promptness,
        Suspension suspension)
    {
        _universe = universe;
        _config = config;
        _dice = dice;
        _model = model;
        _readability = readability;
        _excuses = excuses;
        _promptness = promptness;
        _suspension = suspension;
        _requests = requests;
        foreach (int weight in config.Weights)
        {
            _weightsTotal += weight;
        }
    }

    public int UnderWay { get; private set; }

    public long Asked { get; private set; }

    /// <summary>Flushes and forced writes that were answered with success.</summary>
    public long Promises { get; private set; }

    public bool IsDone => _left == 0;

    /// <summary>
    /// When the oldest request that is not answered was asked; the future when there is none.
    /// </summary>
    public long OldestAskedAt { get; private set; } = long.MaxValue;

    /// <summary>The device is stopping: what it held, it refuses.</summary>
    public bool IsStopping { get; set; }

    /// <summary>The device takes requests: ask so many things of it.</summary>
    public void Begin(RemapDevice device, int operations, Action beforeEach)
    {
        _device = device;
        _left = operations;
        for (int i = 0; i < _flushClients.Length; i++)
        {
            _flushClients[i] = new FlushClient();
            device.Introduce(_flushClients[i]);
        }
        IsStopping = false;
        _beforeEach = beforeEach;
        _universe.Plan(this, 0);
    }

    /// <summary>No more is asked.</summary>
    public void Cease()
    {
        _left = 0;
        _universe.Agenda.Cancel(this);
        _suspension.Cease();
    }

    /// <summary>The process is gone, and with it all answers.</summary>
    public void OnKilled()
    {
        Cease();
        _device = null;
        for (int i = 0; i < _requests.Length; i++)
        {
            if (_requests[i].IsUnderWay)
            {
                _requests[i].Abandon();
            }
        }
        UnderWay = 0;
        _isHandworkUnderWay = false;
        _promptness.OnKilled();
        _model.OnKill();
    }

    public override void Happen()
    {
        int burst = _dice.OneIn(8) ? _dice.Between(1, _config.Depth) : 1;
        for (int i = 0; i < burst && _left > 0 && UnderWay < _config.Depth; i++)
        {
            _left--;
            _beforeEach!();
            AskSomething();
        }
        // With all requests under way the next answer goes on.
        if (_left > 0 && UnderWay < _config.Depth)
        {
            _universe.Plan(this, _dice.Spread(_config.ThinkMax));
        }
    }

    /// <summary>Every sector is read, once: the answers are checked like all others.</summary>
    public void AskForEverything(RemapDevice device)
    {
        _device = device;
        for (long block = 0; block < _config.Blocks;)
        {
            long count = Math.Min(Limits.SliceBytes / _config.BlockBytes, _config.Blocks - block);
            if (Free() is not ClientRequest request)
            {
                break;
            }
            Ask(request, IoOperation.Read, block, count, IoFlags.None);
            block += count;
        }
    }

    private ClientRequest? Free() => Array.Find(_requests, request => !request.IsUnderWay);

    private void AskSomething()
    {
        ClientRequest request = Free()!;
        long start = SomeBlock();
        long count = Math.Min(_dice.Spread(_config.RequestBlocksMax), _config.Blocks - start);
        int choice = _dice.Below(_weightsTotal);
        int kind = 0;
        while (choice >= _config.Weights[kind])
        {
            choice -= _config.Weights[kind];
            kind++;
        }
        IoFlags forced = _dice.Percent(_config.ForcedPercent) ? IoFlags.ForceUnitAccess : IoFlags.None;
        switch (kind)
        {
            case 0:
                Ask(request, IoOperation.Read, start, count, IoFlags.None);
                break;
            case 1:
                Ask(request, IoOperation.Write, start, count, forced);
                break;
            case 2:
                Ask(request, IoOperation.Flush, 0, 0, IoFlags.None);
                break;
            case 3:
                Ask(request, IoOperation.WriteZeroes, start, Longer(start, count), forced);
                break;
            case 4:
                Ask(request, IoOperation.Discard, start, Longer(start, count), IoFlags.None);
                break;
            case 5:
                Move(start);
                break;
            default:
                _suspension.Begin(_device!);
                break;
        }
    }

    private long Longer(long start, long count) =>
        _dice.OneIn(8) ? Math.Min(count * 20, _config.Blocks - start) : count;

    private long SomeBlock()
    {
        if (_dice.OneIn(4))
        {
            return _dice.Below(_config.Blocks);
        }
        return _dice.Below(Math.Min(_config.HotBlocks, _config.Blocks));
    }

    private void Ask(ClientRequest request, IoOperation operation, long start, long count, IoFlags flags)
    {
        request.IsUnderWay = true;
        request.Began = _model.Tick();
        request.FirstSector = start * _config.SectorsPerBlock;
        request.Sectors = (int)(count * _config.SectorsPerBlock);
        request.Version = ++_version;
        bool hasData = operation is IoOperation.Read or IoOperation.Write;
        BufferSlice buffer = hasData
            ? request.Buffer.Slice(0, request.Sectors * Page.SectorBytes)
            : default;
        for (int i = 0; i < request.Sectors && operation != IoOperation.Read; i++)
        {
            ulong value = ValueOf(request, operation, i);
            _model.Begin(request.FirstSector + i, value, request.Began);
            if (hasData)
            {
                Stamp.Fill(buffer.Span.Slice(i * Page.SectorBytes, Page.SectorBytes), value);
            }
        }
        if (operation == IoOperation.Read)
        {
            buffer.Span.Fill(0xAA);
        }
        else if (request.Sectors > 0)
        {
            _promptness.OnChange(request, 1, request.Began);
        }
        UnderWay++;
        Asked++;
        OldestAskedAt = Math.Min(OldestAskedAt, _universe.Now);
        _universe.Trace.Add(
            TraceKind.Ask, _universe.Now, request.Version, start, count,
            _universe.Trace.IsPrinting ? $"{operation} {flags}" : null);
        request.Io.Token = _universe.Now;
        request.Io.Prepare(this, operation, new Extent(new BlockNumber(start), new BlockCount(count)),
            buffer, flags);
        request.Io.Client = operation == IoOperation.Flush ? _flushClients[request.FlushClient] : null;
        _device!.Submit(request.Io);
    }

    private static ulong ValueOf(ClientRequest request, IoOperation operation, int sector) =>
        operation == IoOperation.Write ? Stamp.Of(request.FirstSector + sector, request.Version) : 0;
}
