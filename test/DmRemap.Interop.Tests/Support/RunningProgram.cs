using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>A program that runs beside the test: what it says is kept, and it is always reaped.</summary>
internal sealed class RunningProgram : IAsyncDisposable
{
    private readonly Process _process;
    private readonly string _commandLine;
    private readonly Lock _gate = new();
    private readonly List<string> _lines = [];
    private TaskCompletionSource _changed = NewSignal();

    private RunningProgram(Process process, string commandLine)
    {
        _process = process;
        _commandLine = commandLine;
    }

    public int Id => _process.Id;

    public bool HasEnded => _process.HasExited;

    /// <summary>Everything said so far, stderr marked with "! ".</summary>
    public string Said
    {
        get
        {
            lock (_gate)
            {
                return $"`{_commandLine}` (process {_process.Id}) said:\n{string.Join('\n', _lines)}\n---";
            }
        }
    }

    public static RunningProgram Start(
        string program,
        IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string>? environment = null)
    {
        Process process = new()
        {
            // `env` makes way for the program. A shell that runs the tests in the background lets them ignore
            // SIGINT, and the program would inherit that.
            StartInfo = Command.StartInfo(
                "env", ["--default-signal=INT", program, .. arguments], environment),
            EnableRaisingEvents = true,
        };
        RunningProgram running = new(process, program + " " + string.Join(' ', arguments));
        process.OutputDataReceived += (_, line) => running.Add("", line.Data);
        process.ErrorDataReceived += (_, line) => running.Add("! ", line.Data);
        process.Exited += (_, _) => running.Signal();
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return running;
    }

    /// <summary>
    /// The first line, on either stream, that satisfies the condition. Fails when the program ends first.
    /// </summary>
    public async Task<string> WaitForLineAsync(Func<string, bool> condition, TimeSpan timeMax)
    {
        Stopwatch elapsed = Stopwatch.StartNew();
        while (true)
        {
            Task changed;
            bool ended = _process.HasExited;
            lock (_gate)
            {
                string? found = _lines.Find(line => condition(line.TrimStart('!', ' ')));
                if (found is not null)
                {
                    return found.TrimStart('!', ' ');
                }

                changed = _changed.Task;
            }

            TimeSpan left = timeMax - elapsed.Elapsed;
            if (ended || left <= TimeSpan.Zero)
            {
                // The last lines of a program that has ended may still be on their way.
                await DrainAsync(ended);
                Assert.Fail((ended ? "the program ended before the line came: " : "no such line came: ")
                    + Said);
            }

            await Task.WhenAny(changed, Task.Delay(left));
        }
    }

    /// <summary>Waits for the end, which must come in time, and gives the exit code.</summary>
    public async Task<int> WaitForEndAsync(TimeSpan timeMax)
    {
        using CancellationTokenSource deadline = new(timeMax);
        try
        {
            await _process.WaitForExitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"did not end within {timeMax.TotalSeconds} s: {Said}");
        }

        return _process.ExitCode;
    }

    /// <summary>
    /// SIGKILL, now. Does not wait: a process may outlive it while the kernel owns its buffers.
    /// </summary>
    public void KillNow() => _process.Kill();

    /// <summary>A line for its standard input.</summary>
    public async Task TellAsync(string line)
    {
        await _process.StandardInput.WriteLineAsync(line);
        await _process.StandardInput.FlushAsync();
    }

    public Task SignalAsync(string signal) => Command.SignalAsync(signal, _process.Id);

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            // fio works in a child, which would keep the pipes open, and live on.
            _process.Kill(entireProcessTree: true);
            await WaitForEndAsync(TimeSpan.FromSeconds(30));
        }

        _process.Dispose();
    }

    private static TaskCompletionSource NewSignal() =>
        new(TaskCreationOptions.RunContinuationsAsynchronously);

    private async Task DrainAsync(bool ended)
    {
        if (ended)
        {
            await WaitForEndAsync(TimeSpan.FromSeconds(10));
        }
    }

    private void Add(string mark, string? line)
    {
        if (line is not null)
        {
            lock (_gate)
            {
                _lines.Add(mark + line);
            }

            Signal();
        }
    }

    private void Signal()
    {
        TaskCompletionSource signal;
        lock (_gate)
        {
            signal = _changed;
            _changed = NewSignal();
        }

        signal.TrySetResult();
    }
}
