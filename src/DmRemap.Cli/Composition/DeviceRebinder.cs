using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Devices;
using DmRemap.Engine.Metadata;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Composition;

/// <summary>
/// `rebind`: a member has moved, or a copy of the main device takes its place on purpose. Everything that a
/// start asks is asked, except who the main device is. The superblocks come first, then the registry: between
/// the two, a start refuses the old main device.
/// </summary>
internal sealed class DeviceRebinder(CliServices services) : IDeviceRebinder
{
    public Task<RebindReport> RebindAsync(
        RebindOptions options, CommandOutput output, CancellationToken cancellation)
    {
        HostDirectories directories = services.FindDirectories();
        directories.PrepareConfiguration();
        directories.PrepareRun();
        DeviceRecord record = services.OpenRegistry().Load(options.Name);
        return options.MainPath is not null
            ? RebindMainAsync(directories, record, options, output, cancellation)
            : RebindSpareAsync(record, options, output, cancellation);
    }

    private async Task<RebindReport> RebindMainAsync(
        HostDirectories directories, DeviceRecord record, RebindOptions options, CommandOutput output,
        CancellationToken cancellation)
    {
        string path = MemberPath.Complete(options.MainPath!);
        RequireStorage(record, path);
        DeviceRecord changed = record with { MainPath = path };
        RequireOfNoOther(record, path, output);
        // Its content is not touched: it is opened read-only.
        DeviceAssembly assembly = new(changed, isReadOnly: true, output.Note)
        {
            ControlSocketPath = directories.ControlSocketPath(record.Name),
            IsMainNew = true,
        };
        OpenedMember[] members = await assembly.ClaimAsync(cancellation);
        IMemberDevice[] files = [];
        LoopHost? host = null;
        NbdFence? fence = null;
        try
        {
            RequireGeometry(record, members[0]);
            if (members[0].File is not null)
            {
                new ExistingSets(services.OpenRegistry().List()).RequireNoneOnMain(members[0]);
            }
            MemberPath.RequireStateElsewhere([directories.ConfigurationPath, directories.RunPath], path);
            fence = await NbdFence.PassAsync(
                NbdFence.PathOf(directories.RunPath, record.Name), members, output.Note, cancellation);
            host = new LoopHost(record.Name);
            await host.Started;
            files = await assembly.AttachAsync(host, members, new NbdWatch(output.Note));
            HostHistory history =
                new(record, services.OpenWitness(record.Name), options.AcceptsRollback, output.Note);
            Rebinding rebinding = new(host, assembly, record, members[0], files, history, options, output)
            {
                Time = services.Time,
            };
            await rebinding.RunAsync(() => services.OpenRegistry().Replace(changed), cancellation);
        }
        finally
        {
            await LetGoAsync(host, files, members, fence);
        }
        return new RebindReport(record.Name, record.MainPath, path);
    }

    /// <summary>The spare is known by what we wrote on it; only its path is recorded anew.</summary>
    private async Task<RebindReport> RebindSpareAsync(
        DeviceRecord record, RebindOptions options, CommandOutput output, CancellationToken cancellation)
    {
        string old = MemberPath.Complete(options.OldSparePath!);
        string path = MemberPath.Complete(options.NewSparePath!);
        MemoryDisk.RequireNoSpare(path);
        SpareRecord spare = record.Spares.FirstOrDefault(known => known.Path == old)
            ?? throw new RefusalException(new Refusal(
                "DMR-REBIND-NO-SUCH-SPARE",
                ExitCode.Usage,
                old,
                $"{old} is not a spare of {record.Name}.",
                "Give its path as it is registered: "
                    + $"{string.Join(", ", record.Spares.Select(known => known.Path))}."));
        RequireOfNoOther(record, path, output);
        SpareRecord[] spares =
            [.. record.Spares.Select(known => known == spare ? known with { Path = path } : known)];
        MemberOptions asSpare = new()
        {
            BlockBytes = record.BlockBytes,
            FilePhysicalBlockBytes = record.PhysicalBlockBytes,
        };
        using OpenedMember opened =
            await OpenedMember.ClaimAsync(path, asSpare, output.Note, cancellation);
        await Task.Run(() => ExistingSets.RequireMember(opened, record.SetUuid, spare.Uuid), cancellation);
        MemberPath.RequireApart(record.MainPath, [.. spares.Select(known => known.Path)]);
        output.RequireYes($"{record.Name}: the spare {spare.Uuid} is registered at {path}; it was at {old}.");
        services.OpenRegistry().Replace(record with { Spares = spares });
        return new RebindReport(record.Name, old, path);
    }

    /// <summary>Memory begins with zeros wherever it is: it takes nobody's place, and nobody its.</summary>
    private static void RequireStorage(DeviceRecord record, string path)
    {
        if (MemoryDisk.IsMeant(path) || MemoryDisk.IsMeant(record.MainPath))
        {
            throw new RefusalException(new Refusal(
                MessageIds.Usage,
                ExitCode.Usage,
                path,
                $"{path} cannot take the place of {record.MainPath}: memory holds nothing from before its "
                    + "server was started, and nothing after it has ended.",
                "Make a device anew: `dmremap create`."));
        }
    }

    /// <summary>Storage that another device's record names would be written by two.</summary>
    private void RequireOfNoOther(DeviceRecord record, string path, CommandOutput output)
    {
        List<string> warnings = [];
        RegistryEntry[] others =
            [.. services.OpenRegistry().List().Where(entry => entry.Name != record.Name)];
        new ExistingSets(others).RequireUnregistered([path], warnings);
        warnings.ForEach(output.Note);
    }

    private static void RequireGeometry(DeviceRecord record, OpenedMember main)
    {
        DeviceGeometry found = main.Geometry;
        bool fits = found.AlignmentOffsetBytes == record.AlignmentOffsetBytes
            && found.PhysicalBlockBytes <= record.UnitBytes;
        if (!fits)
        {
            throw new RefusalException(new Refusal(
                "DMR-REBIND-GEOMETRY",
                ExitCode.RefusedForSafety,
                main.Path,
                $"{main.Path} cannot take the place of {record.MainPath}: its physical blocks have "
                    + $"{found.PhysicalBlockBytes} bytes and begin at byte {found.AlignmentOffsetBytes}; "
                    + $"units of {record.UnitBytes} bytes that begin at {record.AlignmentOffsetBytes} "
                    + "do not fit.",
                "Copy to a disk, partition or file with the same alignment."));
        }
    }

    /// <summary>What the kernel still has is left to the end of the process.</summary>
    private static async Task LetGoAsync(
        LoopHost? host, IMemberDevice[] files, OpenedMember[] members, NbdFence? fence)
    {
        if (host is not null)
        {
            if (!await DeviceStop.ReleaseMembersAsync(host, files, fence))
            {
                return;
            }
            host.Dispose();
        }
        Array.ForEach(members, member => member.Dispose());
    }

    /// <summary>The set is found and judged; then it is asked, and then it is written.</summary>
    private sealed class Rebinding
    {
        private readonly TaskCompletionSource _judged =
            new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly LoopHost _host;
        private readonly DeviceAssembly _assembly;
        private readonly DeviceRecord _record;
        private readonly OpenedMember _main;
        private readonly IMemberDevice[] _files;
        private readonly HostHistory _history;
        private readonly CommandOutput _output;
        private readonly StartJudge _judge;
        private MetadataRecovery? _recovery;
        private PrimaryIdentity? _agreed;

        public Rebinding(
            LoopHost host, DeviceAssembly assembly, DeviceRecord record, OpenedMember main,
            IMemberDevice[] files, HostHistory history, RebindOptions options, CommandOutput output)
        {
            _output = output;
            _host = host;
            _assembly = assembly;
            _record = record;
            _main = main;
            _files = files;
            _history = history;
            StartExpectation expected = new()
            {
                Record = record with { MainPath = main.Path },
                History = history,
                Witnessed = history.Load(),
                Main = main.Fingerprint(),
                ReplacesMain = true,
                AcceptsChangedMain = options.AcceptsChangedMain,
                Say = output.Note,
            };
            _judge = new StartJudge(host.Loop, files[0], expected) { OnAccepted = OnAccepted };
        }

        public required TimeProvider Time { get; init; }

        public async Task RunAsync(Action register, CancellationToken cancellation)
        {
            await _assembly.BeginRecoveryAsync(_host, _files, _judge);
            if (await Task.WhenAny(_judged.Task, _judge.Ended) != _judged.Task)
            {
                _ = await _assembly.RecoveredAsync(_judge);
            }
            PrimaryIdentity before = _recovery!.Found!.Newest.Set.Primary;
            PrimaryIdentity now = new() { Bytes = _main.SizeBytes, Text = _main.Fingerprint().ToText() };
            string question = $"{_record.Name}: {_main.Path} ({now.Text}) becomes the main device in the "
                + $"place of {_record.MainPath} ({before.Text}), which will be refused from then on.";
            await Task.Run(() => _output.RequireYes(question), cancellation).WaitAsync(cancellation);
            await _host.RunAsync(() =>
            {
                _agreed = now;
                _recovery.Continue(now);
            });
            RecoveredSet set = await _assembly.RecoveredAsync(_judge);
            register();
            HistoryPoint? stopped = await new UnservedStop(_host, _files[0], set, Time).RunAsync();
            _history.Note(stopped ?? _judge.Begun);
        }

        private void OnAccepted(MetadataRecovery recovery)
        {
            if (_agreed is not null)
            {
                // Read once more after a flush that failed, and judged once more: it has been asked already.
                recovery.Continue(_agreed);
                return;
            }
            _recovery = recovery;
            _judged.SetResult();
        }
    }
}
