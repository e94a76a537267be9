using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Server;

/// <summary>What a control socket leads to.</summary>
public interface IControlled
{
    /// <summary>As greeted.</summary>
    string Name { get; }

    /// <summary>
    /// Refuse new requests, finish or fail what is in flight by the deadline, and let go of everything.
    /// Answers by the deadline even if a disk never does. May be called again while it runs: the earlier
    /// deadline counts, and every caller gets the same report.
    /// </summary>
    Task<StopReport> StopAsync(TimeSpan deadline);
}

/// <summary>
/// The running device as its control socket sees it. Called from pool threads, several at once; the
/// implementation posts to the data thread. A command that is refused throws <see cref="RefusalException"/>.
/// </summary>
public interface IDeviceControl : IControlled
{
    /// <summary>A snapshot; must not wait for I/O, so that it answers while every disk hangs.</summary>
    DeviceStatus GetStatus();

    /// <summary>
    /// Move the units of logical blocks first to last (both included) to a spare. Copies what reads, and says
    /// what did not. Cancelled: ends after the unit at hand; what moved stays moved.
    /// </summary>
    Task<RemapReport> RemapAsync(
        BlockNumber first,
        BlockNumber last,
        IProgress<RemapProgress> progress,
        CancellationToken cancellation);

    /// <summary>
    /// Copy the units of these blocks back to the main device, verify them there, and free their spare units.
    /// Cancelled: as RemapAsync.
    /// </summary>
    Task<UnremapReport> UnremapAsync(
        BlockNumber first,
        BlockNumber last,
        IProgress<RemapProgress> progress,
        CancellationToken cancellation);

    /// <summary>Try again, now, what does not read among these blocks. Cancelled: as RemapAsync.</summary>
    Task<RetestReport> RetestAsync(
        BlockNumber first,
        BlockNumber last,
        IProgress<RemapProgress> progress,
        CancellationToken cancellation);

    /// <summary>
    /// Record that these blocks are lost; durable when it is answered. Cancelled: as RemapAsync.
    /// </summary>
    Task<MarkLostReport> MarkLostAsync(
        BlockNumber first,
        BlockNumber last,
        IProgress<RemapProgress> progress,
        CancellationToken cancellation);

    /// <summary>A part of what is lost, from this block on. Must not wait for I/O.</summary>
    LostPage ListLost(BlockNumber from);

    /// <summary>
    /// In the syntax `FIRST-LAST read|write|both [after=OPS] [tries=K] [errno=NAME] [delay=MS]`.
    /// </summary>
    Task AddFaultAsync(string rule, CancellationToken cancellation);

    /// <summary>Take a rule back, or all of them (null). Returns how many were.</summary>
    Task<int> ClearFaultsAsync(string? rule, CancellationToken cancellation);

    IReadOnlyList<string> ListFaults();

    /// <summary>
    /// Hold new requests, let end what is in flight, flush the members. Answers by the deadline; the device
    /// then goes on draining until it is quiet or resumed. Called again, it waits for the same end.
    /// </summary>
    Task<SuspendReport> SuspendAsync(TimeSpan deadline);

    /// <summary>Carry out what was held, and what comes; also while it drains.</summary>
    Task<ResumeReport> ResumeAsync();

    /// <summary>
    /// End a condition that stays until a person has looked. False when it did not hold; a condition that
    /// cannot be ended so is refused.
    /// </summary>
    Task<bool> ClearAsync(string condition);

    /// <summary>
    /// Start the scrub, or go on with it (null: at the rate it had), or give a running one this rate.
    /// </summary>
    Task<ScrubReport> StartScrubAsync(long? bytesPerSecond);

    /// <summary>It reads nothing more; a later start goes on from there.</summary>
    Task<ScrubReport> StopScrubAsync();

    ScrubReport GetScrub();

    /// <summary>
    /// Count another spare in; its content is overwritten. Cancelled: it ends before the set knows of it, or
    /// not any more.
    /// </summary>
    Task<SpareAddReport> AddSpareAsync(
        string path, long? sizeBytes, bool force, CancellationToken cancellation);

    /// <summary>
    /// Move what is on a spare to the others, then leave it out for ever. Cancelled: ends after the unit at
    /// hand, and the spare stays.
    /// </summary>
    Task<SpareRemoveReport> RemoveSpareAsync(
        string spare, bool acceptLoss, IProgress<RemapProgress> progress, CancellationToken cancellation);

    /// <summary>End a removal after the unit at hand; the spare stays.</summary>
    Task<SpareStopReport> StopSpareRemovalAsync();

    /// <summary>Make the device a file that the kernel can use; it is one already: say where.</summary>
    Task<AttachReport> AttachAsync();
}
