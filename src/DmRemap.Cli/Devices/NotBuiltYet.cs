using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Devices;

/// <summary>The one place that refuses what this build does not contain.</summary>
internal sealed class NotBuiltYet
    : IDeviceCreator, IDeviceServer, IDeviceAttacher, IMetadataTools, IDeviceRebinder, ILabServer,
        IDemonstration
{
    public Task<CreateReport> CreateAsync(
        CreateOptions options, CommandOutput output, CancellationToken cancellation) =>
        throw new RefusalException(Missing("create", options.Name));

    public Task<RebindReport> RebindAsync(
        RebindOptions options, CommandOutput output, CancellationToken cancellation) =>
        throw new RefusalException(Missing("rebind", options.Name));

    public Task<ExitCode> ServeAsync(
        ServeOptions options, CommandOutput output, CancellationToken cancellation) =>
        throw new RefusalException(Missing("serve", options.Name));

    public Task<AttachedDevice> AttachAsync(
        AttachOptions options, CommandOutput output, CancellationToken cancellation) =>
        throw new RefusalException(Missing("attach", options.Name));

    public Task<DetachedDevice> DetachAsync(
        string name, CommandOutput output, CancellationToken cancellation) =>
        throw new RefusalException(Missing("detach", name));

    public Attachment? FindAttached(string name) => null;

    public Task<ExitCode> CheckAsync(
        SetChoice choice, CommandOutput output, CancellationToken cancellation) =>
        throw new RefusalException(Missing("check", choice.Name ?? "-"));

    public Task<ExitCode> DumpAsync(
        SetChoice choice, bool withRecords, CommandOutput output, CancellationToken cancellation) =>
        throw new RefusalException(Missing("dump", choice.Name ?? "-"));

    public Task<ExitCode> RepairAsync(
        RepairOptions options, CommandOutput output, CancellationToken cancellation) =>
        throw new RefusalException(Missing("repair", options.Name));

    public Task<ExitCode> RunAsync(
        DemoOptions options, CommandOutput output, CancellationToken cancellation) =>
        throw new RefusalException(Missing("demo", "-"));

    public Task<ExitCode> ServeAsync(
        LabOptions options, CommandOutput output, CancellationToken cancellation) =>
        throw new RefusalException(Missing("lab serve", options.Name));

    private static Refusal Missing(string command, string device) => new(
        MessageIds.NotBuilt,
        ExitCode.MissingHere,
        device,
        $"This build of dmremap does not contain \"{command}\".",
        "Use a complete build.");
}
