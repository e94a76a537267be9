using System;
using System.Collections.Generic;
using System.CommandLine;
using System.Linq;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Losses;
using DmRemap.Cli.Output;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

internal sealed class LostCommand
{
    /// <summary>What is more is said to be more.</summary>
    private const int ExtentsMax = 100_000;

    private static readonly TimeSpan s_filesTime = TimeSpan.FromSeconds(120);

    /// <summary>For what is under way when that is over.</summary>
    private static readonly TimeSpan s_grace = TimeSpan.FromSeconds(5);

    private readonly Argument<string> _name = CommonOptions.Name();

    private readonly Option<bool> _files = new("--files")
    {
        Description = "Name the files that have lost blocks: asked of the attached device, with the tools of "
            + "its file system (ext2, ext3, ext4, XFS; btrfs while it is mounted), for two minutes at most.",
    };

    public static Command Build(CliServices services, CommonOptions common)
    {
        LostCommand parts = new();
        Command command = new(
            "lost", "List the lost blocks of a running device, why they are lost and since when, and the "
                + "files that have them.")
        {
            parts._name, parts._files,
        };
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        string name = parsed.GetRequiredValue(_name);
        DeviceName.Require(name);
        CommandOutput output = common.OutputFor(services, parsed, name);
        using ControlClient client = await new DeviceLookup(services).ConnectAsync(name, cancellation);
        DeviceStatus status = await client.GetStatusAsync(cancellation);
        LostDocument lost = await ListAsync(client, name, status.SuspectUnits ?? 0, cancellation);
        if (parsed.GetValue(_files) && lost.LostBlocks > 0)
        {
            Attachment? attached = services.Attacher.FindAttached(name);
            lost = lost with { Files = await FindFilesAsync(services, name, attached, status, lost) };
        }
        if (output.IsJson)
        {
            output.Answer(JsonSerializer.Serialize(lost, PlainJson.Types.LostDocument));
        }
        else
        {
            LostText.Write(output, lost);
        }
        bool isUnknown = lost.Files is HitFiles files
            && (files.Unknown is not null || files.FileSystems.Any(one => one.Unknown is not null));
        return (int)(isUnknown || !lost.Complete ? ExitCode.DoneDegraded : ExitCode.Done);
    }

    private static async Task<LostDocument> ListAsync(
        ControlClient client, string name, long suspectUnits, CancellationToken cancellation)
    {
        List<LostRun> extents = [];
        LostPage page = await client.ListLostAsync(new BlockNumber(0), cancellation);
        extents.AddRange(page.Extents);
        while (page.Next is long next && extents.Count < ExtentsMax)
        {
            page = await client.ListLostAsync(new BlockNumber(next), cancellation);
            extents.AddRange(page.Extents);
        }
        return new LostDocument
        {
            Name = name,
            BlockSize = page.BlockSize,
            LostBlocks = page.LostBlocks,
            Extents = extents,
            Complete = page.Next is null,
            SuspectUnits = suspectUnits,
        };
    }

    private static async Task<HitFiles> FindFilesAsync(
        CliServices services, string name, Attachment? attached, DeviceStatus status, LostDocument lost)
    {
        // The block device first: what a mounted file system has changed and not written yet is in its cache,
        // and behind it a block may still be of a file that is gone.
        if ((attached?.Device ?? attached?.File) is not string path)
        {
            return new HitFiles(
                null, [], 0,
                $"{name} is not attached, and only its served view may be asked: dmremap attach {name} "
                    + "(without root: with --file)");
        }
        ToolRun tools = new(s_filesTime, services.Time);
        LostFiles finder =
            new(tools, path, lost.BlockSize, status.Primary.SizeBytes / lost.BlockSize);
        LostExtent[] extents = [.. lost.Extents.Select(run => new LostExtent(run.FirstBlock, run.Blocks))];
        try
        {
            // Not on this thread: the kernel may keep who asks it of a disk that is stuck.
            return await Task.Run(() => finder.FindAsync(extents))
                .WaitAsync(s_filesTime + s_grace, services.Time);
        }
        catch (TimeoutException)
        {
            return new HitFiles(
                path, [], 0, "the kernel gave no answer: a disk is stuck, or what is mounted from it; see "
                    + $"dmremap status {name}");
        }
    }
}
