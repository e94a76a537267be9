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

/// <summary>Where lines go. False: the client is gone or stuck, and nothing more can be sent to it.</summary>
internal interface IControlLineSink
{
    Task<bool> SendAsync(ReadOnlyMemory<byte> line);
}

/// <summary>Carries out one request and makes its reply. Every failure becomes an error reply.</summary>
internal sealed class ControlCommandRunner(
    IDeviceControl device, ControlServerOptions options, Func<TimeSpan, Task<StopReport>> stop)
{
    private static readonly ReportJson s_reports = ReportJson.Default;
    private static readonly ControlRequestJson s_requests = ControlRequestJson.Default;

    private delegate Task<TReport> BlockWork<TReport>(
        BlockNumber first, BlockNumber last, IProgress<RemapProgress> progress,
        CancellationToken cancellation);

    /// <summary>The reply's line. Progress goes to the sink before.</summary>
    public async Task<byte[]> RunAsync(
        ControlRequest request, IControlLineSink sink, CancellationToken cancellation)
    {
        try
        {
            JsonElement value = await AnswerAsync(request, sink, cancellation);
            return ControlLineWriter.Return(request.Id, value, device.Name);
        }
        catch (RefusalException refused)
        {
            return ControlLineWriter.Error(request.Id, refused.Refusal);
        }
        catch (JsonException)
        {
            return ControlLineWriter.Error(
                request.Id, BadArguments(request.Command, "they are not of its form"));
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            return ControlLineWriter.Error(request.Id, Stopping(request.Command));
        }
        catch (Exception error) when (error is not InvariantException)
        {
            return ControlLineWriter.Error(request.Id, Failed(request.Command, error));
        }
    }

    private async Task<JsonElement> AnswerAsync(
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
                return await WithProgressAsync(
                    request, sink, device.RemapAsync, s_reports.RemapReport, cancellation);
            case ControlCommands.Unremap:
                return await WithProgressAsync(
                    request, sink, device.UnremapAsync, s_reports.UnremapReport, cancellation);
            case ControlCommands.Retest:
                return await WithProgressAsync(
                    request, sink, device.RetestAsync, s_reports.RetestReport, cancellation);
            case ControlCommands.MarkLost:
                return await WithProgressAsync(
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
            case ControlCommands.Attach:
                RequireNoArguments(request);
                return Element(await device.AttachAsync(), s_reports.AttachReport);
            default:
                throw new RefusalException(UnknownCommand(request.Command));
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

    /// <summary>A client that goes away ends the work after the unit at hand.</summary>
    private async Task<JsonElement> WithProgressAsync<TReport>(
        ControlRequest request, IControlLineSink sink, BlockWork<TReport> work, JsonTypeInfo<TReport> type,
        CancellationToken cancellation)
    {
        RemapArguments arguments = Arguments(request, s_requests.RemapArguments);
        CheckExtent(request.Command, arguments);
        using CancellationTokenSource gone = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        ProgressChannel progress = new(options.Time, options.ProgressInterval);
        Task<TReport> running = RunAsync(work, arguments, progress, gone.Token);
        await foreach (RemapProgress step in progress.ReadAllAsync(CancellationToken.None))
        {
            JsonElement value = Element(step, s_reports.RemapProgress);
            if (!await sink.SendAsync(ControlLineWriter.Progress(request.Id, value)))
            {
                await gone.CancelAsync();
            }
        }
        return Element(await running, type);
    }

    private static async Task<TReport> RunAsync<TReport>(
        BlockWork<TReport> work, RemapArguments arguments, ProgressChannel progress,
        CancellationToken cancellation)
    {
        try
        {
            return await work(
                new BlockNumber(arguments.First), new BlockNumber(arguments.Last), progress, cancellation);
        }
        finally
        {
            progress.Complete();
        }
    }

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

    private TimeSpan Deadline(ControlRequest request)
    {
        double seconds = Arguments(request, s_requests.DeadlineArguments).DeadlineSeconds;
        if (!(seconds >= 0 && seconds <= ControlProtocol.DeadlineSecondsMax))
        {
            throw new RefusalException(BadArguments(
                request.Command, $"a deadline is 0 to {ControlProtocol.DeadlineSecondsMax} seconds"));
        }
        return TimeSpan.FromSeconds(seconds);
    }

    private static void RequireNoArguments(ControlRequest request) =>
        Arguments(request, s_requests.NoArguments);

    /// <summary>
    /// Absent arguments are an empty object: a command without required ones takes its defaults.
    /// </summary>
    private static T Arguments<T>(ControlRequest request, JsonTypeInfo<T> type)
        where T : class
    {
        T? value = request.Arguments is JsonElement element
            ? element.Deserialize(type)
            : JsonSerializer.Deserialize("{}", type);
        return value ?? throw new JsonException();
    }

    private static JsonElement Element<T>(T value, JsonTypeInfo<T> type) =>
        JsonSerializer.SerializeToElement(value, type);

    private Refusal BadArguments(string command, string why) => new(
        MessageIds.BadArguments,
        ExitCode.Usage,
        device.Name,
        $"The arguments of \"{command}\" are wrong: {why}.",
        "docs/control-protocol.md lists every command with its arguments.");

    private Refusal UnknownCommand(string command) => new(
        MessageIds.UnknownCommand,
        ExitCode.Usage,
        device.Name,
        $"The daemon of \"{device.Name}\" (version {ControlProtocol.ProgramVersion}) knows no command "
            + $"\"{command}\".",
        "Use a program of the same version as the daemon; docs/control-protocol.md lists the commands.");

    private Refusal Stopping(string command) => new(
        MessageIds.Stopping,
        ExitCode.Failed,
        device.Name,
        $"\"{device.Name}\" is stopping: \"{command}\" was not finished.",
        "Serve the device again, look at its status, and repeat the command if it is still needed.");

    private Refusal Failed(string command, Exception error) => new(
        MessageIds.CommandFailed,
        ExitCode.Failed,
        device.Name,
        $"\"{command}\" failed inside the daemon: {error.GetType().Name}: {error.Message}",
        "This is a bug; please report it with the daemon's output. The data path is not affected by it.");
}
