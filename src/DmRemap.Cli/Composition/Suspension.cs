using System;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Engine;

namespace DmRemap.Cli.Composition;

/// <summary>How the draining of a suspended device ended.</summary>
internal enum SuspensionEnd
{
    Quiesced = 0,

    /// <summary>Quiet, but a flush failed: what it covered is uncertain.</summary>
    QuiescedUnflushed = 1,
    Resumed = 2,
    Stopped = 3,
}

/// <summary>
/// One suspension, from the command to its quiet or to what cancelled it. Whoever waits for it has a
/// deadline of his own; that one passing ends the waiting and nothing else.
/// </summary>
internal sealed class Suspension(
    LoopHost host, ServedDevice served, Action<Suspension> onQuiesced, TimeProvider time) : ISuspendOwner
{
    private readonly TaskCompletionSource<SuspensionEnd> _ended =
        new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Begun on the loop's thread, after whatever was posted before.</summary>
    public Task BeginAsync() => host.RunAsync(() =>
    {
        // The front end first: nothing more comes, and what is in its lines stays there.
        served.HoldClients();
        served.Assembled.Device.BeginSuspend(this);
    });

    public Task ResumeAsync()
    {
        End(SuspensionEnd.Resumed);
        return host.RunAsync(() =>
        {
            served.Assembled.Device.Resume();
            served.ReleaseClients();
        });
    }

    /// <summary>The first end counts.</summary>
    public void End(SuspensionEnd end) => _ended.TrySetResult(end);

    public void OnQuiesced(bool flushed)
    {
        onQuiesced(this);
        End(flushed ? SuspensionEnd.Quiesced : SuspensionEnd.QuiescedUnflushed);
    }

    public async Task<SuspendReport> ReportAsync(TimeSpan deadline)
    {
        await Task.WhenAny(_ended.Task, Task.Delay(deadline, time, CancellationToken.None));
        if (!_ended.Task.IsCompleted)
        {
            return await host.RunAsync(Outstanding);
        }
        SuspensionEnd end = await _ended.Task;
        return new SuspendReport
        {
            Suspended = end is SuspensionEnd.Quiesced or SuspensionEnd.QuiescedUnflushed,
            Flushed = end == SuspensionEnd.Quiesced,
            Left = end switch
            {
                SuspensionEnd.QuiescedUnflushed => "a flush failed: writes since the last one are uncertain",
                SuspensionEnd.Resumed => "it was resumed before it was quiet",
                SuspensionEnd.Stopped => "it was stopped before it was quiet",
                _ => null,
            },
        };
    }

    private SuspendReport Outstanding()
    {
        RemapDevice device = served.Assembled.Device;
        Member[] busy = [.. device.Members.Where(member => InFlight(member) > 0)];
        return new SuspendReport
        {
            Suspended = false,
            RequestsInFlight = device.InFlight - device.RequestsHeld,
            OperationsOutstanding = busy.Sum(InFlight),
            OutstandingOn = [.. busy.Select(member => member.Name)],
            Left = "what was in flight has not ended by the deadline; the device goes on draining until it "
                + "has, or until it is resumed",
        };
    }

    private static int InFlight(Member member) => (member.Device as IOutstandingIo)?.InFlight ?? 0;
}
