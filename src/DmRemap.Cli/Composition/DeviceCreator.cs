using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Security.Cryptography;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Devices;
using DmRemap.Engine.Metadata;
using DmRemap.Linux.Members;
using DmRemap.Nbd;

namespace DmRemap.Cli.Composition;

/// <summary>
/// `create`: everything that can be refused is refused before the first byte is written; the spares are
/// written before the registry names them, so that an interrupted create leaves no device behind.
/// </summary>
internal sealed class DeviceCreator(CliServices services) : IDeviceCreator
{
    public async Task<CreateReport> CreateAsync(
        CreateOptions options, CommandOutput output, CancellationToken cancellation)
    {
        HostDirectories directories = services.FindDirectories();
        directories.PrepareConfiguration();
        DeviceRegistry registry = services.OpenRegistry();
        registry.RequireFree(options.Name);
        string mainPath = MemberPath.Complete(options.MainPath);
        string[] sparePaths = [.. options.SparePaths.Select(MemberPath.Complete)];
        RequireDifferentPaths(sparePaths);
        Array.ForEach(sparePaths, MemoryDisk.RequireNoSpare);

        // The main device is opened read-only: adopting a disk changes nothing on it (P6).
        MemberOptions mainOptions = new() { Access = MemberAccess.ReadOnly, BlockBytes = options.BlockBytes };
        if (NbdUri.IsMeant(mainPath))
        {
            // An export may say how large its physical blocks are, which a file cannot.
            mainOptions = mainOptions with { FilePhysicalBlockBytes = 0 };
        }
        using OpenedMember main =
            await OpenedMember.ClaimAsync(mainPath, mainOptions, output.Note, cancellation);
        MemberPath.RequireUnused(mainPath);
        MemberPath.RequireStateElsewhere([directories.ConfigurationPath], mainPath);
        UnitGeometry units = UnitsOf(options, main);
        ExistingSets others = new(registry.List());
        List<string> warnings = [];
        List<string> made = [];
        List<OpenedMember> spares = [];
        List<IMemberDevice> attached = [];
        try
        {
            PrepareSpareFiles(options, sparePaths, main.SizeBytes, made, cancellation);
            MemberPath.RequireApart(mainPath, sparePaths);
            foreach (string path in sparePaths)
            {
                spares.Add(await OpenSpareAsync(path, main, units, output.Note, cancellation));
            }
            await Task.Run(() => RequireOfNoOther(others, main, spares, warnings), cancellation);
            await ConfirmAsync(options, mainPath, spares, made, warnings, output, cancellation);
            // A file with holes would run out of space in the middle of a remap (F-37).
            WriteHoles(spares, cancellation);
            spares.ForEach(spare => spare.EndSession());
            FormatRequest request = NewSet(main, units, sparePaths.Length, options.KeepsCopies);
            MetadataMember[] members =
                await FormatAsync(options.Name, sparePaths, spares, request, attached);
            WarnOfSize(main.SizeBytes, members, warnings);
            WarnOfRest(main, warnings);
            WarnOfCopies(options, warnings);
            cancellation.ThrowIfCancellationRequested();
            DeviceRecord record = RecordOf(options, main, units, mainPath, sparePaths, request);
            Register(registry, record, made);
            // From the first start on, an old copy of a spare is noticed.
            new HostHistory(record, services.OpenWitness(record.Name), acceptsRollback: false, warnings.Add)
                .Note(new HistoryPoint(request.Epoch, 0, 0));
            return ReportOf(record, members, warnings);
        }
        finally
        {
            // Only now: between formatting and the record, nobody else may take the spares.
            attached.ForEach(device => device.Dispose());
            spares.ForEach(spare => spare.Dispose());
            made.ForEach(File.Delete);
        }
    }

    private static void RequireOfNoOther(
        ExistingSets others, OpenedMember main, List<OpenedMember> spares, List<string> warnings)
    {
        spares.ForEach(others.RequireNoneOnSpare);
        others.RequireNoneOnMain(main);
        others.RequireUnregistered([main.Path, .. spares.Select(spare => spare.Path)], warnings);
    }

    /// <summary>From the moment the record exists, the files that it names are kept.</summary>
    private static void Register(DeviceRegistry registry, DeviceRecord record, List<string> made)
    {
        try
        {
            registry.Add(record);
            made.Clear();
        }
        catch (RefusalException) when (MayBeRegistered(registry, record))
        {
            made.Clear();
            throw;
        }
    }

    /// <summary>Storing may have failed after the record had its name. In doubt, it has it.</summary>
    private static bool MayBeRegistered(DeviceRegistry registry, DeviceRecord record)
    {
        try
        {
            return registry.Load(record.Name).SetUuid == record.SetUuid;
        }
        catch (RefusalException refused)
        {
            return refused.Refusal.ExitCode != ExitCode.NoSuchDevice;
        }
    }

    private static UnitGeometry UnitsOf(CreateOptions options, OpenedMember main)
    {
        DeviceGeometry disk = main.Geometry;
        int unitBytes = options.UnitBytes ?? Math.Max(disk.PhysicalBlockBytes, Limits.UnitBytesMin);
        int unitBytesMax = Math.Min(Limits.SliceBytes, disk.LogicalBlockSize.Bytes * Limits.UnitBlocksMax);
        if (unitBytes > unitBytesMax || unitBytes < disk.PhysicalBlockBytes)
        {
            throw new RefusalException(new Refusal(
                MessageIds.Usage,
                ExitCode.Usage,
                main.Path,
                $"Units of {unitBytes} bytes do not fit {main.Path}: its physical blocks have "
                    + $"{disk.PhysicalBlockBytes} "
                    + $"bytes, and a unit has at most {unitBytesMax}.",
                "Leave --unit out."));
        }
        return new UnitGeometry(disk.LogicalBlockSize, unitBytes, disk.Blocks, disk.AlignmentOffsetBytes);
    }

    private static void PrepareSpareFiles(
        CreateOptions options,
        string[] sparePaths,
        long mainBytes,
        List<string> made,
        CancellationToken cancellation)
    {
        foreach (string path in sparePaths)
        {
            if (NbdUri.IsMeant(path))
            {
                // Whether it is there is told by the connection; its size is the server's affair.
                continue;
            }
            if (options.SpareBytes is long bytes)
            {
                SpareFile.Create(path, bytes, null, cancellation);
                made.Add(path);
            }
            else
            {
                RequirePresent(path, mainBytes);
            }
        }
    }

    /// <summary>What it is (a directory, say) is told by the claim.</summary>
    internal static void RequirePresent(string path, long mainBytes)
    {
        try
        {
            _ = File.GetAttributes(path);
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            long recommended = SpareLayout.RecommendedSpareBytes(new ByteCount(mainBytes)).Value;
            throw new RefusalException(
                new Refusal(
                    "DMR-MEMBER-MISSING",
                    ExitCode.NoSuchDevice,
                    path,
                    $"The spare {path} does not exist.",
                    "Check the path, or give a size (--spare-size; of `spare add`, --size) to make it as a "
                        + "file (recommended "
                        + $"here: {Amounts.Bytes(recommended)})."),
                error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new RefusalException(
                new Refusal(
                    "DMR-MEMBER-NOT-PERMITTED",
                    ExitCode.NotPermitted,
                    path,
                    $"The spare {path} cannot be looked at: {error.Message}",
                    "Run this as root, or as a user who may enter its directory."),
                error);
        }
    }

    internal static async Task<OpenedMember> OpenSpareAsync(
        string path, OpenedMember main, UnitGeometry units, Action<string> note,
        CancellationToken cancellation)
    {
        MemberPath.RequireUnused(path);
        MemberOptions options = new()
        {
            BlockBytes = units.BlockSize.Bytes,
            FilePhysicalBlockBytes = main.Geometry.PhysicalBlockBytes,
        };
        OpenedMember spare = await OpenedMember.ClaimAsync(path, options, note, cancellation);
        try
        {
            MemberPath.RequireSpareMode(main, spare);
            MemberRules.RequireSpareSize(path, spare.SizeBytes, Limits.SpareBytesMin);
            return spare;
        }
        catch
        {
            spare.Dispose();
            throw;
        }
    }

    /// <summary>Of files; an export's server sees to its own store.</summary>
    internal static void WriteHoles(List<OpenedMember> spares, CancellationToken cancellation)
    {
        foreach (OpenedMember spare in spares)
        {
            if (spare.File is not null)
            {
                SpareFile.EnsureFullyWritten(spare.File, null, cancellation);
            }
        }
    }

    internal static List<Refusal> FindConcerns(
        string mainPath, string[] sparePaths, List<OpenedMember> spares)
    {
        List<Refusal> concerns = [.. MemberRules.FindConcerns(mainPath, MemberPath.Files(sparePaths))];
        foreach (OpenedMember spare in spares)
        {
            if (spare.File is null && CarriesSomething(spare))
            {
                concerns.Add(new Refusal(
                    "DMR-SPARE-FOREIGN-DATA",
                    ExitCode.RefusedForSafety,
                    spare.Path,
                    $"The spare {spare.Path} may carry data: its first bytes are not zeros. It would be "
                        + "overwritten.",
                    "Give another spare, or --force if that data is not needed.")
                {
                    CanBeForced = true,
                });
            }
        }
        return concerns;
    }

    /// <summary>No tool looks for signatures behind an export, so that any byte counts as one.</summary>
    private static bool CarriesSomething(OpenedMember spare)
    {
        byte[] beginning = new byte[Limits.SliceBytes];
        return !spare.TryRead(0, beginning) || beginning.AsSpan().ContainsAnyExcept((byte)0);
    }

    private static async Task ConfirmAsync(
        CreateOptions options,
        string mainPath,
        List<OpenedMember> spares,
        List<string> made,
        List<string> warnings,
        CommandOutput output,
        CancellationToken cancellation)
    {
        string[] sparePaths = [.. spares.Select(spare => spare.Path)];
        foreach (Refusal concern in FindConcerns(mainPath, sparePaths, spares))
        {
            if (!options.Force || !concern.CanBeForced)
            {
                throw new RefusalException(concern);
            }
            warnings.Add(concern.Message);
        }
        if (made.Count < sparePaths.Length)
        {
            string question = $"The content of {string.Join(", ", sparePaths)} will be overwritten.";
            // On a thread of its own: a signal ends the waiting, and what was made is removed.
            await Task.Run(() => output.RequireYes(question), cancellation).WaitAsync(cancellation);
        }
    }

    private static FormatRequest NewSet(
        OpenedMember main, UnitGeometry units, int spareCount, bool keepsCopies) => new()
        {
            KeepsCopies = keepsCopies,
            SetUuid = Guid.NewGuid(),
            MemberUuids = [.. Enumerable.Range(0, spareCount).Select(_ => Guid.NewGuid())],
            Geometry = units,
            PrimaryPhysicalBlockBytes = main.Geometry.PhysicalBlockBytes,
            Primary = new PrimaryIdentity { Bytes = main.SizeBytes, Text = main.Fingerprint().ToText() },
            Epoch = NewEpoch(),
        };

    /// <summary>Random, so that two histories never share one; never zero.</summary>
    internal static ulong NewEpoch() => BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)) | 1;

    /// <summary>Write the metadata of a new, empty set; every spare's content is lost.</summary>
    /// <param name="name">Of the device.</param>
    /// <param name="paths">Of the spares.</param>
    /// <param name="spares">Claimed.</param>
    /// <param name="request">The set.</param>
    /// <param name="attached">Takes what must be disposed of once the claims are not needed.</param>
    private static async Task<MetadataMember[]> FormatAsync(
        string name, string[] paths, List<OpenedMember> spares, FormatRequest request,
        List<IMemberDevice> attached)
    {
        using LoopHost host = new(name);
        await host.Started;
        Formatting formatting = new();
        IMemberDevice[] devices = [];
        // What is lost while this runs fails it; nobody needs to hear of attempts after that.
        NbdWatch watch = new(_ => { });
        await await host.RunAsync(() =>
        {
            devices =
                [.. spares.Select(spare => spare.Attach(host.Loop, request.Geometry.BlockSize, watch))];
            return watch.ExpectAllAsync(devices);
        });
        await host.RunAsync(() =>
        {
            new MetadataFormatter(host.Loop, devices, request, formatting).Begin();
        });
        MetadataFormatter formatter = await formatting.Ended;
        await host.RunAsync(() => Array.ForEach(devices, device => device.Retire()));
        attached.AddRange(devices);
        if (formatter.Refusal is not null)
        {
            throw MetadataRefusals.ToException(name, paths, formatter.Refusal);
        }
        return formatter.Members;
    }

    private static void WarnOfSize(long mainBytes, MetadataMember[] members, List<string> warnings)
    {
        long recommended = SpareLayout.RecommendedSpareBytes(new ByteCount(mainBytes)).Value;
        long all = members.Sum(member => member.Layout.SpareBytes);
        if (all < recommended)
        {
            warnings.Add($"the spares have {Amounts.Bytes(all)} together; for a main device of "
                + $"{Amounts.Bytes(mainBytes)}, {Amounts.Bytes(recommended)} is recommended");
        }
    }

    private static void WarnOfCopies(CreateOptions options, List<string> warnings)
    {
        if (options.KeepsCopies && options.SparePaths.Count == 1)
        {
            warnings.Add("two copies need two spares: until another one is added (dmremap spare add "
                + $"{options.Name}), what moves is on one spare only");
        }
    }

    /// <summary>Whoever copies the device would miss them, without an error.</summary>
    private static void WarnOfRest(OpenedMember main, List<string> warnings)
    {
        long rest = main.SizeBytes - main.Geometry.Bytes.Value;
        if (rest > 0)
        {
            string bytes = rest == 1 ? "the last byte" : $"the last {rest} bytes";
            warnings.Add($"{bytes} of {main.Path} cannot be reached through the device: "
                + $"{main.SizeBytes} bytes are not a multiple of its blocks of "
                + $"{main.Geometry.LogicalBlockSize.Bytes}");
        }
    }

    private static void RequireDifferentPaths(string[] paths)
    {
        for (int i = 0; i < paths.Length; i++)
        {
            if (Array.IndexOf(paths, paths[i]) != i)
            {
                throw new RefusalException(new Refusal(
                    "DMR-MEMBER-SAME",
                    ExitCode.RefusedForSafety,
                    paths[i],
                    $"The spare {paths[i]} is given twice.",
                    "Give each spare once."));
            }
        }
    }

    private DeviceRecord RecordOf(
        CreateOptions options,
        OpenedMember main,
        UnitGeometry units,
        string mainPath,
        string[] sparePaths,
        FormatRequest request) => new()
        {
            Name = options.Name,
            SetUuid = request.SetUuid,
            MainPath = mainPath,
            MainBytes = main.SizeBytes,
            BlockBytes = units.BlockSize.Bytes,
            PhysicalBlockBytes = main.Geometry.PhysicalBlockBytes,
            UnitBytes = units.UnitBytes,
            AlignmentOffsetBytes = units.AlignmentOffsetBytes,
            Spares = [.. sparePaths.Select((path, i) => new SpareRecord(path, request.MemberUuids[i]))],
            Created = services.Time.GetUtcNow(),
        };

    private static CreateReport ReportOf(DeviceRecord record, MetadataMember[] members,
        List<string> warnings) => new()
        {
            Name = record.Name,
            Uuid = record.SetUuid.ToString(),
            MainPath = record.MainPath,
            SizeBytes = record.MainBytes / record.BlockBytes * record.BlockBytes,
            BlockSize = record.BlockBytes,
            UnitBytes = record.UnitBytes,
            Spares =
        [
            .. record.Spares.Select((spare, i) =>
                new CreatedSpare(spare.Path, spare.Uuid.ToString(), members[i].Layout.DataUnits)),
        ],
            Warnings = warnings,
        };

    private sealed class Formatting : IMetadataFormatOwner
    {
        private readonly TaskCompletionSource<MetadataFormatter> _ended =
            new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<MetadataFormatter> Ended => _ended.Task;

        public void OnFormatted(MetadataFormatter formatter) => _ended.SetResult(formatter);
    }
}
