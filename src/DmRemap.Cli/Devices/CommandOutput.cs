using System;
using System.IO;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Devices;

/// <summary>How one command speaks to its user.</summary>
public sealed class CommandOutput(Terminal terminal, string device, bool isJson, bool assumeYes)
{
    public Terminal Terminal { get; } = terminal;

    /// <summary>Standard output holds one JSON document and nothing else.</summary>
    public bool IsJson { get; } = isJson;

    /// <summary>A line of the answer on standard output, out at once.</summary>
    public void Answer(string line)
    {
        Terminal.Output.WriteLine(line);
        Terminal.Output.Flush();
    }

    /// <summary>
    /// A line beside the answer: progress, a warning, what is waited for. Where it cannot be written, what it
    /// tells of goes on unsaid.
    /// </summary>
    public void Note(string line)
    {
        try
        {
            Terminal.Error.WriteLine(line);
            Terminal.Error.Flush();
        }
        catch (IOException)
        {
            // A log on a full disk must not end who serves.
        }
    }

    /// <summary>Ask before something that cannot be undone. Returns when the answer is yes.</summary>
    /// <param name="question">One sentence without the question's "Continue?".</param>
    /// <exception cref="RefusalException">Exit 2: nobody can be asked; exit 1: the answer was no.</exception>
    public void RequireYes(string question)
    {
        if (assumeYes)
        {
            return;
        }
        if (!Terminal.CanAsk)
        {
            throw new RefusalException(new Refusal(
                MessageIds.NeedsYes,
                ExitCode.Usage,
                device,
                $"{question} This needs a confirmation, and there is no terminal to ask at.",
                "Repeat the command with --yes if that is what you want."));
        }
        Terminal.Error.Write($"{question} Continue? [y/N] ");
        Terminal.Error.Flush();
        string answer = Terminal.Input.ReadLine()?.Trim() ?? "";
        bool isYes = answer.Equals("y", StringComparison.OrdinalIgnoreCase)
            || answer.Equals("yes", StringComparison.OrdinalIgnoreCase);
        if (!isYes)
        {
            throw new RefusalException(new Refusal(
                MessageIds.Declined,
                ExitCode.Failed,
                device,
                "Not confirmed: nothing was done.",
                "Answer y, or repeat the command with --yes."));
        }
    }
}
