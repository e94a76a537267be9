using System;
using System.IO;
using System.Text;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Devices;

/// <summary>
/// Standard output, where a write that fails (a full disk) is a refusal as any other, and no bug.
/// </summary>
internal sealed class AnswerWriter(TextWriter output) : TextWriter
{
    public override Encoding Encoding => output.Encoding;

    public override void Write(char value) => Try(() => output.Write(value));

    public override void Write(string? value) => Try(() => output.Write(value));

    public override void Write(char[] buffer, int index, int count) =>
        Try(() => output.Write(buffer, index, count));

    public override void WriteLine(string? value) => Try(() => output.WriteLine(value));

    public override void Flush() => Try(output.Flush);

    private static void Try(Action write)
    {
        try
        {
            write();
        }
        catch (IOException error)
        {
            throw new RefusalException(
                new Refusal(
                    MessageIds.OutputFailed,
                    ExitCode.Failed,
                    "-",
                    $"The answer could not be written to standard output: {error.Message.TrimEnd('.')}.",
                    "Send it where there is room. What the command does beside its answer may be done: "
                        + "`dmremap status` shows how things are."),
                error);
        }
    }
}
