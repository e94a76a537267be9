using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Devices;
using DmRemap.Engine.Metadata;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Composition;

/// <summary>What was found on a set's spares.</summary>
/// <param name="Subject">The device's name, or the first spare's path.</param>
/// <param name="Record">Null when the spares were given by path.</param>
/// <param name="Paths">Of the spares that were read, in the order of Found.Copies.</param>
/// <param name="Absent">Paths of the record at which nothing is.</param>
/// <param name="Found">All of it.</param>
/// <param name="Refusal">What `serve` would say instead of serving, as far as it was asked for.</param>
internal sealed record SetReading(
    string Subject, DeviceRecord? Record, string[] Paths, string[] Absent, MetadataReading Found,
    Refusal? Refusal);

/// <summary>
/// Reads the metadata of a set that nobody serves. The spares are opened read-only and claimed, so that
/// nobody begins to write while it goes on, and the kernel would refuse a write of ours.
/// </summary>
internal sealed class SetReader(CliServices services, Action<string> say)
{
    /// <summary>A journal that lacks records is no refusal: what is left of it is read.</summary>
    public bool AcceptsLoss { get; init; }

    /// <summary>
    /// Ask everything that a start asks before it writes, of the main device and this machine's record too;
    /// the answer is in the reading. False: only what the spares say of themselves.
    /// </summary>
    public bool ForeseesStart { get; init; }

    /// <exception cref="RefusalException">It is being served, or there is nothing to read.</exception>
    public async Task<SetReading> ReadAsync(SetChoice choice, CancellationToken cancellation)
    {
        DeviceRecord? record = null;
        if (choice.Name is not null)
        {
            await new DeviceLookup(services).RequireStoppedAsync(choice.Name, cancellation);
            record = services.OpenRegistry().Load(choice.Name);
        }
        List<OpenedMember> opened = [];
        List<string> absent = [];
        StartForecast forecast = new(services, record, say) { IsWanted = ForeseesStart };
        try
        {
            await forecast.ClaimMainAsync(cancellation);
            if (record is null)
            {
                foreach (string path in choice.SparePaths)
                {
                    opened.Add(await OpenUnknownAsync(MemberPath.Complete(path), cancellation));
                }
            }
            else
            {
                await OpenRegisteredAsync(record, opened, absent, forecast, cancellation);
            }
            forecast.JudgeMembers(opened);
            SetExpectation expected = ExpectationOf(record, opened);
            MetadataReading found = await ReadAsync(opened, expected, forecast, cancellation);
            string[] paths = [.. opened.Select(member => member.Path)];
            string subject = choice.Name ?? paths[0];
            return new SetReading(
                subject, record, paths, [.. absent], found,
                forecast.Conclude(subject, paths, found, expected));
        }
        finally
        {
            forecast.Dispose();
            opened.ForEach(member => member.Dispose());
        }
    }

    /// <summary>What is missing is reported, not refused: `serve` decides that.</summary>
    private SetExpectation ExpectationOf(DeviceRecord? record, List<OpenedMember> opened) => new()
    {
        Unsettled = UnsettledSpare.PositionIn(record, [.. opened.Select(member => member.Path)]),
        SetUuid = record?.SetUuid,
        PrimaryBytes = record?.MainBytes,
        AllowsMissing = true,
        AcceptsLoss = AcceptsLoss,
    };

    private async Task OpenRegisteredAsync(
        DeviceRecord record, List<OpenedMember> opened, List<string> absent, StartForecast forecast,
        CancellationToken cancellation)
    {
        MemberOptions options = new()
        {
            Access = MemberAccess.ReadOnly,
            BlockBytes = record.BlockBytes,
            FilePhysicalBlockBytes = record.PhysicalBlockBytes,
        };
        RefusalException? missing = null;
        foreach (SpareRecord spare in record.Spares)
        {
            try
            {
                opened.Add(await OpenedMember.ClaimAsync(spare.Path, options, say, cancellation));
            }
            catch (RefusalException e) when (MissingSpares.IsMissing(e))
            {
                absent.Add(spare.Path);
                missing ??= MissingMember.Of(record, spare.Path, e);
            }
        }
        if (opened.Count == 0)
        {
            throw MissingSpares.AllAreMissing(record.Name, missing);
        }
        if (missing is not null)
        {
            forecast.Note(MissingSpares.ToException(missing).Refusal);
        }
    }

    /// <summary>The block size that the set uses is in its superblocks.</summary>
    private async Task<OpenedMember> OpenUnknownAsync(string path, CancellationToken cancellation)
    {
        MemberOptions options = new() { Access = MemberAccess.ReadOnly };
        OpenedMember opened = await OpenedMember.ClaimAsync(path, options, say, cancellation);
        Superblock? superblock = Array.Find(
            ExistingSets.ReadCopies(opened), copy => copy.Superblock is not null).Superblock;
        BlockSize actual = opened.Geometry.LogicalBlockSize;
        BlockSize wanted = superblock?.Set.Geometry.BlockSize ?? actual;
        if (wanted == actual)
        {
            return opened;
        }
        opened.Dispose();
        return await OpenedMember.ClaimAsync(
            path, options with { BlockBytes = wanted.Bytes }, say, cancellation);
    }

    private async Task<MetadataReading> ReadAsync(
        List<OpenedMember> opened, SetExpectation expected, StartForecast forecast,
        CancellationToken cancellation)
    {
        OpenedMember[] members = [.. forecast.MainToJudge, .. opened];
        Array.ForEach(members, member => member.EndSession());
        using LoopHost host = new(opened[0].Path);
        await host.Started;
        NbdWatch watch = new(say);
        IMemberDevice[] files = [];
        await await host.RunAsync(() =>
        {
            files =
            [
                .. members.Select(member => member.Attach(
                    host.Loop, member.Geometry.LogicalBlockSize, watch)),
            ];
            return watch.ExpectAllAsync(files);
        });
        MetadataReading found = members.Length > opened.Count
            ? await forecast.ReadAsync(host, files, expected).WaitAsync(cancellation)
            : await ReadSparesAsync(host, files, expected).WaitAsync(cancellation);
        IMemberDevice[] idle = Array.FindAll(files, file => file.IsIdle);
        await host.RunAsync(() => Array.ForEach(idle, file => file.Retire()));
        Array.ForEach(idle, file => file.Dispose());
        return found;
    }

    private static async Task<MetadataReading> ReadSparesAsync(
        LoopHost host, IMemberDevice[] files, SetExpectation expected)
    {
        Reading reading = new();
        await host.RunAsync(() => new MetadataReading(
            host.Loop, files, expected, FeatureFlags.Supported, reading).Begin());
        return await reading.Ended;
    }

    private sealed class Reading : IMetadataReadingOwner
    {
        private readonly TaskCompletionSource<MetadataReading> _ended =
            new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<MetadataReading> Ended => _ended.Task;

        public void OnRead(MetadataReading reading) => _ended.SetResult(reading);
    }
}
