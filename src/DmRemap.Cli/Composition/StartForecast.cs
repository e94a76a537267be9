using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Devices;
using DmRemap.Engine.Metadata;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Composition;

/// <summary>
/// What `serve` would refuse, without serving: its questions in its order, asked of the same code. The main
/// device is opened read-only, the recovery ends where it would begin to write. The first refusal counts; the
/// spares are read all the same, so that a report can say more than that one thing.
/// </summary>
internal sealed class StartForecast(CliServices services, DeviceRecord? record, Action<string> say)
    : IDisposable
{
    private OpenedMember? _main;
    private Refusal? _refusal;

    /// <summary>False: only the spares are looked at.</summary>
    public bool IsWanted { get; init; }

    /// <summary>The main device where it has to be read: empty once something has been refused.</summary>
    public OpenedMember[] MainToJudge => _main is null || _refusal is not null ? [] : [_main];

    public async Task ClaimMainAsync(CancellationToken cancellation)
    {
        if (!IsWanted || record is null)
        {
            return;
        }
        MemberOptions options = new()
        {
            Access = MemberAccess.ReadOnly,
            BlockBytes = record.BlockBytes,
            FilePhysicalBlockBytes = record.PhysicalBlockBytes,
        };
        try
        {
            _main = await OpenedMember.ClaimAsync(record.MainPath, options, say, cancellation);
        }
        catch (RefusalException e)
        {
            Note(MissingSpares.IsMissing(e)
                ? MissingMember.Of(record, record.MainPath, e).Refusal
                : e.Refusal);
        }
    }

    /// <summary>Counts when nothing was refused before.</summary>
    public void Note(Refusal refusal) => _refusal ??= IsWanted ? refusal : null;

    /// <summary>That they are what the registry says.</summary>
    public void JudgeMembers(IReadOnlyList<OpenedMember> spares)
    {
        if (MainToJudge is not [OpenedMember main])
        {
            return;
        }
        HostDirectories directories = services.FindDirectories();
        try
        {
            DeviceAssembly.RequireAsRegistered(record!, main, spares);
            MemberPath.RequireStateElsewhere(
                [directories.ConfigurationPath, directories.RunPath], record!.MainPath);
        }
        catch (RefusalException e)
        {
            Note(e.Refusal);
        }
    }

    /// <summary>As a start reads and judges, up to where it would begin to write.</summary>
    /// <param name="host">On whose loop.</param>
    /// <param name="files">The main device, then the spares.</param>
    /// <param name="expected">Of the set.</param>
    public async Task<MetadataReading> ReadAsync(
        LoopHost host, IMemberDevice[] files, SetExpectation expected)
    {
        HostHistory history = new(record!, services.OpenWitness(record!.Name), acceptsRollback: false, say);
        HistoryPoint? witnessed = null;
        try
        {
            witnessed = history.Load();
        }
        catch (RefusalException e)
        {
            Note(e.Refusal);
        }
        StartExpectation start = new()
        {
            Record = record,
            History = history,
            Witnessed = witnessed,
            Main = _main!.Fingerprint(),
            Say = say,
        };
        StartJudge judge = new(host.Loop, files[0], start) { OnAccepted = EndBeforeWriting };
        await host.RunAsync(() => new MetadataRecovery(
            host.Loop, files[1..], expected, DeviceCreator.NewEpoch(), judge).Begin());
        MetadataRecovery recovery = await judge.Ended;
        if (judge.Refusal is Refusal refusal && IsWhole(recovery.Reading, expected))
        {
            Note(refusal);
        }
        return recovery.Reading;
    }

    /// <summary>The first refusal; null: `serve` would serve.</summary>
    public Refusal? Conclude(
        string subject, string[] paths, MetadataReading found, SetExpectation expected)
    {
        MetadataRefusal? refusal = found.Refusal;
        if (IsWanted && found.Set is not null && !IsWhole(found, expected))
        {
            _ = SetAssembly.Decide(found.Copies, Strict(expected), out refusal);
        }
        return _refusal ?? (refusal is null
            ? null
            : MetadataRefusals.ToException(subject, paths, refusal, found.Copies, expected).Refusal);
    }

    public void Dispose() => _main?.Dispose();

    private static void EndBeforeWriting(MetadataRecovery recovery) =>
        recovery.Decline(new MetadataRefusal(MetadataRefusalKind.Declined, -1, "it is only looked at"));

    /// <summary>A set that lacks a member is read all the same; `serve` would refuse it first.</summary>
    private static bool IsWhole(MetadataReading found, SetExpectation expected) =>
        SetAssembly.Decide(found.Copies, Strict(expected), out _) is not null;

    private static SetExpectation Strict(SetExpectation expected) =>
        expected with { AllowsMissing = false };
}
