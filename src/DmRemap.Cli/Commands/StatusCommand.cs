using System.Collections.Generic;
using System.CommandLine;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

internal sealed class StatusCommand
{
    private readonly Argument<string?> _name = new("NAME")
    {
        Description = "The device; without it, every device.",
        Arity = ArgumentArity.ZeroOrOne,
    };

    public static Command Build(CliServices services, CommonOptions common)
    {
        StatusCommand parts = new();
        Command command = new("status", "Show state, members, remaps and lost data.") { parts._name };
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        string? name = parsed.GetValue(_name);
        CommandOutput output = common.OutputFor(services, parsed, name ?? "-");
        DeviceLookup lookup = new(services);
        if (name is null)
        {
            return Write(output, await lookup.GetAllAsync(cancellation));
        }
        DeviceName.Require(name);
        DeviceStatus status = await lookup.GetStatusAsync(name, cancellation);
        SayWhatIsLeft(output, status);
        if (output.IsJson)
        {
            output.Answer(JsonSerializer.Serialize(status, PlainJson.Types.DeviceStatus));
        }
        else
        {
            WriteText(output, status);
        }
        return (int)ExitCode.Done;
    }

    /// <summary>Of a server that has died: to start it again would not bring that back.</summary>
    private static void SayWhatIsLeft(CommandOutput output, DeviceStatus status)
    {
        if (status is { State: DeviceStates.Stopped, Attached: Attachment attached })
        {
            output.Note($"{status.Name}: {attached.Path} is still attached, and the process that served it "
                + "has gone: what uses it gets I/O errors. Unmount what is on it, then: "
                + $"dmremap detach {status.Name}");
        }
    }

    /// <summary>
    /// The first device that cannot be asked decides the exit code; the others are shown nevertheless.
    /// </summary>
    private static int Write(CommandOutput output, IReadOnlyList<DeviceAnswer> answers)
    {
        List<DeviceStatus> devices = [];
        List<Refusal> problems = [];
        foreach (DeviceAnswer answer in answers)
        {
            if (answer.Status is not null)
            {
                devices.Add(answer.Status);
            }
            if (answer.Problem is not null)
            {
                problems.Add(answer.Problem);
            }
        }
        if (output.IsJson)
        {
            StatusDocument document = new(devices, problems.ConvertAll(ControlError.Of));
            output.Answer(JsonSerializer.Serialize(document, PlainJson.Types.StatusDocument));
        }
        else
        {
            WriteTexts(output, devices, problems);
        }
        return (int)(problems.Count == 0 ? ExitCode.Done : problems[0].ExitCode);
    }

    private static void WriteTexts(CommandOutput output, List<DeviceStatus> devices, List<Refusal> problems)
    {
        for (int i = 0; i < devices.Count; i++)
        {
            if (i > 0)
            {
                output.Answer("");
            }
            WriteText(output, devices[i]);
        }
        foreach (Refusal problem in problems)
        {
            ErrorText.Write(output.Terminal.Error, problem);
        }
        if (devices.Count == 0 && problems.Count == 0)
        {
            ListText.Write(output.Terminal.Output, [], output.Terminal.Width);
        }
    }

    private static void WriteText(CommandOutput output, DeviceStatus status)
    {
        Terminal terminal = output.Terminal;
        new StatusText(terminal.Output, terminal.Width, new Paint(terminal.HasColour)).Write(status);
        terminal.Output.Flush();
        if (status.Version != ControlProtocol.ProgramVersion)
        {
            output.Note($"note: {status.Name} is served by dmremap {status.Version}; this is "
                + $"{ControlProtocol.ProgramVersion}, which may not show everything.");
        }
    }
}
