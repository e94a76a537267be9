using System;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Server;

/// <summary>Carries out the commands of a disk of the lab.</summary>
internal sealed class LabCommandRunner(ILabControl lab, Func<TimeSpan, Task<StopReport>> stop)
    : CommandRunner(lab.Name)
{
    private static readonly ReportJson s_reports = ReportJson.Default;
    private static readonly ControlRequestJson s_requests = ControlRequestJson.Default;

    protected override async Task<JsonElement> AnswerAsync(
        ControlRequest request, IControlLineSink sink, CancellationToken cancellation)
    {
        switch (request.Command)
        {
            case ControlCommands.Ping:
                RequireNoArguments(request);
                return Element(
                    new PingReport(lab.Name, Environment.ProcessId, ControlProtocol.ProgramVersion),
                    s_reports.PingReport);
            case ControlCommands.Status:
                RequireNoArguments(request);
                return Element(await lab.GetStatusAsync(), s_reports.LabStatus);
            case ControlCommands.LabAddBad:
                LabAddBadArguments add = Arguments(request, s_requests.LabAddBadArguments);
                return Element(await lab.AddBadAsync(add.Runs), s_reports.LabChange);
            case ControlCommands.LabHeal:
                LabRange? range = Arguments(request, s_requests.LabHealArguments).Range;
                RequireRange(range);
                return Element(await lab.HealAsync(range), s_reports.LabChange);
            case ControlCommands.LabTrouble:
                LabTroubleArguments trouble = Arguments(request, s_requests.LabTroubleArguments);
                RequireTrouble(trouble);
                await lab.TroubleAsync(trouble.Trouble, trouble.Seconds);
                return Element(new EmptyReport(), s_reports.EmptyReport);
            case ControlCommands.LabList:
                long from = Arguments(request, s_requests.LabListArguments).From;
                return Element(await lab.ListAsync(Math.Max(0, from)), s_reports.LabDefects);
            case ControlCommands.Stop:
                return Element(await stop(Deadline(request)), s_reports.StopReport);
            default:
                throw new RefusalException(UnknownCommand(request.Command));
        }
    }

    private void RequireRange(LabRange? range)
    {
        if (range is not null && (range.First < 0 || range.Last < range.First))
        {
            throw new RefusalException(
                BadArguments(ControlCommands.LabHeal, "first must not be negative, nor after last"));
        }
    }

    private void RequireTrouble(LabTroubleArguments arguments)
    {
        bool takesTime = arguments.Trouble is LabTroubles.Stall or LabTroubles.Reset or LabTroubles.Slow;
        bool isKnown = takesTime || arguments.Trouble is LabTroubles.Vanish or LabTroubles.Return;
        if (!isKnown)
        {
            throw new RefusalException(BadArguments(
                ControlCommands.LabTrouble, $"\"{arguments.Trouble}\" is no trouble that it knows"));
        }
        bool isTime = arguments.Seconds is null
            or (>= 0 and <= ControlProtocol.DeadlineSecondsMax);
        if (!isTime || (!takesTime && arguments.Seconds is not null))
        {
            throw new RefusalException(BadArguments(
                ControlCommands.LabTrouble,
                $"{arguments.Trouble} takes no such time (0 to {ControlProtocol.DeadlineSecondsMax} seconds "
                    + "for stall, reset and slow, none for the others)"));
        }
    }
}
