using System;
using System.IO;

namespace DmRemap.Cli.Devices;

/// <summary>Where a command reads and writes: the process's own streams, or a test's.</summary>
public sealed record Terminal
{
    /// <summary>What is asked for: the only thing on standard output.</summary>
    public required TextWriter Output { get; init; }

    /// <summary>Errors, questions, progress.</summary>
    public required TextWriter Error { get; init; }

    public required TextReader Input { get; init; }

    /// <summary>A person can answer: input and error stream are a terminal.</summary>
    public bool CanAsk { get; init; }

    public bool OutputIsTerminal { get; init; }

    public bool ErrorIsTerminal { get; init; }

    /// <summary>Columns for text; 80 where nothing is known.</summary>
    public int Width { get; init; } = 80;

    /// <summary>Colours on standard output: a terminal, and NO_COLOR is unset or empty.</summary>
    public bool HasColour { get; init; }

    /// <param name="isOutputOfClient">
    /// A client has started this process with sockets, and may write its own data to the standard output that
    /// both have (`nbdcopy -- [ dmremap serve NAME ] -`): what would go there goes to standard error.
    /// </param>
    public static Terminal OfProcess(bool isOutputOfClient)
    {
        bool isTerminal = isOutputOfClient ? !Console.IsErrorRedirected : !Console.IsOutputRedirected;
        return new Terminal
        {
            Output = new AnswerWriter(isOutputOfClient ? Console.Error : Console.Out),
            Error = Console.Error,
            Input = Console.In,
            CanAsk = !Console.IsInputRedirected && !Console.IsErrorRedirected,
            OutputIsTerminal = isTerminal,
            ErrorIsTerminal = !Console.IsErrorRedirected,
            Width = isTerminal && !isOutputOfClient ? Math.Clamp(Console.WindowWidth, 80, 120) : 80,
            HasColour = isTerminal
                && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"))
                && Environment.GetEnvironmentVariable("TERM") is not ("dumb" or null),
        };
    }
}
