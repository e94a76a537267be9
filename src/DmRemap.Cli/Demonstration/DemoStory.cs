using System;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;

namespace DmRemap.Cli.Demonstration;

/// <summary>
/// What the demonstration tells its viewer: steps, live numbers on a terminal, and the end.
/// </summary>
internal sealed class DemoStory(CommandOutput output, DemoScene scene, TimeProvider time)
{
    private static readonly TimeSpan s_interval = TimeSpan.FromMilliseconds(200);

    private readonly long _startedAt = time.GetTimestamp();
    private readonly bool _isLive = output.Terminal.ErrorIsTerminal;
    private int _step;
    private int _wrong;

    public bool HasFioRun { get; private set; }

    public void Title(string text)
    {
        output.Answer(text);
        output.Answer("");
    }

    public void Step(string what)
    {
        _step++;
        output.Answer($"  {_step}. {what}");
    }

    public void Done(string result)
    {
        ClearLine();
        output.Answer($"     {result}");
    }

    public void Wrong(string what)
    {
        _wrong++;
        ClearLine();
        output.Answer($"     WRONG: {what.Trim()}");
    }

    public void FioRan() => HasFioRun = true;

    public void Progress(long done, long all) =>
        Live($"{Amounts.Percent(done, all)} of {Amounts.Bytes(all)}");

    /// <summary>Wait for a client, and show meanwhile what happens below it.</summary>
    public async Task<T> WatchAsync<T>(Task<T> client)
    {
        while (await Task.WhenAny(client, Task.Delay(s_interval, time, CancellationToken.None)) != client)
        {
            if (_isLive)
            {
                DeviceStatus status = await scene.GetStatusAsync(CancellationToken.None);
                Live($"{status.Counters!.Writes} writes, {status.Counters.WriteErrors} failed below, "
                    + $"{status.Remaps} units on the spare, {status.Counters.ClientErrors} errors "
                        + "seen above");
            }
        }
        ClearLine();
        return await client;
    }

    /// <summary>True when all was right.</summary>
    public bool Conclude(Verdict verdict, DeviceStatus status, StopReport stopped)
    {
        bool isRight = _wrong == 0 && verdict.BytesWrong == 0 && verdict.BytesCompared > 0 && stopped.Clean;
        output.Answer("");
        output.Answer($"  bytes that differ            {verdict.BytesWrong}");
        output.Answer(
            $"  sectors that cannot be read  {verdict.SectorsUnreadable}   (their content is gone; "
                + "never made up)");
        output.Answer($"  units on the spare           {status.Remaps}   of {status.Spares[0].Units!.Total}");
        output.Answer(
            $"  errors the disk made         {status.Counters!.FaultsInjected}   since the second start");
        output.Answer($"  stopped                      {(stopped.Clean ? "cleanly" : "not cleanly")}");
        output.Answer("");
        output.Answer(isRight
            ? $"  Every byte is right, in {time.GetElapsedTime(_startedAt).TotalSeconds:F0} s."
            : $"  NOT right: {verdict.BytesWrong} bytes differ, {_wrong} steps went wrong.");
        return isRight;
    }

    private void Live(string text)
    {
        if (_isLive)
        {
            output.Terminal.Error.Write($"\r     {text,-90}");
            output.Terminal.Error.Flush();
        }
    }

    private void ClearLine()
    {
        if (_isLive)
        {
            output.Terminal.Error.Write($"\r{new string(' ', 96)}\r");
            output.Terminal.Error.Flush();
        }
    }
}
