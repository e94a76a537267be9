using System;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Scrubbing;
using DmRemap.Engine;
using DmRemap.Engine.Background;

namespace DmRemap.Cli.Composition;

/// <summary>
/// The scrub of a served device: what a person asks of it, and where it goes on after a restart. The position
/// is written now and then, and at the end; after a crash some of what was read is read again.
/// </summary>
internal sealed class DeviceScrub : IAsyncDisposable
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(10);

    /// <summary>A rate of less is none.</summary>
    private static readonly TimeSpan s_measuredMin = TimeSpan.FromSeconds(1);

    private readonly LoopHost _host;
    private readonly RemapDevice _device;
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
    private RunBegan _began = new(0, 0);
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
        _device = assembled.Device;
        _scrubber = new Scrubber(_device, host.Loop);
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
                Measure();
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
            Measure();
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
        long step = _scrubber.Step;
        long read = _scrubber.Order.BytesBefore(step);
        string? waitsFor = WaitsFor;
        bool isReading = _scrubber.IsRunning && waitsFor is null;
        long? measured = isReading ? Measured(read) : null;
        return new ScrubReport
        {
            State = waitsFor is not null ? ScrubStates.Waiting
                : isReading ? ScrubStates.Running
                : step == _scrubber.Order.Steps ? ScrubStates.Ended
                : step == 0 ? ScrubStates.Idle : ScrubStates.Stopped,
            WaitsFor = waitsFor,
            Done = (double)read / _scrubber.Order.Bytes,
            BytesPerSecond = _scrubber.Rate,
            BytesPerSecondMeasured = measured,
            SecondsLeft = measured is long rate and > 0 ? (_scrubber.Order.Bytes - read) / rate : null,
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
        if (WaitsFor is not null)
        {
            // What it waits is not its rate.
            Measure();
        }
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

    private string? WaitsFor => !_scrubber.IsRunning ? null
        : _device.IsHolding ? ScrubWaits.Resume
        : _scrubber.IsWaiting ? ScrubWaits.Disk : null;

    /// <summary>The rate is that from here on.</summary>
    private void Measure() => Volatile.Write(
        ref _began, new RunBegan(_time.GetTimestamp(), _scrubber.Order.BytesBefore(_scrubber.Step)));

    private long? Measured(long read)
    {
        RunBegan began = Volatile.Read(ref _began);
        TimeSpan elapsed = _time.GetElapsedTime(began.At);
        // A pass that has just begun anew may have read less than the one before.
        return elapsed < s_measuredMin
            ? null
            : Math.Max(0, (long)((read - began.Read) / elapsed.TotalSeconds));
    }

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

    /// <summary>When, and how much of the pass had been read then.</summary>
    private sealed record RunBegan(long At, long Read);
}
