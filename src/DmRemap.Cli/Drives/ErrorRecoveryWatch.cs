using System;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Engine;

namespace DmRemap.Cli.Drives;

/// <summary>
/// The error recovery of every member that is a disk, asked for when it is served first and when it has come
/// back. On the control plane: the data thread only reads what is known, and is told the kernel's time-out.
/// </summary>
internal sealed class ErrorRecoveryWatch : IAsyncDisposable
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(5);

    /// <summary>For putting back what was set, of all drives together.</summary>
    private static readonly TimeSpan s_restoreTimeout = TimeSpan.FromSeconds(5);

    /// <summary>For a look that is under way at the end.</summary>
    private static readonly TimeSpan s_endTimeout = TimeSpan.FromMilliseconds(100);

    private readonly LoopHost _host;
    private readonly AssembledDevice _assembled;
    private readonly Func<string, DriveErrorRecovery> _make;
    private readonly CancellationTokenSource _ending = new();
    private readonly PeriodicTimer _timer;
    private readonly Task _watching;
    private volatile Watched[] _watched = [];

    public ErrorRecoveryWatch(
        LoopHost host, AssembledDevice assembled, ErrorRecoveryPolicy policy, Action<string> say,
        TimeProvider time)
    {
        _host = host;
        _assembled = assembled;
        DriveTools tools = new(time);
        _make = path => new DriveErrorRecovery(path, policy, tools, say);
        _timer = new PeriodicTimer(s_interval, time);
        _watching = Task.Run(WatchAsync);
    }

    /// <summary>Null: it is no disk, or was not asked yet.</summary>
    public ErrorRecoveryStatus? Of(Member member)
    {
        Watched? watched = _watched.FirstOrDefault(one => one.Member == member);
        if (watched?.Drive.Reading is not ErrorRecoveryReading reading)
        {
            return null;
        }
        string state = reading.Limits is not null ? ErrorRecoveryStates.Known
            : reading.IsKnown ? ErrorRecoveryStates.Unsupported
            : ErrorRecoveryStates.Unknown;
        return new ErrorRecoveryStatus(
            state,
            Seconds(reading.Limits?.ReadDeciseconds),
            Seconds(reading.Limits?.WriteDeciseconds),
            reading.Limits?.GivesUpReadsEarly == true,
            watched.Drive.CommandTimeoutSeconds,
            reading.Limits is null ? reading.Why : null);
    }

    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync();
        await Task.WhenAny(_watching, Task.Delay(s_endTimeout));
        Task restored = Task.WhenAll(_watched.Select(one => one.Drive.RestoreAsync()));
        await Task.WhenAny(restored, Task.Delay(s_restoreTimeout));
        _timer.Dispose();
        _ending.Dispose();
    }

    private static double? Seconds(int? deciseconds) =>
        deciseconds is int tenths and > 0 ? tenths / 10.0 : null;

    private async Task WatchAsync()
    {
        // Once: a look that outlives the end finds its source disposed of.
        CancellationToken ending = _ending.Token;
        try
        {
            do
            {
                FindNew();
                foreach (Watched one in _watched.Where(one => one.IsDue))
                {
                    one.Note();
                    await one.Drive.ApplyAsync();
                    await TellTimeoutAsync(one);
                    ending.ThrowIfCancellationRequested();
                }
            }
            while (await _timer.WaitForNextTickAsync(ending));
        }
        catch (OperationCanceledException)
        {
            // The end of the device.
        }
    }

    private void FindNew()
    {
        Member[] members = _assembled.Device.Members;
        OpenedMember?[] opened = _assembled.Members;
        for (int i = 0; i < Math.Min(members.Length, opened.Length); i++)
        {
            Member member = members[i];
            bool isDisk = opened[i]?.Kind == MemberKind.BlockDevice;
            if (isDisk && !_watched.Any(one => one.Member == member))
            {
                _watched = [.. _watched, new Watched(member, _make(opened[i]!.Path))];
            }
        }
    }

    /// <summary>So that an error that took long is judged by the time-out that there is (F-17).</summary>
    private Task TellTimeoutAsync(Watched one) => one.Drive.CommandTimeoutSeconds is int seconds
        ? _host.RunAsync(() => one.Member.CommandTimeout = Duration.FromSeconds(seconds))
        : Task.CompletedTask;

    private sealed class Watched(Member member, DriveErrorRecovery drive)
    {
        private Instant _goneSince;
        private bool _isAsked;

        public Member Member { get; } = member;

        public DriveErrorRecovery Drive { get; } = drive;

        /// <summary>It is here, and was not asked since it was away last.</summary>
        public bool IsDue =>
            !Member.IsGone && !Member.IsRemoved && (!_isAsked || Member.GoneSince != _goneSince);

        public void Note()
        {
            _isAsked = true;
            _goneSince = Member.GoneSince;
        }
    }
}
