using System;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Scrubbing;

namespace DmRemap.Control.Server;

/// <summary>Carries out the commands of a device.</summary>
internal sealed class ControlCommandRunner(
    IDeviceControl device, ControlServerOptions options, Func<TimeSpan, Task<StopReport>> stop)
    : CommandRunner(device.Name)
{
    private static readonly ReportJson s_reports = ReportJson.Default;
    private static readonly ControlRequestJson s_requests = ControlRequestJson.Default;

    private delegate Task<TReport> BlockWork<TReport>(
        BlockNumber first, BlockNumber last, IProgress<RemapProgress> progress,
        CancellationToken cancellation);

    protected override async Task<JsonElement> AnswerAsync(
        ControlRequest request, IControlLineSink sink, CancellationToken cancellation)
    {
        switch (request.Command)
        {
            case ControlCommands.Ping:
                RequireNoArguments(request);
                return Element(
                    new PingReport(device.Name, Environment.ProcessId, ControlProtocol.ProgramVersion),
                    s_reports.PingReport);
            case ControlCommands.Status:
                RequireNoArguments(request);
                return Element(device.GetStatus(), s_reports.DeviceStatus);
            case ControlCommands.Remap:
                return await WithBlocksAsync(
                    request, sink, device.RemapAsync, s_reports.RemapReport, cancellation);
            case ControlCommands.Unremap:
                return await WithBlocksAsync(
                    request, sink, device.UnremapAsync, s_reports.UnremapReport, cancellation);
            case ControlCommands.Retest:
                return await WithBlocksAsync(
                    request, sink, device.RetestAsync, s_reports.RetestReport, cancellation);
            case ControlCommands.MarkLost:
                return await WithBlocksAsync(
                    request, sink, device.MarkLostAsync, s_reports.MarkLostReport, cancellation);
            case ControlCommands.Lost:
                return Element(ListLost(Arguments(request, s_requests.LostArguments)), s_reports.LostPage);
            case ControlCommands.FaultsAdd:
                FaultArguments add = Arguments(request, s_requests.FaultArguments);
                await device.AddFaultAsync(CheckedRule(request.Command, add.Rule), cancellation);
                return Element(new EmptyReport(), s_reports.EmptyReport);
            case ControlCommands.FaultsClear:
                FaultsClearArguments clear = Arguments(request, s_requests.FaultsClearArguments);
                string? rule = clear.Rule is null ? null : CheckedRule(request.Command, clear.Rule);
                int cleared = await device.ClearFaultsAsync(rule, cancellation);
                return Element(new FaultsCleared(cleared), s_reports.FaultsCleared);
            case ControlCommands.FaultsList:
                RequireNoArguments(request);
                return Element(new FaultList(device.ListFaults()), s_reports.FaultList);
            case ControlCommands.Stop:
                StopReport stopped = await stop(Deadline(request));
                return Element(stopped, s_reports.StopReport);
            case ControlCommands.Suspend:
                SuspendReport suspended = await device.SuspendAsync(Deadline(request));
                return Element(suspended, s_reports.SuspendReport);
            case ControlCommands.Resume:
                RequireNoArguments(request);
                return Element(await device.ResumeAsync(), s_reports.ResumeReport);
            case ControlCommands.Clear:
                string condition = Arguments(request, s_requests.ClearArguments).Condition;
                return Element(
                    new ClearReport(condition, await device.ClearAsync(condition)), s_reports.ClearReport);
            case ControlCommands.Scrub:
                ScrubArguments scrub = Arguments(request, s_requests.ScrubArguments);
                return Element(await ScrubAsync(scrub), s_reports.ScrubReport);
            case ControlCommands.SpareAdd:
            case ControlCommands.SpareRemove:
            case ControlCommands.SpareStop:
                return await ChangeSparesAsync(request, sink, cancellation);
            case ControlCommands.Attach:
                RequireNoArguments(request);
                return Element(await device.AttachAsync(), s_reports.AttachReport);
            default:
                throw new RefusalException(UnknownCommand(request.Command));
        }
    }

    private async Task<JsonElement> ChangeSparesAsync(
        ControlRequest request, IControlLineSink sink, CancellationToken cancellation)
    {
        switch (request.Command)
        {
            case ControlCommands.SpareAdd:
                SpareAddArguments added = Arguments(request, s_requests.SpareAddArguments);
                string path = CheckedPath(request.Command, added.Path);
                if (added.SizeBytes is <= 0)
                {
                    throw new RefusalException(BadArguments(request.Command, "a size is more than 0 bytes"));
                }
                return Element(
                    await device.AddSpareAsync(path, added.SizeBytes, added.Force, cancellation),
                    s_reports.SpareAddReport);
            case ControlCommands.SpareRemove:
                return await RemoveSpareAsync(request, sink, cancellation);
            default:
                RequireNoArguments(request);
                return Element(await device.StopSpareRemovalAsync(), s_reports.SpareStopReport);
        }
    }

    private async Task<ScrubReport> ScrubAsync(ScrubArguments arguments)
    {
        long rate = arguments.BytesPerSecond ?? ScrubPace.RateDefault;
        if (rate is < ScrubPace.RateMin or > ScrubPace.RateMax)
        {
            throw new RefusalException(BadArguments(
                ControlCommands.Scrub,
                $"a rate is {ScrubPace.RateMin} to {ScrubPace.RateMax} bytes a second"));
        }
        if (arguments.BytesPerSecond is not null && arguments.Action != "start")
        {
            throw new RefusalException(BadArguments(ControlCommands.Scrub, "only a start takes a rate"));
        }
        return arguments.Action switch
        {
            "start" => await device.StartScrubAsync(arguments.BytesPerSecond),
            "stop" => await device.StopScrubAsync(),
            "status" => device.GetScrub(),
            _ => throw new RefusalException(BadArguments(
                ControlCommands.Scrub, $"\"{arguments.Action}\" is not start, stop or status")),
        };
    }

    private LostPage ListLost(LostArguments arguments)
    {
        PrimaryStatus primary = device.GetStatus().Primary;
        long blocks = primary.SizeBytes / primary.BlockSize;
        return arguments.From >= 0 && arguments.From < blocks
            ? device.ListLost(new BlockNumber(arguments.From))
            : throw new RefusalException(BadArguments(
                ControlCommands.Lost, $"block {arguments.From} does not lie in 0 to {blocks - 1}"));
    }

    private async Task<JsonElement> WithBlocksAsync<TReport>(
        ControlRequest request, IControlLineSink sink, BlockWork<TReport> work, JsonTypeInfo<TReport> type,
        CancellationToken cancellation)
    {
        RemapArguments arguments = Arguments(request, s_requests.RemapArguments);
        CheckExtent(request.Command, arguments);
        TReport report = await WithProgressAsync(
            (progress, ended) => work(
                new BlockNumber(arguments.First), new BlockNumber(arguments.Last), progress, ended),
            request, sink, cancellation);
        return Element(report, type);
    }

    private async Task<JsonElement> RemoveSpareAsync(
        ControlRequest request, IControlLineSink sink, CancellationToken cancellation)
    {
        SpareRemoveArguments arguments = Arguments(request, s_requests.SpareRemoveArguments);
        string spare = CheckedPath(request.Command, arguments.Spare);
        SpareRemoveReport report = await WithProgressAsync(
            (progress, ended) => device.RemoveSpareAsync(spare, arguments.AcceptLoss, progress, ended),
            request, sink, cancellation);
        return Element(report, s_reports.SpareRemoveReport);
    }

    /// <summary>A client that goes away ends the work after the unit at hand.</summary>
    private async Task<T> WithProgressAsync<T>(
        Func<IProgress<RemapProgress>, CancellationToken, Task<T>> work,
        ControlRequest request, IControlLineSink sink, CancellationToken cancellation)
    {
        using CancellationTokenSource gone = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        ProgressChannel progress = new(options.Time, options.ProgressInterval);
        Task<T> running = ThenCompleteAsync(work, progress, gone.Token);
        await foreach (RemapProgress step in progress.ReadAllAsync(CancellationToken.None))
        {
            JsonElement value = Element(step, s_reports.RemapProgress);
            if (!await sink.SendAsync(ControlLineWriter.Progress(request.Id, value)))
            {
                await gone.CancelAsync();
            }
        }
        return await running;
    }

    private static async Task<T> ThenCompleteAsync<T>(
        Func<IProgress<RemapProgress>, CancellationToken, Task<T>> work,
        ProgressChannel progress, CancellationToken cancellation)
    {
        try
        {
            return await work(progress, cancellation);
        }
        finally
        {
            progress.Complete();
        }
    }

    private string CheckedPath(string command, string? path) =>
        path?.Length is > 0 and <= ControlProtocol.PathLengthMax && !path.Contains('\0')
            ? path
            : throw new RefusalException(BadArguments(
                command, $"a path has 1 to {ControlProtocol.PathLengthMax} characters, none of them NUL"));

    private void CheckExtent(string command, RemapArguments arguments)
    {
        PrimaryStatus primary = device.GetStatus().Primary;
        long blocks = primary.SizeBytes / primary.BlockSize;
        if (arguments.First >= 0 && arguments.Last >= arguments.First && arguments.Last >= blocks)
        {
            throw new RefusalException(BlockRange.BeyondEnd(
                device.Name, arguments.First, arguments.Last, blocks, primary.BlockSize));
        }
        if (arguments.First < 0 || arguments.Last < arguments.First)
        {
            throw new RefusalException(BadArguments(
                command,
                $"blocks {arguments.First} to {arguments.Last} do not lie in 0 to {blocks - 1}"));
        }
    }

    private string CheckedRule(string command, string rule)
    {
        bool isOneLine = rule.AsSpan().IndexOfAny('\n', '\r', '\0') < 0;
        if (!isOneLine || rule.Length == 0 || rule.Length > ControlProtocol.FaultRuleLengthMax)
        {
            throw new RefusalException(BadArguments(
                command, $"a rule is one line of 1 to {ControlProtocol.FaultRuleLengthMax} characters"));
        }
        return rule;
    }
}
