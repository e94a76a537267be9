using System;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Scrubbing;
using DmRemap.Engine.Background;

namespace DmRemap.Cli.Composition;

/// <summary>
/// The scrub of a served device: what a person asks of it, and where it goes on after a restart. The position
/// is written now and then, and at the end; after a crash some of what was read is read again.
/// </summary>
internal sealed class DeviceScrub : IAsyncDisposable
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(10);

    private readonly LoopHost _host;
    private readonly Scrubber _scrubber;
    private readonly ScrubFile _file;
    private readonly Guid _set;
    private readonly string _name;
    private readonly TimeProvider _time;
    private readonly Action<string> _say;
    private readonly PeriodicLook _looking;
    private readonly Lock _writing = new();
    private ScrubProgress? _written;
    private ScrubProgress? _end;
    private EndOfPass? _lastEnded;
    private bool _isEndSaid;
    private bool _hasFailed;

    public DeviceScrub(
        LoopHost host, AssembledDevice assembled, DeviceRecord record, ScrubFile file, TimeProvider time,
        Action<string> say)
    {
        _host = host;
        _file = file;
        _set = record.SetUuid;
        _name = record.Name;
        _time = time;
        _say = say;
        _scrubber = new Scrubber(assembled.Device, host.Loop);
        _looking = new PeriodicLook(Note, s_interval, time);
    }

    /// <summary>Go on from where the last life was, if it was of this set and size. May block.</summary>
    public async Task RestoreAsync()
    {
        if (_file.Load() is not ScrubProgress last || last.SetUuid != _set
            || last.Steps != _scrubber.Order.Steps)
        {
            return;
        }
        lock (_writing)
        {
            _written = last;
            _lastEnded = last.LastEnded is DateTimeOffset at ? new EndOfPass(at) : null;
            _isEndSaid = last.Step == last.Steps;
        }
        long rate = Math.Clamp(last.BytesPerSecond, ScrubPace.RateMin, ScrubPace.RateMax);
        await _host.RunAsync(() =>
        {
            _scrubber.Restore(last.Step, last.BlocksFailed, rate);
            if (last.IsRunning)
            {
                _scrubber.Start(last.Step, last.BlocksFailed, rate);
            }
        });
    }

    /// <summary>
    /// From where it stopped, or from the beginning when it had come to its end. One that runs takes the
    /// rate.
    /// </summary>
    public async Task<ScrubReport> StartAsync(long? bytesPerSecond)
    {
        // The end of the pass before, if nobody has looked since.
        Note();
        await _host.RunAsync(() =>
        {
            if (_end is not null)
            {
                return;
            }
            bool isAnew = _scrubber.Step == _scrubber.Order.Steps;
            _scrubber.Start(
                isAnew ? 0 : _scrubber.Step, isAnew ? 0 : _scrubber.BlocksFailed,
                bytesPerSecond ?? _scrubber.Rate);
        });
        Note();
        return Report();
    }

    public async Task<ScrubReport> StopAsync()
    {
        await _host.RunAsync(_scrubber.Stop);
        Note();
        return Report();
    }

    /// <summary>
    /// Also on the data thread: it takes no lock, for whoever has it may be writing to a disk that is stuck.
    /// </summary>
    public ScrubReport Report()
    {
        long steps = _scrubber.Order.Steps;
        return new ScrubReport
        {
            State = _scrubber.IsWaiting ? ScrubStates.Waiting
                : _scrubber.IsRunning ? ScrubStates.Running
                : _scrubber.Step == steps ? ScrubStates.Ended
                : _scrubber.Step == 0 ? ScrubStates.Idle : ScrubStates.Stopped,
            Done = (double)_scrubber.Step / steps,
            BytesPerSecond = _scrubber.Rate,
            BlocksFailed = _scrubber.BlocksFailed,
            LastEnded = Volatile.Read(ref _lastEnded)?.At,
        };
    }

    /// <summary>
    /// On the loop's thread, at the end of the device: no read begins any more. What is written from then on
    /// is how it was now, so that one that runs goes on with the next start.
    /// </summary>
    public void End()
    {
        _end ??= Progress();
        _scrubber.Stop();
    }

    /// <summary>Write it down if there is news. From any thread but the loop's; may block.</summary>
    public void Note()
    {
        lock (_writing)
        {
            ScrubProgress progress = _end ?? Progress();
            bool isEnd = progress.Step == progress.Steps;
            if (isEnd && !_isEndSaid)
            {
                _lastEnded = new EndOfPass(_time.GetUtcNow());
                _say($"DMR-SCRUB-ENDED {_name}: the whole device was read; blocks that did not read: "
                    + $"{progress.BlocksFailed}");
            }
            _isEndSaid = isEnd;
            progress = progress with { LastEnded = _lastEnded?.At };
            bool isBegun = _written is not null || progress.Step > 0 || progress.IsRunning;
            if (isBegun && progress != _written)
            {
                TryStore(progress);
            }
        }
    }

    public ValueTask DisposeAsync() => _looking.DisposeAsync();

    /// <summary>Of a moment that the data thread may be changing: a step read twice is no harm.</summary>
    private ScrubProgress Progress() => new()
    {
        SetUuid = _set,
        Step = _scrubber.Step,
        Steps = _scrubber.Order.Steps,
        BlocksFailed = _scrubber.BlocksFailed,
        BytesPerSecond = _scrubber.Rate,
        IsRunning = _scrubber.IsRunning,
    };

    private void TryStore(ScrubProgress progress)
    {
        try
        {
            _file.Store(progress);
            _written = progress;
            _hasFailed = false;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            if (!_hasFailed)
            {
                _say($"warning: how far the scrub has come cannot be written down: {e.Message}");
            }
            _hasFailed = true;
        }
    }

    /// <summary>As a reference, so that it is read whole.</summary>
    private sealed record EndOfPass(DateTimeOffset At);
}
