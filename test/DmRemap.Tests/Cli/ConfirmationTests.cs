using System;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>A command that asks never waits where nobody can answer.</summary>
public sealed class ConfirmationTests : IDisposable
{
    private readonly CliRun _cli = new();

    public ConfirmationTests() =>
        _cli.Parts.Before = output => output.RequireYes("The spare is overwritten.");

    public void Dispose() => _cli.Dispose();

    [Fact]
    public async Task Without_a_terminal_and_without_yes_it_exits_2_and_says_so()
    {
        CliResult result = await CreateAsync();
        Assert.Equal(2, result.ExitCode);
        Assert.Contains("--yes", result.Error, StringComparison.Ordinal);
        Assert.Contains("The spare is overwritten.", result.Error, StringComparison.Ordinal);
        Assert.Null(_cli.Parts.Created);
    }

    [Fact]
    public async Task With_yes_nothing_is_asked()
    {
        CliResult result = await CreateAsync("--yes");
        Assert.Equal(0, result.ExitCode);
        Assert.DoesNotContain("?", result.Error, StringComparison.Ordinal);
        Assert.NotNull(_cli.Parts.Created);
    }

    [Theory]
    [InlineData("y\n", 0)]
    [InlineData("YES\n", 0)]
    [InlineData("n\n", 1)]
    [InlineData("\n", 1)]
    [InlineData("", 1)]
    [InlineData("yep\n", 1)]
    public async Task At_a_terminal_only_yes_is_yes(string typed, int exitCode)
    {
        _cli.Typed = typed;
        CliResult result = await CreateAsync();
        Assert.Equal(exitCode, result.ExitCode);
        Assert.Equal(exitCode == 0, _cli.Parts.Created is not null);
    }

    private Task<CliResult> CreateAsync(params string[] more) =>
        _cli.RunAsync(["create", "disk1", "--main", "m", "--spare", "s", .. more]);
}
