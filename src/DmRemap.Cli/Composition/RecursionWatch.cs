using System;
using System.IO;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Composition;

/// <summary>
/// Every minute: does a spare, or a file of ours, now lie on what the main device carries (F-21)? A later
/// `mv` or LVM extension can do that, and then our own writes would wait for themselves. What a start refuses
/// is, at run time, said and shown as a condition.
/// </summary>
internal sealed class RecursionWatch : IAsyncDisposable
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(60);

    private readonly DeviceRecord _record;
    private readonly string[] _statePaths;
    private readonly Action<string> _say;
    private readonly CancellationTokenSource _ending = new();
    private readonly PeriodicTimer _timer;
    private readonly Task _watching;

    public RecursionWatch(DeviceRecord record, string[] statePaths, Action<string> say, TimeProvider time)
    {
        _record = record;
        _statePaths = statePaths;
        _say = say;
        _timer = new PeriodicTimer(s_interval, time);
        _watching = WatchAsync();
    }

    /// <summary>Something of ours waits for what we serve.</summary>
    public bool IsRecursive { get; private set; }

    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync();
        // A look at a stuck disk may never end: it is left behind, and ends with the process.
        await Task.WhenAny(_watching, Task.Delay(TimeSpan.FromMilliseconds(100)));
        _timer.Dispose();
        _ending.Dispose();
    }

    private async Task WatchAsync()
    {
        try
        {
            while (await _timer.WaitForNextTickAsync(_ending.Token))
            {
                Look();
            }
        }
        catch (OperationCanceledException)
        {
            // The end of the device.
        }
    }

    private void Look()
    {
        bool was = IsRecursive;
        try
        {
            MemberRules.RequireStateElsewhere(_statePaths, _record.MainPath);
            MemberRules.RequireApart(_record.MainPath, [.. _record.Spares.Select(spare => spare.Path)]);
            IsRecursive = false;
        }
        catch (RefusalException e)
        {
            IsRecursive = true;
            if (!was)
            {
                _say($"{e.Id} {e.Message} {e.Action}");
            }
        }
        catch (IOException e)
        {
            // A path that cannot be looked at now is no proof of anything.
            _say(
                $"DMR-EVENT-RECURSION-UNKNOWN does a spare lie on the main device? {e.Message}");
        }
    }
}
