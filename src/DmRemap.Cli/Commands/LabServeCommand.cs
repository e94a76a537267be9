using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Linq;
using System.Net;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Parsing;
using DmRemap.Control.Registry;
using DmRemap.Core.Faults.Injection;
using DmRemap.Core.Faults.Injection.Models;
using DmRemap.Linux.Loop;

namespace DmRemap.Cli.Commands;

internal sealed class LabServeCommand
{
    private const double ClockMax = 1e7;
    private const double DaysMax = 365;

    private readonly Argument<string> _name = LabCommand.Name();

    private readonly Option<long?> _size = new("--size")
    {
        Description = "How large it is. A sparse file, which takes the room of what is written.",
        HelpName = "BYTES",
        CustomParser = ParseSize,
    };

    private readonly Option<string?> _file = new("--file")
    {
        Description = "The file with its content, which stays; made, with --size, if it is not there.",
        HelpName = "PATH",
    };

    private readonly Option<string?> _in = new("--in")
    {
        Description = "Where the content lies without --file, until it ends; otherwise the run directory.",
        HelpName = "DIR",
    };

    private readonly Option<int> _block = Power("--block-size", "A logical block: 512 or 4096.", 512);

    private readonly Option<int> _physical = Power("--physical", "A physical sector: 512 or 4096.", 4096);

    private readonly Option<FaultModel?> _model = new("--model")
    {
        Description = "Faults as such a disk has them in a year (docs/fault-models.md).",
        HelpName = string.Join('|', FaultModel.All.Select(model => model.Name)),
        CustomParser = ParseModel,
    };

    private readonly Option<long> _seed = new("--seed")
    {
        Description = "Which disk of its kind; the same number is the same disk (1 unless given).",
        HelpName = "N",
        CustomParser = result => ParseNumber(result, long.MaxValue),
        DefaultValueFactory = _ => 1,
    };

    private readonly Option<bool> _any = new("--any-disk")
    {
        Description = "With --model: a disk of which most have no bad sector at all, as the model says.",
    };

    private readonly Option<double?> _age = new("--age")
    {
        Description = "With --model: how old it is at the start; otherwise a year, or 0 with --clock.",
        HelpName = "DAYS",
        CustomParser = result => ParseReal(result, DaysMax),
    };

    private readonly Option<double?> _clock = new("--clock")
    {
        Description = "With --model: it ages so many times faster than we do; 105120 is a year in 5 minutes.",
        HelpName = "FACTOR",
        CustomParser = result => ParseReal(result, ClockMax),
    };

    private readonly Option<double?> _delays = new("--delays")
    {
        Description = "With --model: how long the drive takes over errors, times this (default 1).",
        HelpName = "FACTOR",
        CustomParser = result => ParseReal(result, 100),
    };

    private readonly Option<string[]> _bad = Files(
        "--bad", "Lines `FIRST[-LAST] [KIND] [tries=K] [delay=MS] [lasting]`, as of `lab list`.");

    private readonly Option<string[]> _mapfile = Files("--mapfile", "A mapfile of ddrescue.");

    private readonly Option<string[]> _badblocks = Files("--badblocks", "A list of `badblocks -o`.");

    private readonly Option<int> _badblocksSize = new("--badblocks-size")
    {
        Description = "The block size that badblocks had (-b; default 1024).",
        HelpName = "BYTES",
        CustomParser = result => (int)ParseNumber(result, 1 << 20),
        DefaultValueFactory = _ => 1024,
    };

    private readonly Option<long> _badCount = new("--bad-count")
    {
        Description = "So many bad physical sectors, anywhere.",
        HelpName = "N",
        CustomParser = result => ParseNumber(result, DefectMap.DefectsMax),
    };

    private readonly Option<double?> _badPercent = new("--bad-percent")
    {
        Description = "So much of all physical sectors, anywhere.",
        HelpName = "P",
        CustomParser = result => ParseReal(result, 100),
    };

    private readonly Option<DefectKind> _badKind = new("--bad-kind")
    {
        Description = "What is wrong with those of --bad-count and --bad-percent (default pending).",
        HelpName = string.Join('|', DefectKinds.Names),
        CustomParser = ParseKind,
        DefaultValueFactory = _ => DefectKind.Pending,
    };

    private readonly Option<string?> _faults = new("--faults")
    {
        Description = "A file of rules, as of `serve --faults`.",
        HelpName = "FILE",
    };

    private readonly Option<string?> _socket = new("--socket")
    {
        Description = "The NBD socket; otherwise lab/NAME.nbd in the run directory.",
        HelpName = "PATH",
    };

    private readonly Option<IPEndPoint?> _listen = new("--listen")
    {
        Description = "Serve NBD on this loopback address too; port 0 takes a free one.",
        HelpName = "HOST:PORT",
        CustomParser = ServeCommand.ParseListen,
    };

    private readonly Option<LoopBackend> _backend = new("--backend")
    {
        Description = "How I/O reaches the kernel; otherwise io_uring where it is permitted, else epoll.",
        HelpName = "io_uring|epoll",
        CustomParser = ServeCommand.ParseBackend,
    };

    public static Command Build(CliServices services, CommonOptions common)
    {
        LabServeCommand parts = new();
        Command command = new(
            "serve", "Serve a disk that fails on purpose over NBD, in the foreground, to any program.")
        {
            parts._name, parts._size, parts._file, parts._in, parts._model, parts._seed, parts._clock,
            parts._age, parts._delays, parts._any, parts._bad, parts._mapfile, parts._badblocks,
            parts._badblocksSize, parts._badCount, parts._badPercent, parts._badKind, parts._faults,
            parts._block, parts._physical, parts._socket, parts._listen, parts._backend,
        };
        command.Validators.Add(parts.CheckModel);
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private static Option<int> Power(string name, string description, int value) => new(name)
    {
        Description = description,
        HelpName = "512|4096",
        CustomParser = result => ParsePower(result, value),
        DefaultValueFactory = _ => value,
    };

    private static Option<string[]> Files(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "FILE",
    };

    private static long? ParseSize(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!SizeText.TryParse(text, out long bytes))
        {
            result.AddError($"--size {text}: {SizeText.Problem(text)}.");
        }
        return bytes;
    }

    private static int ParsePower(ArgumentResult result, int value)
    {
        switch (result.Tokens[0].Value)
        {
            case "512":
                return 512;
            case "4096":
                return 4096;
            default:
                result.AddError($"{result.Tokens[0].Value}: expected 512 or 4096.");
                return value;
        }
    }

    private static FaultModel? ParseModel(ArgumentResult result)
    {
        FaultModel? model = FaultModel.Find(result.Tokens[0].Value);
        if (model is null)
        {
            string known = string.Join(", ", FaultModel.All.Select(each => each.Name));
            result.AddError($"--model {result.Tokens[0].Value}: expected one of {known}.");
        }
        return model;
    }

    private static DefectKind ParseKind(ArgumentResult result)
    {
        if (!DefectKinds.TryParse(result.Tokens[0].Value, out DefectKind kind))
        {
            string known = string.Join(", ", DefectKinds.Names);
            result.AddError($"--bad-kind {result.Tokens[0].Value}: expected one of {known}.");
        }
        return kind;
    }

    private static long ParseNumber(ArgumentResult result, long most)
    {
        string text = result.Tokens[0].Value;
        bool isNumber = long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number);
        if (!isNumber || number > most)
        {
            result.AddError($"{text}: expected a number, 0 to {most}.");
        }
        return number;
    }

    private static double? ParseReal(ArgumentResult result, double most)
    {
        string text = result.Tokens[0].Value;
        bool isNumber = double.TryParse(
            text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number);
        if (!isNumber || !(number <= most))
        {
            result.AddError($"{text}: expected a number, 0 to {most}.");
        }
        return number;
    }

    private void CheckModel(CommandResult result)
    {
        bool hasModel = result.GetResult(_model) is { Implicit: false };
        bool asksForOne = result.GetResult(_clock) is { Implicit: false }
            || result.GetResult(_age) is { Implicit: false }
            || result.GetResult(_delays) is { Implicit: false }
            || result.GetResult(_any) is { Implicit: false };
        if (asksForOne && !hasModel)
        {
            result.AddError("lab serve: --clock, --age, --delays and --any-disk go with --model.");
        }
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        LabOptions options = new()
        {
            Name = parsed.GetRequiredValue(_name),
            SizeBytes = parsed.GetValue(_size),
            FilePath = parsed.GetValue(_file),
            Folder = parsed.GetValue(_in),
            BlockBytes = parsed.GetValue(_block),
            PhysicalBytes = parsed.GetValue(_physical),
            SocketPath = parsed.GetValue(_socket),
            Listen = parsed.GetValue(_listen),
            Backend = parsed.GetValue(_backend),
            Seed = parsed.GetValue(_seed),
            Model = parsed.GetValue(_model),
            Choice = parsed.GetValue(_any) ? DiskChoice.Any : DiskChoice.Affected,
            AgeDays = parsed.GetValue(_age),
            Clock = parsed.GetValue(_clock) ?? 0,
            Delays = parsed.GetValue(_delays) ?? 1,
            BadPaths = parsed.GetValue(_bad) ?? [],
            MapfilePaths = parsed.GetValue(_mapfile) ?? [],
            BadblocksPaths = parsed.GetValue(_badblocks) ?? [],
            BadblocksBytes = parsed.GetValue(_badblocksSize),
            BadCount = parsed.GetValue(_badCount),
            BadPercent = parsed.GetValue(_badPercent) ?? 0,
            BadKind = parsed.GetValue(_badKind),
            FaultsPath = parsed.GetValue(_faults),
        };
        DeviceName.Require(options.Name);
        ServeCommand.RequireLoopback(options.Name, options.Listen);
        CommandOutput output = common.OutputFor(services, parsed, options.Name);
        return (int)await services.Lab.ServeAsync(options, output, cancellation);
    }
}
