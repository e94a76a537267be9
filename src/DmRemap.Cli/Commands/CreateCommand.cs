using System.CommandLine;
using System.CommandLine.Parsing;
using System.Numerics;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Cli.Parsing;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

internal sealed class CreateCommand
{
    /// <summary>A unit is copied in one slice.</summary>
    private const int UnitBytesMax = Limits.SliceBytes;

    private readonly Argument<string> _name = CommonOptions.Name();
    private readonly Option<bool> _yes = CommonOptions.Yes();

    private readonly Option<string> _main = new("--main")
    {
        Description = "The main device: the disk, or NBD export, to keep in service. It is not changed. For "
            + "measuring also memory:SIZE.",
        HelpName = "PATH|URI",
        Required = true,
    };

    private readonly Option<string[]> _spares = new("--spare")
    {
        Description = "A device, file or NBD export that lends units, and is overwritten. Up to 8 times.",
        HelpName = "PATH|URI",
        Required = true,
    };

    private readonly Option<long?> _spareSize = new("--spare-size")
    {
        Description = "Make each spare as a new file of this size, at least 16M.",
        HelpName = "SIZE",
        CustomParser = ParseSpareSize,
    };

    private readonly Option<int?> _unit = new("--unit")
    {
        Description = "What one remap moves: a power of two, 4K to 128K, at most 64 blocks.",
        HelpName = "BYTES",
        CustomParser = ParseUnit,
    };

    private readonly Option<int?> _blockSize = new("--block-size")
    {
        Description = "The logical block of an image file: 512 (default) or 4096.",
        HelpName = "512|4096",
        CustomParser = ParseBlockSize,
    };

    private readonly Option<int> _copies = new("--copies")
    {
        Description = "Spares that hold each unit that has moved: 1 (default), or 2, for spares that may "
            + "fail themselves. For good.",
        HelpName = "1|2",
        DefaultValueFactory = _ => 1,
        CustomParser = ParseCopies,
    };

    private readonly Option<bool> _force = new("--force")
    {
        Description = "Use a spare that carries something else, or lies on the main device's disk.",
    };

    private CreateCommand()
    {
        _spares.Validators.Add(CheckSpareCount);
    }

    public static Command Build(CliServices services, CommonOptions common)
    {
        CreateCommand parts = new();
        Command command = new("create", "Make a device of a main device and its spares.")
        {
            parts._name, parts._main, parts._spares, parts._spareSize, parts._unit, parts._blockSize,
            parts._copies, parts._force, parts._yes,
        };
        command.Validators.Add(parts.CheckUnitBlocks);
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private static long? ParseSpareSize(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!SizeText.TryParse(text, out long bytes))
        {
            result.AddError($"--spare-size {text}: {SizeText.Problem(text)}.");
            return null;
        }
        if (bytes < Limits.SpareBytesMin)
        {
            result.AddError(
                $"--spare-size {text}: a spare has at least {Amounts.Bytes(Limits.SpareBytesMin)}.");
        }
        return bytes;
    }

    private static int? ParseUnit(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        bool isSize = SizeText.TryParse(text, out long bytes);
        if (!isSize || bytes < Limits.UnitBytesMin || bytes > UnitBytesMax || !BitOperations.IsPow2(bytes))
        {
            result.AddError(
                $"--unit {text}: expected a power of two from {Limits.UnitBytesMin} to {UnitBytesMax}.");
            return null;
        }
        return (int)bytes;
    }

    private static int? ParseBlockSize(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (text is not ("512" or "4096"))
        {
            result.AddError($"--block-size {text}: expected 512 or 4096.");
            return null;
        }
        return text == "512" ? 512 : 4096;
    }

    private static int ParseCopies(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (text is not ("1" or "2"))
        {
            result.AddError($"--copies {text}: expected 1 or 2.");
            return 1;
        }
        return text == "2" ? 2 : 1;
    }

    private static void CheckSpareCount(OptionResult result)
    {
        int count = result.Tokens.Count;
        if (count > Limits.SparesMax)
        {
            result.AddError($"{count} spares: a device has 1 to {Limits.SparesMax}.");
        }
    }

    /// <summary>
    /// Only what the arguments alone decide: a disk's own block size is known when it is open.
    /// </summary>
    private void CheckUnitBlocks(CommandResult result)
    {
        bool areGood = result.GetResult(_unit) is OptionResult unit
            && result.GetResult(_blockSize) is OptionResult size
            && unit.Tokens.Count == 1
            && size.Tokens.Count == 1
            && SizeText.TryParse(unit.Tokens[0].Value, out _)
            && size.Tokens[0].Value is "512" or "4096";
        if (!areGood)
        {
            return;
        }
        int? unitBytes = result.GetValue(_unit);
        int? blockBytes = result.GetValue(_blockSize);
        if (unitBytes / blockBytes > Limits.UnitBlocksMax)
        {
            result.AddError(
                $"--unit {unitBytes}: a unit has at most {Limits.UnitBlocksMax} blocks of {blockBytes}.");
        }
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        CreateOptions options = new()
        {
            Name = parsed.GetRequiredValue(_name),
            MainPath = parsed.GetRequiredValue(_main),
            SparePaths = parsed.GetRequiredValue(_spares),
            SpareBytes = parsed.GetValue(_spareSize),
            UnitBytes = parsed.GetValue(_unit),
            BlockBytes = parsed.GetValue(_blockSize),
            KeepsCopies = parsed.GetValue(_copies) == 2,
            Force = parsed.GetValue(_force),
        };
        DeviceName.Require(options.Name);
        CommandOutput output = common.OutputFor(services, parsed, options.Name, _yes);
        using Interruption interruption = new(cancellation);
        CreateReport report = await services.Creator.CreateAsync(options, output, interruption.Token);
        Write(output, report);
        return (int)ExitCode.Done;
    }

    private static void Write(CommandOutput output, CreateReport report)
    {
        if (output.IsJson)
        {
            output.Answer(JsonSerializer.Serialize(report, PlainJson.Types.CreateReport));
            return;
        }
        output.Answer(
            $"{report.Name}: created, {Amounts.Bytes(report.SizeBytes)} in blocks of {report.BlockSize} "
            + $"bytes, units of {report.UnitBytes} bytes");
        output.Answer($"  main     {report.MainPath}");
        for (int i = 0; i < report.Spares.Count; i++)
        {
            CreatedSpare spare = report.Spares[i];
            output.Answer($"  spare {i}  {spare.Path}, {Amounts.Plural(spare.Units, "unit")} "
                + $"({Amounts.Bytes(spare.Units * report.UnitBytes)})");
        }
        foreach (string warning in report.Warnings)
        {
            output.Note($"  warning: {warning}");
        }
        output.Answer($"  next: dmremap serve {report.Name}    # over NBD");
        output.Answer(
            $"  or:   dmremap attach {report.Name}   # as a block device of this machine; needs root");
    }
}
