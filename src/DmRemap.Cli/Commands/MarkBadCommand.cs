using System;
using System.Collections.Generic;
using System.CommandLine;
using System.IO;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Cli.Parsing;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Control.Server;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

internal sealed class MarkBadCommand
{
    private readonly Argument<string> _name = CommonOptions.Name();

    private readonly Option<string> _list = new("--list")
    {
        Description = "The bad places: FIRST or FIRST-LAST a line, both included, in logical blocks; # "
            + "begins a comment. A list of badblocks is of this form.",
        HelpName = "FILE",
        Required = true,
    };

    private readonly Option<int?> _listBlock = new("--list-block")
    {
        Description = "The list counts blocks of so many bytes (badblocks: 1024, or its -b).",
        HelpName = "BYTES",
    };

    public static Command Build(CliServices services, CommonOptions common)
    {
        MarkBadCommand parts = new();
        Command command = new(
            "mark-bad", "Move the units of a list of bad blocks to a spare, as remap does. What does not "
                + "read stays where it is, and is an error until it reads or is written.")
        {
            parts._name, parts._list, parts._listBlock,
        };
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        string name = parsed.GetRequiredValue(_name);
        DeviceName.Require(name);
        CommandOutput output = common.OutputFor(services, parsed, name);
        List<RunText> runs = await ReadAsync(name, parsed.GetRequiredValue(_list), cancellation);
        using ControlClient client = await new DeviceLookup(services).ConnectAsync(name, cancellation);
        PrimaryStatus primary = (await client.GetStatusAsync(cancellation)).Primary;
        runs = InBlocks(name, runs, parsed.GetValue(_listBlock), primary);
        MarkBadDocument done = new()
        {
            Name = name,
            Runs = runs.Count,
            UnitsRemapped = 0,
            UnitsAlreadyRemapped = 0,
            UnitsFailed = 0,
            BlocksUnread = 0,
        };
        foreach (RunText run in runs)
        {
            RemapReport report = await client.RemapAsync(
                new BlockNumber(run.First), new BlockNumber(run.Last),
                BlockRunArguments.ShowOn(output, services.Time), cancellation);
            done = Add(done, report);
            if (report is { Failure: not null, UnitsFailed: 0 })
            {
                // It was ended: by a stop or a suspension.
                break;
            }
        }
        Write(output, done);
        return (int)BlockRunArguments.ExitOf(
            done.UnitsFailed, done.UnitsRemapped + done.UnitsAlreadyRemapped,
            done.BlocksUnread == 0 && done.Failure is null);
    }

    private static async Task<List<RunText>> ReadAsync(
        string name, string path, CancellationToken cancellation)
    {
        if (Directory.Exists(path))
        {
            throw Unread(name, path, "is a directory");
        }
        try
        {
            FileInfo file = new(path);
            if (file.Length > BlockList.BytesMax)
            {
                throw Unusable(name, path, $"it is longer than {BlockList.BytesMax} bytes");
            }
            string text = await File.ReadAllTextAsync(path, cancellation);
            return BlockList.TryParse(text, out string why) ?? throw Unusable(name, path, why);
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw Unread(name, path, "does not exist");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Unread(name, path, $"cannot be read ({error.Message.TrimEnd('.')})");
        }
    }

    /// <summary>All inside the device before anything is moved.</summary>
    private static List<RunText> InBlocks(
        string name, List<RunText> runs, int? listBlock, PrimaryStatus primary)
    {
        int from = listBlock ?? primary.BlockSize;
        long blocks = primary.SizeBytes / primary.BlockSize;
        long most = primary.SizeBytes / Math.Max(1, from);
        if (from < 1)
        {
            throw Unusable(name, "--list-block", "a block has at least one byte");
        }
        List<RunText> inBlocks = [];
        foreach (RunText run in runs)
        {
            long last = run.Last > most ? blocks : (((run.Last + 1) * from) - 1) / primary.BlockSize;
            if (last >= blocks)
            {
                throw new RefusalException(BlockRange.BeyondEnd(
                    name, run.First, run.Last, most, from));
            }
            inBlocks.Add(new RunText(run.First * from / primary.BlockSize, last));
        }
        return inBlocks;
    }

    private static MarkBadDocument Add(MarkBadDocument done, RemapReport report) => done with
    {
        UnitsRemapped = done.UnitsRemapped + report.UnitsRemapped,
        UnitsAlreadyRemapped = done.UnitsAlreadyRemapped + report.UnitsAlreadyRemapped,
        UnitsFailed = done.UnitsFailed + report.UnitsFailed,
        BlocksUnread = done.BlocksUnread + report.BlocksUnread,
        Failure = done.Failure ?? report.Failure,
    };

    private static void Write(CommandOutput output, MarkBadDocument done)
    {
        if (output.IsJson)
        {
            output.Answer(JsonSerializer.Serialize(done, PlainJson.Types.MarkBadDocument));
            return;
        }
        output.Answer($"{done.Name}: {Amounts.Plural(done.Runs, "run")} of bad blocks: "
            + $"{Amounts.Plural(done.UnitsRemapped, "unit")} moved to a spare, "
            + Amounts.Plural(done.UnitsAlreadyRemapped, "was there already", "were there already"));
        if (done.BlocksUnread > 0)
        {
            output.Answer($"{Amounts.Plural(done.BlocksUnread, "block")} did not read: they stay where they "
                + "are, and fail until they read or are written");
        }
        if (done.Failure is not null)
        {
            output.Answer($"{Amounts.Plural(done.UnitsFailed, "unit")} stayed on the main device: "
                + done.Failure);
        }
    }

    private static RefusalException Unread(string name, string path, string why) => new(new Refusal(
        MessageIds.BadArguments,
        ExitCode.Usage,
        name,
        $"{path} {why}: there is no list of bad blocks to go by. Nothing was moved.",
        "Check the path: --list is a file with FIRST or FIRST-LAST a line."));

    private static RefusalException Unusable(string name, string path, string why) => new(new Refusal(
        MessageIds.BadArguments,
        ExitCode.Usage,
        name,
        $"{path}: not a list of bad blocks: {why}. Nothing was moved.",
        "Give a file with FIRST or FIRST-LAST a line, in logical blocks or those of --list-block."));
}
