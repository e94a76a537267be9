using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Attaching;
using DmRemap.Cli.Drives;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;
using DmRemap.Engine;
using DmRemap.Engine.Flushing;
using DmRemap.FrontEnds.Nbd;

namespace DmRemap.Cli.Composition;

/// <summary>A device that is being served: what its control socket asks of it while it lives.</summary>
internal sealed class ServedDevice : IDisposable
{
    private static readonly TimeSpan s_answerTimeout = TimeSpan.FromSeconds(3);

    private readonly LoopHost _host;
    private readonly TimeProvider _time;
    private readonly long _startedAt;
    private readonly IReadOnlyList<string> _exports;
    private readonly DeviceStop _stop;

    public ServedDevice(
        LoopHost host, DeviceLife life, DeviceRecord record, AssembledDevice assembled, FrontDoor door,
        FuseDoor fuse, TimeProvider time)
    {
        Life = life;
        _host = host;
        _time = time;
        _startedAt = time.GetTimestamp();
        Record = record;
        Assembled = assembled;
        Front = door.Server;
        Fuse = fuse;
        _exports = door.Exports;
        _stop = new DeviceStop(host, assembled, door, fuse, time);
        Handwork = new DeviceHandwork(host, assembled.Device, record.Name, time);
    }

    public DeviceLife Life { get; }

    public string Name => Record.Name;

    /// <summary>As it is registered; replaced when spares change.</summary>
    public DeviceRecord Record { get; set; }

    public AssembledDevice Assembled { get; }

    public NbdServer Front { get; }

    public FuseDoor Fuse { get; }

    /// <summary>The NBD URIs, and the file where it is attached.</summary>
    public IReadOnlyList<string> Exports => Fuse.File is string file ? [.. _exports, file] : _exports;

    /// <summary>How I/O reaches the members.</summary>
    public string Backend => _host.Loop.Backend;

    public Residence Residence { get; init; }

    /// <summary>Zero: none.</summary>
    public Duration ReadDeadline { get; init; }

    public required SlownessWatch Slowness { get; init; }

    public DeviceHandwork Handwork { get; }

    public RecursionWatch? Watch { get; set; }

    /// <summary>Null until it is served.</summary>
    public ErrorRecoveryWatch? ErrorRecovery { get; set; }

    /// <summary>Null until it is served.</summary>
    public DeviceSpares? Spares { get; set; }

    /// <summary>Null until it is served.</summary>
    public DeviceScrub? Scrub
    {
        get => _stop.Scrub;
        set => _stop.Scrub = value;
    }

    public TimeSpan Uptime => _time.GetElapsedTime(_startedAt);

    public Instant Now => _host.Loop.Now;

    /// <summary>On the loop's thread: hand nothing more to the device.</summary>
    public void HoldClients()
    {
        Front.Hold();
        Fuse.Hold();
    }

    /// <summary>On the loop's thread: go on with what was held.</summary>
    public void ReleaseClients()
    {
        Front.Release();
        Fuse.Release();
    }

    public DeviceStatus GetStatus() => Ask(() => StatusReport.Make(this));

    /// <summary>A part of what is lost, from this block on.</summary>
    public LostPage ListLost(BlockNumber from) => Ask(() => LossReport.Make(Assembled.Device, from));

    public async Task AddFaultAsync(string rule, CancellationToken cancellation)
    {
        FaultRule parsed = Parse(
            rule, Assembled.Faults.Geometry.Bytes.Value / FaultRule.SectorBytes);
        bool added = await _host.RunAsync(() => Assembled.Faults.TryAdd(parsed));
        if (!added)
        {
            throw BadRule(rule, $"there are {FaultRules.RulesMax} rules already");
        }
    }

    public Task<int> ClearFaultsAsync(string? rule, CancellationToken cancellation)
    {
        FaultRule? parsed = rule is null ? null : Parse(rule, long.MaxValue);
        return _host.RunAsync(() =>
            parsed is null ? Assembled.Faults.Clear() : Assembled.Faults.Remove(parsed));
    }

    public IReadOnlyList<string> ListFaults() =>
        [.. Ask(() => Assembled.Faults.Counts()).Select(count => count.Rule.ToString())];

    /// <summary>Only what stays until a person has looked can be cleared.</summary>
    public Task<bool> ClearAsync(string condition)
    {
        RemapDevice device = Assembled.Device;
        Func<bool>? clear = condition switch
        {
            ConditionCatalog.Storm => device.Breaker.Clear,
            ConditionCatalog.Gone => device.ClearGone,
            ConditionCatalog.Uncertain => () => device.ClearUncertain(UncertainCause.FlushFailed),
            ConditionCatalog.VolatileLost => () => device.ClearUncertain(UncertainCause.CacheLost),
            _ => null,
        };
        if (clear is null)
        {
            bool isKnown = ConditionCatalog.Find(condition) is not null;
            throw new RefusalException(new Refusal(
                MessageIds.BadArguments,
                ExitCode.Usage,
                Name,
                isKnown
                    ? $"{condition} cannot be cleared: it ends when what causes it does."
                    : $"\"{condition}\" is no condition.",
                $"What can be cleared: {ConditionCatalog.Gone}, {ConditionCatalog.Storm}, "
                    + $"{ConditionCatalog.Uncertain}, {ConditionCatalog.VolatileLost}. `dmremap status` says "
                    + "what each condition needs."));
        }
        return _host.RunAsync(clear);
    }

    public void Dispose() => _stop.Dispose();

    public Task<StopReport> StopAsync(TimeSpan deadline) => _stop.RunAsync(deadline);

    /// <summary>
    /// What only the data thread may look at. It never waits for a disk, so it answers at once or is dead.
    /// </summary>
    private T Ask<T>(Func<T> question)
        where T : class
    {
        T? answer = null;
        // Never disposed of: the data thread may set it after we have given up.
        ManualResetEventSlim answered = new();
        bool isAsked = _host.Loop.Post(new Question(() =>
        {
            answer = question();
            answered.Set();
        }));
        if (!isAsked || !answered.Wait(s_answerTimeout))
        {
            throw new RefusalException(new Refusal(
                MessageIds.CommandFailed,
                ExitCode.Failed,
                Name,
                "The data thread does not answer.",
                "Look at the daemon's standard error, and at the kernel's log for hung tasks."));
        }
        return answer!;
    }

    private FaultRule Parse(string text, long sectors)
    {
        FaultRulesParsed parsed = FaultRules.Parse(text, sectors);
        if (!parsed.IsOk)
        {
            throw BadRule(text, parsed.Errors[0].Message);
        }
        return parsed.Rules.Count == 1 ? parsed.Rules[0] : throw BadRule(text, "it is not one rule");
    }

    private RefusalException BadRule(string rule, string why) => new(new Refusal(
        MessageIds.FaultsInvalid,
        ExitCode.Usage,
        Name,
        $"\"{rule}\" is no fault rule: {why}.",
        "Write FIRST-LAST read|write|both [after=OPS] [tries=K] [errno=NAME] [delay=MS], in sectors "
            + "of 512 bytes."));

    private sealed class Question(Action ask) : ILoopMessage
    {
        public void Run() => ask();
    }
}
