using System;
using System.CommandLine;
using System.CommandLine.Parsing;
using System.Linq;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Cli.Parsing;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

/// <summary>`spare list`, `spare add`, `spare remove`: while the device is served.</summary>
internal static class SpareCommand
{
    public static Command Build(CliServices services, CommonOptions common) => new(
        "spare", "Show the spares of a device, and add or remove some while it is served.")
    {
        Listing.Build(services, common),
        Adding.Build(services, common),
        Removing.Build(services, common),
    };

    private sealed class Listing
    {
        private readonly Argument<string> _name = CommonOptions.Name();

        public static Command Build(CliServices services, CommonOptions common)
        {
            Listing parts = new();
            Command command = new(
                "list", "Show each spare: its units, its errors, and when they will be used up.")
            {
                parts._name,
            };
            command.SetAction((parsed, cancellation) =>
                parts.RunAsync(services, common, parsed, cancellation));
            return command;
        }

        private async Task<int> RunAsync(
            CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
        {
            string name = parsed.GetRequiredValue(_name);
            DeviceName.Require(name);
            CommandOutput output = common.OutputFor(services, parsed, name);
            DeviceStatus status = await new DeviceLookup(services).GetStatusAsync(name, cancellation);
            if (output.IsJson)
            {
                output.Answer(JsonSerializer.Serialize(
                    new SpareListDocument(name, status.Spares, status.Forecast),
                    PlainJson.Types.SpareListDocument));
                return (int)ExitCode.Done;
            }
            foreach (string line in SpareText.Of(status))
            {
                output.Answer(line);
            }
            return (int)ExitCode.Done;
        }
    }

    private sealed class Adding
    {
        private readonly Argument<string> _name = CommonOptions.Name();

        private readonly Argument<string> _path = new("PATH")
        {
            Description = "A block device or file (no NBD export); its content is overwritten.",
        };

        private readonly Option<long?> _size = new("--size")
        {
            Description = "Make PATH as a file of this size.",
            HelpName = "SIZE",
            CustomParser = ParseSize,
        };

        private readonly Option<bool> _force = new("--force")
        {
            Description = "Also where PATH seems to carry data, or shares a disk with the main device.",
        };

        private readonly Option<bool> _yes = CommonOptions.Yes();

        public static Command Build(CliServices services, CommonOptions common)
        {
            Adding parts = new();
            Command command = new("add", "Add a spare to a running device.")
            {
                parts._name, parts._path, parts._size, parts._force, parts._yes,
            };
            command.SetAction((parsed, cancellation) =>
                parts.RunAsync(services, common, parsed, cancellation));
            return command;
        }

        private static long? ParseSize(ArgumentResult result)
        {
            string text = result.Tokens[0].Value;
            if (!SizeText.TryParse(text, out long size) || size <= 0)
            {
                result.AddError($"--size {text}: {SizeText.Problem(text)}.");
            }
            return size;
        }

        private async Task<int> RunAsync(
            CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
        {
            string name = parsed.GetRequiredValue(_name);
            DeviceName.Require(name);
            CommandOutput output = common.OutputFor(services, parsed, name, _yes);
            // The daemon has a directory of its own.
            string path = MemberPath.Complete(parsed.GetRequiredValue(_path));
            using ControlClient client = await new DeviceLookup(services).ConnectAsync(name, cancellation);
            // Before anybody is asked for a consent that would be for nothing.
            DeviceSpares.RequireLocal(path);
            long? size = parsed.GetValue(_size);
            DeviceStatus status = await client.GetStatusAsync(cancellation);
            MemberPath.RequireNoMember(
                name, path, status.Primary.Path, status.Spares.Select(spare => spare.Path));
            if (size is null)
            {
                output.RequireYes($"The content of {path} will be overwritten.");
            }
            SpareAddReport report =
                await client.AddSpareAsync(path, size, parsed.GetValue(_force), cancellation);
            foreach (string warning in report.Warnings)
            {
                output.Note($"warning: {warning}");
            }
            output.Answer(output.IsJson
                ? JsonSerializer.Serialize(report, PlainJson.Types.SpareAddReport)
                : $"{name}: {report.Path} is spare {report.Index} now; it lends {report.Units} units");
            return (int)ExitCode.Done;
        }
    }

    private sealed class Removing
    {
        private readonly Argument<string> _name = CommonOptions.Name();

        private readonly Argument<string?> _spare = new("PATH|N")
        {
            Description = "The spare, by its path or its number in `spare list`.",
            Arity = ArgumentArity.ZeroOrOne,
        };

        private readonly Option<bool> _stop = new("--stop")
        {
            Description = "End a removal that is under way; the spare stays, what has moved stays moved.",
        };

        private readonly Option<bool> _acceptLoss = new("--accept-loss")
        {
            Description = "Give up what the spare does not read any more: lost until written.",
        };

        private readonly Option<bool> _yes = CommonOptions.Yes();

        public static Command Build(CliServices services, CommonOptions common)
        {
            Removing parts = new();
            Command command = new(
                "remove", "Move what is on a spare to the others, then leave it out for ever.")
            {
                parts._name, parts._spare, parts._stop, parts._acceptLoss, parts._yes,
            };
            command.Validators.Add(parts.CheckSpare);
            command.SetAction((parsed, cancellation) =>
                parts.RunAsync(services, common, parsed, cancellation));
            return command;
        }

        private void CheckSpare(CommandResult result)
        {
            bool hasSpare = result.GetResult(_spare) is ArgumentResult { Tokens.Count: > 0 };
            if (hasSpare == result.GetValue(_stop))
            {
                result.AddError("spare remove: give the spare, or --stop.");
            }
        }

        private async Task<int> RunAsync(
            CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
        {
            string name = parsed.GetRequiredValue(_name);
            DeviceName.Require(name);
            CommandOutput output = common.OutputFor(services, parsed, name, _yes);
            using ControlClient client = await new DeviceLookup(services).ConnectAsync(name, cancellation);
            if (parsed.GetValue(_stop))
            {
                SpareStopReport stopped = await client.StopSpareRemovalAsync(cancellation);
                output.Answer(output.IsJson
                    ? JsonSerializer.Serialize(stopped, PlainJson.Types.SpareStopReport)
                    : stopped.WasRunning
                        ? $"{name}: the removal ends after the unit at hand"
                        : $"{name}: no spare is being emptied");
                return (int)ExitCode.Done;
            }
            string spare = Complete(parsed.GetValue(_spare)!);
            bool acceptLoss = parsed.GetValue(_acceptLoss);
            output.RequireYes(acceptLoss
                ? $"Spare {spare} will be emptied and leave {name} for ever; what it does not read is lost."
                : $"Spare {spare} will be emptied and leave {name} for ever.");
            Progress progress = new(services, output);
            SpareRemoveReport report =
                await client.RemoveSpareAsync(spare, acceptLoss, progress.Show, cancellation);
            output.Answer(output.IsJson
                ? JsonSerializer.Serialize(report, PlainJson.Types.SpareRemoveReport)
                : SpareText.Of(name, report));
            return (int)(!report.Removed ? ExitCode.Failed
                : report.BlocksLost > 0 || !report.Erased ? ExitCode.DoneDegraded : ExitCode.Done);
        }

        private static string Complete(string spare) =>
            int.TryParse(spare, out _) ? spare : MemberPath.Complete(spare);
    }

    /// <summary>A line a second on standard error, with the rate so far and the time left at that.</summary>
    private sealed class Progress(CliServices services, CommandOutput output)
    {
        private readonly long _began = services.Time.GetTimestamp();
        private long _said = services.Time.GetTimestamp();

        public void Show(RemapProgress step)
        {
            if (services.Time.GetElapsedTime(_said) < TimeSpan.FromSeconds(1))
            {
                return;
            }
            _said = services.Time.GetTimestamp();
            double rate = step.UnitsDone / services.Time.GetElapsedTime(_began).TotalSeconds;
            string left = rate > 0
                ? Amounts.Time((long)(Math.Max(0, step.UnitsTotal - step.UnitsDone) / rate))
                : "unknown";
            output.Note(
                $"{step.UnitsDone} of {Amounts.Plural(step.UnitsTotal, "unit")}; {rate:0.#} a second, time "
                    + $"left {left}");
        }
    }
}
