using System.Collections.Generic;
using System.CommandLine;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

internal static class ListCommand
{
    public static Command Build(CliServices services, CommonOptions common)
    {
        Command command = new("list", "List the devices of this machine.");
        command.SetAction((parsed, cancellation) => RunAsync(services, common, parsed, cancellation));
        return command;
    }

    /// <summary>
    /// As for `status`: the first device that cannot be asked decides the exit code; all are shown.
    /// </summary>
    private static async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        CommandOutput output = common.OutputFor(services, parsed, "-");
        List<ListedDevice> devices = [];
        ExitCode exit = ExitCode.Done;
        foreach (DeviceAnswer answer in await new DeviceLookup(services).GetAllAsync(cancellation))
        {
            devices.Add(Listed(answer));
            if (exit == ExitCode.Done && answer.Problem is Refusal problem)
            {
                exit = problem.ExitCode;
            }
        }
        if (output.IsJson)
        {
            output.Answer(JsonSerializer.Serialize(new ListDocument(devices), PlainJson.Types.ListDocument));
        }
        else
        {
            ListText.Write(output.Terminal.Output, devices, output.Terminal.Width);
            await output.Terminal.Output.FlushAsync(cancellation);
        }
        return (int)exit;
    }

    private static ListedDevice Listed(DeviceAnswer answer)
    {
        if (answer.Status is not DeviceStatus status)
        {
            Refusal problem = answer.Problem!;
            return new ListedDevice
            {
                Name = answer.Name,
                State = "unreadable",
                Problem = ControlError.Of(problem),
            };
        }
        return new ListedDevice
        {
            Name = status.Name,
            State = status.State,
            Conditions = status.Conditions,
            Main = status.Primary.Path,
            SizeBytes = status.Primary.SizeBytes,
            Remaps = status.Remaps,
            LostBlocks = status.LostBlocks,
            Attached = status.Attached,
            SpareUnits = status.Remaps is null ? null : Findings.SpareTotals(status),
        };
    }
}
