using System;
using System.CommandLine;
using System.IO;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Attaching;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

internal sealed class DeleteCommand
{
    private readonly Argument<string> _name = CommonOptions.Name();
    private readonly Option<bool> _yes = CommonOptions.Yes();

    public static Command Build(CliServices services, CommonOptions common)
    {
        DeleteCommand parts = new();
        Command command = new(
            "delete", "Forget a stopped device. Its main device and spares are not touched.")
        {
            parts._name, parts._yes,
        };
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        string name = parsed.GetRequiredValue(_name);
        DeviceName.Require(name);
        CommandOutput output = common.OutputFor(services, parsed, name, _yes);
        await new DeviceLookup(services).RequireStoppedAsync(name, cancellation);
        HostDirectories directories = services.FindDirectories();
        string lockPath = directories.AttachPath(name);
        using AttachLock? at = File.Exists(lockPath)
            ? await AttachLock.TakeAsync(lockPath, name, services.Time, cancellation)
            : null;
        if (at is not null)
        {
            // An attach that was at work may have started a server.
            await new DeviceLookup(services).RequireStoppedAsync(name, cancellation);
        }
        DeviceRegistry registry = services.OpenRegistry();
        ServedElsewhere elsewhere = new DeviceLookup(services).Elsewhere(registry.Load(name));
        // Refused before anybody is asked, and nothing is held while a person thinks.
        (await elsewhere.ClaimAsync(cancellation)).Dispose();
        output.RequireYes(
            $"Without its entry, {name} cannot be served, and what was moved to its spares is out of reach.");
        using MemberClaims claims = await elsewhere.ClaimAsync(cancellation);
        bool isDeleted = registry.Remove(name);
        // Afterwards: without it, a device that is still registered would notice less.
        _ = services.OpenWitness(name).Remove();
        _ = services.OpenScrub(name).Remove();
        RemoveWhatAttachLeft(directories, name, at);
        output.Answer(output.IsJson
            ? JsonSerializer.Serialize(new DeleteDocument(name, isDeleted), PlainJson.Types.DeleteDocument)
            : $"{name}: forgotten; main device and spares are as they were");
        return (int)ExitCode.Done;
    }

    /// <summary>The lock last: an attach that waits for it finds that there is no such device.</summary>
    private static void RemoveWhatAttachLeft(HostDirectories directories, string name, AttachLock? at)
    {
        try
        {
            File.Delete(directories.LogPath(name));
            at?.Delete();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Files of a run: they go with the run directory, and hinder nobody.
        }
    }
}
