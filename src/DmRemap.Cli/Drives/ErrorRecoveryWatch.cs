using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Engine;
using DmRemap.Engine.Background;

namespace DmRemap.Cli.Drives;

/// <summary>A member that is a disk of this machine.</summary>
internal readonly record struct MemberDisk(Member Member, string Path);

/// <summary>
/// The error recovery of every member that is a disk, asked for when it is served first and when it has come
/// back. On the control plane: the data thread only reads what is known, and is told the kernel's time-out.
/// </summary>
internal sealed class ErrorRecoveryWatch : IAsyncDisposable
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(5);

    /// <summary>For a look that is under way at the end, and for putting back what was set.</summary>
    private static readonly TimeSpan s_restoreTimeout = TimeSpan.FromSeconds(5);

    /// <summary>Of these, for the look.</summary>
    private static readonly TimeSpan s_endTimeout = TimeSpan.FromSeconds(2);

    private readonly Func<Action, Task> _onLoop;
    private readonly Func<IEnumerable<MemberDisk>> _disks;
    private readonly PatientPass _patience;
    private readonly ErrorRecoveryPolicy _policy;
    private readonly Func<string, DriveErrorRecovery> _make;
    private readonly CancellationTokenSource _ending = new();
    private readonly PeriodicTimer _timer;
    private Task _watching = Task.CompletedTask;
    private volatile Watched[] _watched = [];

    /// <summary>
    /// What is given to `onLoop` runs on the data thread, and has when its task ends; `disks` are the members
    /// that are disks, as of now.
    /// </summary>
    public ErrorRecoveryWatch(
        Func<Action, Task> onLoop, Func<IEnumerable<MemberDisk>> disks, PatientPass patience,
        ErrorRecoveryPolicy policy, IDriveTools tools, Action<string> say, TimeProvider time)
    {
        _onLoop = onLoop;
        _disks = disks;
        _patience = patience;
        _policy = policy;
        _make = path => new DriveErrorRecovery(path, policy, tools, say);
        _timer = new PeriodicTimer(s_interval, time);
    }

    public static ErrorRecoveryWatch Begin(
        LoopHost host, AssembledDevice assembled, ErrorRecoveryPolicy policy, Action<string> say,
        TimeProvider time)
    {
        ErrorRecoveryWatch watch = new(
            host.RunAsync, () => DisksOf(assembled), assembled.Device.Patience, policy, new DriveTools(time),
            say, time);
        watch._watching = Task.Run(watch.WatchAsync);
        return watch;
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
            reading.Limits?.GivesUpReadsEarly == true && !(member.IsPrimary && _policy.IsPatientWithLost),
            watched.Drive.CommandTimeoutSeconds,
            reading.Limits is null ? reading.Why : null);
    }

    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync();
        await Task.WhenAny(RestoreAsync(), Task.Delay(s_restoreTimeout));
        _timer.Dispose();
        _ending.Dispose();
    }

    /// <summary>
    /// After the look that is under way: what that sets would stay. One that hangs, with a drive or a data
    /// thread that has ended, is not waited for: it sets nothing any more.
    /// </summary>
    private async Task RestoreAsync()
    {
        await Task.WhenAny(_watching, Task.Delay(s_endTimeout));
        await Task.WhenAll(_watched.Select(one => one.Drive.RestoreAsync()));
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
                await LookAsync(ending);
            }
            while (await _timer.WaitForNextTickAsync(ending));
        }
        catch (OperationCanceledException)
        {
            // The end of the device.
        }
    }

    /// <summary>One round: tell every drive what it has to be told by now.</summary>
    internal async Task LookAsync(CancellationToken ending)
    {
        foreach (MemberDisk disk in _disks().Where(disk => !_watched.Any(one => one.Member == disk.Member)))
        {
            _watched = [.. _watched, new Watched(disk.Member, _make(disk.Path))];
        }
        bool isForLost = _patience.IsWanted;
        foreach (Watched one in _watched.Where(one => one.IsDue(isForLost)))
        {
            // Nothing is to rely on patience that is about to end (F-35): its late errors would be taken for
            // time-outs, or the kernel would reset the drive.
            await GrantAsync(one, isGranted: false);
            one.Note(isForLost);
            await one.Drive.ApplyAsync(one.IsForLost);
            await TellTimeoutAsync(one);
            await GrantAsync(one, one.IsForLost);
            ending.ThrowIfCancellationRequested();
        }
    }

    private static IEnumerable<MemberDisk> DisksOf(AssembledDevice assembled)
    {
        Member[] members = assembled.Device.Members;
        OpenedMember?[] opened = assembled.Members;
        for (int i = 0; i < Math.Min(members.Length, opened.Length); i++)
        {
            if (opened[i] is { Kind: MemberKind.BlockDevice, Path: string path })
            {
                yield return new MemberDisk(members[i], path);
            }
        }
    }

    /// <summary>So that an error that took long is judged by the time-out that there is (F-17).</summary>
    private Task TellTimeoutAsync(Watched one) => one.Drive.CommandTimeoutSeconds is int seconds
        ? _onLoop(() => one.Member.CommandTimeout = Duration.FromSeconds(seconds))
        : Task.CompletedTask;

    private Task GrantAsync(Watched one, bool isGranted) => one.Member.IsPrimary
        ? _onLoop(() => _patience.IsGranted = isGranted)
        : Task.CompletedTask;

    private sealed class Watched(Member member, DriveErrorRecovery drive)
    {
        private Instant _goneSince;
        private bool _isAsked;

        public Member Member { get; } = member;

        public DriveErrorRecovery Drive { get; } = drive;

        /// <summary>Set for what was given up, while that is read again.</summary>
        public bool IsForLost { get; private set; }

        /// <summary>It is here, and was not asked since it was away last, or for another pass.</summary>
        public bool IsDue(bool isForLost) =>
            !Member.IsGone && !Member.IsRemoved
            && (!_isAsked || Member.GoneSince != _goneSince || (Member.IsPrimary && IsForLost != isForLost));

        public void Note(bool isForLost)
        {
            _isAsked = true;
            IsForLost = Member.IsPrimary && isForLost;
            _goneSince = Member.GoneSince;
        }
    }
}
