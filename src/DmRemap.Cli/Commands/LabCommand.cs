using System;
using System.Collections.Generic;
using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Lab;
using DmRemap.Cli.Output;
using DmRemap.Cli.Parsing;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

/// <summary>`lab`: disks that fail on purpose, for trying any program with.</summary>
internal sealed class LabCommand(CliServices services, CommonOptions common)
{
    public static Command Build(CliServices services, CommonOptions common)
    {
        LabCommand parts = new(services, common);
        return new Command("lab", "Disks that fail on purpose, served over NBD, to rehearse with.")
        {
            LabServeCommand.Build(services, common),
            parts.BuildAddBad(),
            parts.BuildHeal(),
            parts.BuildTrouble(
                LabTroubles.Stall, "It answers nothing for so many seconds, or until `lab return`.", true),
            parts.BuildTrouble(
                LabTroubles.Reset, "The link is lost for so many seconds (3), and requests fail.", true),
            parts.BuildTrouble(
                LabTroubles.Slow, "Each request takes 100 ms more, for a time or until `return`.", true),
            parts.BuildTrouble(
                LabTroubles.Vanish, "It is pulled out: clients are disconnected, nobody is let in.", false),
            parts.BuildTrouble(
                LabTroubles.Return, "It is back, and answers, with the bad sectors that it had.", false),
            parts.BuildStatus(),
            parts.BuildList(),
            parts.BuildStop(),
        };
    }

    public static Argument<string> Name() => new("NAME")
    {
        Description = "The disk: 1 to 64 letters, digits, '_', '.' or '-'.",
    };

    private Command BuildAddBad()
    {
        Argument<string> name = Name();
        Argument<string[]> run = new("RUN")
        {
            Description = "FIRST[-LAST] [pending|dead|weak|unwritable|unflushable|corrupt] [tries=K] "
                + "[delay=MS] [lasting], in sectors of 512 bytes.",
            Arity = ArgumentArity.OneOrMore,
        };
        Command command = new("add-bad", "More sectors go bad, now.") { name, run };
        command.SetAction((parsed, cancellation) => WithAsync(
            parsed, name, async (client, output) =>
            {
                string text = string.Join(' ', parsed.GetRequiredValue(run));
                WriteChange(output, await client.AddBadAsync([text], cancellation), "made bad");
            }, cancellation));
        return command;
    }

    private Command BuildHeal()
    {
        Argument<string> name = Name();
        Argument<string?> range = new("RANGE")
        {
            Description = "FIRST or FIRST-LAST, in sectors of 512 bytes; without it, all is well again.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        Command command = new("heal", "Make sectors good, with the content that they have.") { name, range };
        command.Validators.Add(result =>
        {
            string? text = result.GetValue(range);
            if (text is not null && !RunText.TryParse(text, out _))
            {
                result.AddError($"lab heal: \"{text}\": expected {RunText.Form}.");
            }
        });
        command.SetAction((parsed, cancellation) => WithAsync(
            parsed, name, async (client, output) =>
            {
                LabRange? sectors = RunText.TryParse(parsed.GetValue(range) ?? "", out RunText run)
                    ? new LabRange(run.First, run.Last)
                    : null;
                WriteChange(output, await client.HealAsync(sectors, cancellation), "healed");
            }, cancellation));
        return command;
    }

    private Command BuildTrouble(string trouble, string description, bool takesTime)
    {
        Argument<string> name = Name();
        Command command = new(trouble, description) { name };
        Argument<double?> seconds = new("SECONDS")
        {
            Description = "How long.",
            Arity = ArgumentArity.ZeroOrOne,
            CustomParser = ParseSeconds,
        };
        if (takesTime)
        {
            command.Add(seconds);
        }
        command.SetAction((parsed, cancellation) => WithAsync(
            parsed, name, async (client, output) =>
            {
                double? length = takesTime ? parsed.GetValue(seconds) : null;
                EmptyReport done = await client.TroubleAsync(trouble, length, cancellation);
                string time = length is double given
                    ? string.Create(CultureInfo.InvariantCulture, $", for {given} s")
                    : "";
                Write(
                    output,
                    $"{parsed.GetRequiredValue(name)}: {trouble}{time}",
                    JsonSerializer.Serialize(done, PlainJson.Types.EmptyReport));
            }, cancellation));
        return command;
    }

    private Command BuildStatus()
    {
        Argument<string> name = Name();
        Command command = new("status", "What the disk is, what is wrong with it, and what that has done.")
        {
            name,
        };
        command.SetAction((parsed, cancellation) => WithAsync(
            parsed, name, async (client, output) =>
            {
                LabStatus status = await client.GetStatusAsync(cancellation);
                Write(
                    output, LabText.Of(status),
                    JsonSerializer.Serialize(status, PlainJson.Types.LabStatus));
            }, cancellation));
        return command;
    }

    private Command BuildList()
    {
        Argument<string?> name = new("NAME")
        {
            Description = "The disk whose bad sectors to list; without it, the disks of the lab.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        Command command = new("list", "The disks of the lab, or one's bad sectors, as `--bad` reads them.")
        {
            name,
        };
        command.SetAction((parsed, cancellation) => parsed.GetValue(name) is string one
            ? ListDefectsAsync(parsed, one, cancellation)
            : ListDisksAsync(parsed, cancellation));
        return command;
    }

    private Command BuildStop()
    {
        Argument<string> name = Name();
        Option<double> deadline = CommonOptions.Deadline("Answer after this many seconds at the latest");
        Command command = new("stop", "Stop serving it. Without --file, its content is gone then.")
        {
            name, deadline,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            bool isClean = true;
            int code = await WithAsync(parsed, name, async (client, output) =>
            {
                TimeSpan limit = TimeSpan.FromSeconds(parsed.GetValue(deadline));
                StopReport report = await client.StopAsync(limit, cancellation);
                isClean = report.Clean;
                string disk = parsed.GetRequiredValue(name);
                Write(
                    output,
                    $"{disk}: {(report.Clean ? "stopped" : "stopped by the deadline: " + report.Left)}",
                    JsonSerializer.Serialize(
                        new StopDocument(disk, WasRunning: true, report), PlainJson.Types.StopDocument));
            }, cancellation);
            return isClean ? code : (int)ExitCode.DoneDegraded;
        });
        return command;
    }

    private static double? ParseSeconds(ArgumentResult result)
    {
        if (result.Tokens.Count == 0)
        {
            return null;
        }
        string text = result.Tokens[0].Value;
        bool isNumber = double.TryParse(
            text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double seconds);
        if (!isNumber || !(seconds <= ControlProtocol.DeadlineSecondsMax))
        {
            result.AddError($"{text}: expected seconds, 0 to {ControlProtocol.DeadlineSecondsMax}.");
        }
        return seconds;
    }

    private async Task<int> WithAsync(
        ParseResult parsed, Argument<string> name, Func<LabClient, CommandOutput, Task> act,
        CancellationToken cancellation)
    {
        string disk = parsed.GetRequiredValue(name);
        DeviceName.Require(disk);
        using LabClient client = await ConnectAsync(disk, cancellation);
        await act(client, common.OutputFor(services, parsed, disk));
        return (int)ExitCode.Done;
    }

    private async Task<LabClient> ConnectAsync(string name, CancellationToken cancellation)
    {
        string path = services.FindDirectories().LabControlSocketPath(name);
        return await LabClient.TryConnectAsync(path, name, services.AnswerTimeout, cancellation)
            ?? throw new RefusalException(LabRefusals.NotRunning(name));
    }

    /// <summary>As many replies as it takes.</summary>
    private async Task<int> ListDefectsAsync(ParseResult parsed, string name, CancellationToken cancellation)
    {
        DeviceName.Require(name);
        CommandOutput output = common.OutputFor(services, parsed, name);
        using LabClient client = await ConnectAsync(name, cancellation);
        List<string> all = [];
        long? from = 0;
        while (from is long next)
        {
            LabDefects part = await client.ListAsync(next, cancellation);
            all.AddRange(part.Runs);
            from = part.Next;
        }
        if (output.IsJson)
        {
            output.Answer(JsonSerializer.Serialize(
                new LabDefects(all, null), PlainJson.Types.LabDefects));
        }
        else
        {
            all.ForEach(output.Answer);
        }
        return (int)ExitCode.Done;
    }

    /// <summary>A socket that nobody serves any more is none.</summary>
    private async Task<int> ListDisksAsync(ParseResult parsed, CancellationToken cancellation)
    {
        CommandOutput output = common.OutputFor(services, parsed, "-");
        string folder = services.FindDirectories().LabPath;
        List<LabStatus> disks = [];
        string[] names = Directory.Exists(folder)
            ? [.. Directory.GetFiles(folder, "*.sock").Select(Path.GetFileNameWithoutExtension).Order()!]
            : [];
        foreach (string name in names.Where(DeviceName.IsValid))
        {
            string path = services.FindDirectories().LabControlSocketPath(name);
            using LabClient? client =
                await LabClient.TryConnectAsync(path, name, services.AnswerTimeout, cancellation);
            if (client is not null)
            {
                disks.Add(await client.GetStatusAsync(cancellation));
            }
        }
        Write(
            output,
            disks.Count == 0
                ? "no disk in the lab; `dmremap lab serve NAME --size 1G --model nearline` makes one"
                : string.Join('\n', disks.Select(LabText.LineOf)),
            JsonSerializer.Serialize(new LabListDocument(disks), PlainJson.Types.LabListDocument));
        return (int)ExitCode.Done;
    }

    private static void WriteChange(CommandOutput output, LabChange change, string what) => Write(
        output,
        $"{Amounts.Plural(change.Changed, "physical sector")} {what}; {Amounts.Count(change.Bad)} bad now",
        JsonSerializer.Serialize(change, PlainJson.Types.LabChange));

    private static void Write(CommandOutput output, string text, string json) =>
        output.Answer(output.IsJson ? json : text);
}
