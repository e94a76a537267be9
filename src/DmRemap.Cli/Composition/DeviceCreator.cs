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
        string mainPath = Path.GetFullPath(options.MainPath);
        string[] sparePaths = [.. options.SparePaths.Select(Path.GetFullPath)];
        RequireDifferentPaths(sparePaths);

        // The main device is opened read-only: adopting a disk changes nothing on it (P6).
        MemberOptions mainOptions = new() { Access = MemberAccess.ReadOnly, BlockBytes = options.BlockBytes };
        using MemberFile main =
            await OpenedMember.ClaimAsync(mainPath, mainOptions, output.Note, cancellation);
        MemberRules.RequireUnused(mainPath);
        MemberRules.RequireStateElsewhere([directories.ConfigurationPath], mainPath);
        UnitGeometry units = UnitsOf(options, main);
        List<string> warnings = [];
        List<string> made = [];
        List<MemberFile> spares = [];
        try
        {
            PrepareSpareFiles(options, sparePaths, main.SizeBytes, made, output, cancellation);
            MemberRules.RequireApart(mainPath, sparePaths);
            foreach (string path in sparePaths)
            {
                spares.Add(await OpenSpareAsync(path, main, units, output, cancellation));
            }
            Confirm(options, mainPath, sparePaths, made, warnings, output);
            FormatRequest request = NewSet(main, units, sparePaths.Length);
            MetadataMember[] members = await FormatAsync(options.Name, sparePaths, spares, request);
            WarnOfSize(main.SizeBytes, members, warnings);
            DeviceRecord record = RecordOf(options, main, units, mainPath, sparePaths, request);
            registry.Add(record);
            made.Clear();
            return ReportOf(record, members, warnings);
        }
        finally
        {
            spares.ForEach(spare => spare.Dispose());
            made.ForEach(File.Delete);
        }
    }

    private static UnitGeometry UnitsOf(CreateOptions options, MemberFile main)
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
        CommandOutput output,
        CancellationToken cancellation)
    {
        foreach (string path in sparePaths)
        {
            if (options.SpareBytes is long bytes)
            {
                SpareFile.Create(path, bytes, null, cancellation);
                made.Add(path);
            }
            else if (!File.Exists(path))
            {
                long recommended = SpareLayout.RecommendedSpareBytes(new ByteCount(mainBytes)).Value;
                throw new RefusalException(new Refusal(
                    "DMR-MEMBER-MISSING",
                    ExitCode.NoSuchDevice,
                    path,
                    $"The spare {path} does not exist.",
                    "Check the path, or add --spare-size SIZE to make it as a file (recommended "
                        + $"here: {Amounts.Bytes(recommended)})."));
            }
        }
    }

    private static async Task<MemberFile> OpenSpareAsync(
        string path, MemberFile main, UnitGeometry units, CommandOutput output,
        CancellationToken cancellation)
    {
        MemberRules.RequireUnused(path);
        if (IsRegularFile(path))
        {
            MemberRules.RequireSpareSize(path, new FileInfo(path).Length, Limits.SpareBytesMin);
            // A file with holes would run out of space in the middle of a remap (F-37).
            SpareFile.EnsureFullyWritten(path, null, cancellation);
        }
        MemberOptions options = new()
        {
            BlockBytes = units.BlockSize.Bytes,
            FilePhysicalBlockBytes = main.Geometry.PhysicalBlockBytes,
        };
        MemberFile spare = await OpenedMember.ClaimAsync(path, options, output.Note, cancellation);
        try
        {
            MemberRules.RequireSpareMode(main, spare);
            MemberRules.RequireSpareSize(path, spare.SizeBytes, Limits.SpareBytesMin);
            return spare;
        }
        catch
        {
            spare.Dispose();
            throw;
        }
    }

    private static bool IsRegularFile(string path) => File.Exists(path)
        && (File.GetAttributes(path) & (FileAttributes.Device | FileAttributes.Directory)) == 0
        && new FileInfo(path).Length > 0;

    private static void Confirm(
        CreateOptions options,
        string mainPath,
        string[] sparePaths,
        List<string> made,
        List<string> warnings,
        CommandOutput output)
    {
        foreach (Refusal concern in MemberRules.FindConcerns(mainPath, sparePaths))
        {
            if (!options.Force || !concern.CanBeForced)
            {
                throw new RefusalException(concern);
            }
            warnings.Add(concern.Message);
        }
        if (made.Count < sparePaths.Length)
        {
            output.RequireYes($"The content of {string.Join(", ", sparePaths)} will be overwritten.");
        }
    }

    private static FormatRequest NewSet(MemberFile main, UnitGeometry units, int spareCount) => new()
    {
        SetUuid = Guid.NewGuid(),
        MemberUuids = [.. Enumerable.Range(0, spareCount).Select(_ => Guid.NewGuid())],
        Geometry = units,
        PrimaryPhysicalBlockBytes = main.Geometry.PhysicalBlockBytes,
        Primary = new PrimaryIdentity { Bytes = main.SizeBytes, Text = PrimaryFingerprint.Of(main).ToText() },
        Epoch = NewEpoch(),
    };

    /// <summary>Random, so that two histories never share one; never zero.</summary>
    internal static ulong NewEpoch() => BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)) | 1;

    private static async Task<MetadataMember[]> FormatAsync(
        string name, string[] paths, List<MemberFile> spares, FormatRequest request)
    {
        using LoopHost host = new(name);
        await host.Started;
        Formatting formatting = new();
        UringFile[] devices = [];
        await host.RunAsync(() =>
        {
            devices =
                [.. spares.Select(spare =>
                    OpenedMember.Attach(host.Loop, spare, request.Geometry.BlockSize))];
            new MetadataFormatter(host.Loop, devices, request, formatting).Begin();
        });
        MetadataFormatter formatter = await formatting.Ended;
        await host.RunAsync(() => Array.ForEach(devices, device => device.Retire()));
        Array.ForEach(devices, device => device.Dispose());
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
        MemberFile main,
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
