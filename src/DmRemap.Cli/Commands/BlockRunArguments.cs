using System;
using System.CommandLine;
using System.CommandLine.Parsing;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Cli.Parsing;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

/// <summary>What the commands that work on blocks of a running device have in common.</summary>
internal sealed class BlockRunArguments(string whatBytesMean, ArgumentArity arity)
{
    private readonly Argument<string> _name = CommonOptions.Name();

    private readonly Argument<RunText?> _run = new("FIRST[-LAST]")
    {
        Description = "Logical blocks of the exported device, both ends included.",
        CustomParser = ParseRun,
        Arity = arity,
    };

    private readonly Option<bool> _bytes = new("--bytes")
    {
        Description = $"FIRST and LAST are bytes; every block that they touch {whatBytesMean}.",
    };

    public void AddTo(Command command)
    {
        command.Add(_name);
        command.Add(_run);
        command.Add(_bytes);
    }

    public string NameOf(ParseResult parsed)
    {
        string name = parsed.GetRequiredValue(_name);
        DeviceName.Require(name);
        return name;
    }

    /// <summary>In blocks; without FIRST, the whole device.</summary>
    public async Task<RunText> BlocksAsync(
        ParseResult parsed, ControlClient client, CancellationToken cancellation)
    {
        RunText? given = parsed.GetValue(_run);
        if (given is RunText blocks && !parsed.GetValue(_bytes))
        {
            return blocks;
        }
        PrimaryStatus primary = (await client.GetStatusAsync(cancellation)).Primary;
        return given is RunText bytes
            ? bytes.ToBlocks(primary.BlockSize)
            : new RunText(0, (primary.SizeBytes / primary.BlockSize) - 1);
    }

    /// <summary>On a terminal: how far it is, how fast, and how long it will take.</summary>
    public static Action<RemapProgress> ShowOn(CommandOutput output, TimeProvider time)
    {
        long began = time.GetTimestamp();
        return step =>
        {
            if (!output.Terminal.ErrorIsTerminal)
            {
                return;
            }
            double seconds = time.GetElapsedTime(began).TotalSeconds;
            double rate = seconds > 0 ? step.UnitsDone / seconds : 0;
            long rest = step.UnitsTotal - step.UnitsDone;
            string left = rate > 0 ? Amounts.Time((long)(rest / rate)) : "unknown";
            output.Note(
                $"{step.UnitsDone} of {Amounts.Plural(step.UnitsTotal, "unit")}, {rate:0} units/s, time "
                    + $"left {left}");
        };
    }

    /// <param name="failed">Units, or what else is counted, that were asked for and not done.</param>
    /// <param name="done">Those that were, or had been before.</param>
    /// <param name="isWhole">Nothing was left out for another reason either.</param>
    public static ExitCode ExitOf(long failed, long done, bool isWhole) =>
        failed > 0 && done == 0 ? ExitCode.Failed
        : failed == 0 && isWhole ? ExitCode.Done
        : ExitCode.DoneDegraded;

    private static RunText? ParseRun(ArgumentResult result)
    {
        if (result.Tokens.Count == 0)
        {
            return null;
        }
        string text = result.Tokens[0].Value;
        if (!RunText.TryParse(text, out RunText run))
        {
            result.AddError($"{text}: expected {RunText.Form}.");
        }
        return run;
    }
}
