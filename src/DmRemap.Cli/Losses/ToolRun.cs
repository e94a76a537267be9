using System;
using System.Collections.Generic;
using System.ComponentModel;
using System.Diagnostics;
using System.IO;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

namespace DmRemap.Cli.Losses;

/// <summary>How a tool of this machine answered. Its output is whatever a disk made it say.</summary>
/// <param name="ExitCode">Null: it gave no answer; Why says it.</param>
/// <param name="Output">Standard output, cut at OutputCharsMax.</param>
/// <param name="Why">In words, when there is no answer, or its first line on standard error.</param>
internal sealed record ToolAnswer(int? ExitCode, string Output, string Why);

/// <summary>Runs a tool without a shell, in the C locale, for so long and no longer.</summary>
internal sealed class ToolRun(TimeSpan timeLimit, TimeProvider time)
{
    public const int OutputCharsMax = 16 << 20;

    private static readonly string[] s_places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

    private readonly long _began = time.GetTimestamp();

    /// <summary>There is no time left for anything.</summary>
    public bool IsOver => Left <= TimeSpan.Zero;

    /// <summary>Why something was not done when it was over.</summary>
    public string WhyCut => $"not all was looked up in the {timeLimit.TotalSeconds:0} s for all of it";

    /// <summary>Of the time for everything.</summary>
    private TimeSpan Left => timeLimit - time.GetElapsedTime(_began);

    public async Task<ToolAnswer> RunAsync(string program, params IReadOnlyList<string> arguments)
    {
        if (Find(program) is not string path)
        {
            return new ToolAnswer(null, "", $"{program} is not installed");
        }
        if (IsOver)
        {
            return NoAnswer(program);
        }
        ProcessStartInfo start = new(path)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }
        start.Environment["LC_ALL"] = "C";
        start.Environment["PAGER"] = "cat";
        start.Environment["DEBUGFS_PAGER"] = "cat";
        try
        {
            using Process process = new() { StartInfo = start };
            process.Start();
            process.StandardInput.Close();
            return await AnswerAsync(process, program);
        }
        catch (Win32Exception error)
        {
            return new ToolAnswer(null, "", $"{program} cannot be run: {error.Message}");
        }
    }

    private async Task<ToolAnswer> AnswerAsync(Process process, string program)
    {
        using CancellationTokenSource late = new(Left, time);
        try
        {
            Task<string> output = ReadAsync(process.StandardOutput, late.Token);
            Task<string> complaints = ReadAsync(process.StandardError, late.Token);
            await Task.WhenAll(output, complaints);
            await process.WaitForExitAsync(late.Token);
            return new ToolAnswer(process.ExitCode, await output, FirstLine(await complaints, program));
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            return NoAnswer(program);
        }
    }

    private ToolAnswer NoAnswer(string program) =>
        new(null, "", $"{program} gave no answer in the {timeLimit.TotalSeconds:0} s for all of it");

    /// <summary>To the end, so that the tool never waits for us; what is too much is dropped.</summary>
    private static async Task<string> ReadAsync(StreamReader reader, CancellationToken cancellation)
    {
        StringBuilder all = new();
        char[] buffer = new char[8192];
        int count;
        while ((count = await reader.ReadAsync(buffer, cancellation)) > 0)
        {
            all.Append(buffer, 0, Math.Min(count, OutputCharsMax - all.Length));
        }
        return all.ToString();
    }

    private static string? Find(string program)
    {
        foreach (string place in s_places)
        {
            string path = Path.Combine(place, program);
            if (File.Exists(path))
            {
                return path;
            }
        }
        return null;
    }

    /// <summary>The first that is not debugfs saying its own version.</summary>
    private static string FirstLine(string complaints, string program)
    {
        foreach (string line in complaints.Split('\n'))
        {
            if (line.Length > 0 && !line.StartsWith(program + " 1.", StringComparison.Ordinal))
            {
                return PlainText.Of(line);
            }
        }
        return "";
    }
}
