using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>How a program ended, and everything it said.</summary>
internal sealed record CommandResult(string CommandLine, int ExitCode, string Output, string Error)
{
    /// <summary>
    /// Fails the test, showing all that the program said, unless it ended with one of these.
    /// </summary>
    public CommandResult Expect(params int[] exitCodes)
    {
        Assert.True(Array.IndexOf(exitCodes, ExitCode) >= 0,
            $"expected {string.Join(" or ", exitCodes)}: {this}");
        return this;
    }

    public override string ToString() =>
        $"`{CommandLine}` ended with {ExitCode}\n--- stdout\n{Output}--- stderr\n{Error}---";
}

/// <summary>Runs a program to its end.</summary>
internal static class Command
{
    public static readonly TimeSpan TimeMax = TimeSpan.FromSeconds(60);

    /// <summary>Administrators' programs are not on everybody's path.</summary>
    public static string SearchPath { get; } =
        (Environment.GetEnvironmentVariable("PATH") ?? "") + ":/usr/local/sbin:/usr/sbin:/sbin";

    public static Task<CommandResult> RunAsync(string program, params string[] arguments) =>
        RunAsync(program, arguments, null);

    public static async Task<CommandResult> RunAsync(
        string program, IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string>? environment)
    {
        using Process process = new() { StartInfo = StartInfo(program, arguments, environment) };
        process.Start();
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync(CancellationToken.None);
        Task<string> error = process.StandardError.ReadToEndAsync(CancellationToken.None);
        using CancellationTokenSource deadline = new(TimeMax);
        string line = program + " " + string.Join(' ', arguments);
        try
        {
            await process.WaitForExitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync(CancellationToken.None);
            Assert.Fail(
                $"`{line}` did not end within {TimeMax.TotalSeconds} s\n{await output}\n{await error}");
        }

        return new CommandResult(line, process.ExitCode, await output, await error);
    }

    /// <summary>A signal by its name ("STOP"), to one process.</summary>
    public static async Task SignalAsync(string signal, int processId)
    {
        string id = processId.ToString(CultureInfo.InvariantCulture);
        (await RunAsync("bash", "-c", "kill -\"$1\" \"$2\"", "_", signal, id)).Expect(0);
    }

    public static ProcessStartInfo StartInfo(
        string program, IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string>? environment)
    {
        ProcessStartInfo info = new(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        info.Environment["PATH"] = SearchPath;
        info.Environment["LC_ALL"] = "C";
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
        {
            info.Environment[name] = value;
        }

        return info;
    }
}
