using System;
using System.IO;
using System.Text;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>Standard output that takes nothing, as a file on a full disk.</summary>
public sealed class FullOutputTests : IDisposable
{
    private readonly CliRun _cli = new();

    public void Dispose() => _cli.Dispose();

    [Theory]
    [InlineData("list")]
    [InlineData("list --json")]
    [InlineData("status --json")]
    [InlineData("--help")]
    [InlineData("--version")]
    [InlineData("status nobody --json")]
    public async Task Answer_that_cannot_be_written_is_said_and_is_no_bug(string line)
    {
        await using FullWriter full = new();
        await using AnswerWriter output = new(full);
        _cli.Output = output;
        _cli.Register("disk1");
        CliResult result = await _cli.RunAsync(line.Split(' '));
        bool isRefused = line.Contains("nobody", StringComparison.Ordinal);
        Assert.Equal(isRefused ? 3 : 1, result.ExitCode);
        Assert.Contains(
            isRefused ? "[DMR-REGISTRY-NO-SUCH-DEVICE]" : "[DMR-OUTPUT-FAILED]", result.Error,
            StringComparison.Ordinal);
        Assert.DoesNotContain("DMR-INTERNAL", result.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Note_that_cannot_be_written_ends_nobody()
    {
        using FullWriter full = new();
        using StringReader input = new("");
        Terminal terminal = new() { Output = full, Error = full, Input = input };
        new CommandOutput(terminal, "disk1", isJson: false, assumeYes: false).Note("news");
        Assert.Equal(1, full.Tries);
    }

    private sealed class FullWriter : TextWriter
    {
        public int Tries { get; private set; }

        public override Encoding Encoding => Encoding.UTF8;

        public override void Write(char value)
        {
            Tries++;
            throw new IOException("No space left on device");
        }
    }
}
