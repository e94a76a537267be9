using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Attaching;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Devices;

/// <summary>
/// Finds devices by name: the running one behind its control socket first, then the registry.
/// </summary>
internal sealed class DeviceLookup(CliServices services)
{
    /// <summary>
    /// Null when it is not running. A damaged registry does not keep a running device from its commands.
    /// </summary>
    public async Task<ControlClient?> TryConnectAsync(string name, CancellationToken cancellation)
    {
        string path = services.FindDirectories().ControlSocketPath(name);
        return await ControlClient.TryConnectAsync(path, name, services.AnswerTimeout, cancellation);
    }

    /// <exception cref="RefusalException">DMR-DEVICE-RUNNING (exit 4).</exception>
    public async Task RequireStoppedAsync(string name, CancellationToken cancellation)
    {
        using ControlClient? client = await TryConnectAsync(name, cancellation);
        if (client is not null && services.Attacher.FindAttached(name) is Attachment attached)
        {
            throw new RefusalException(AttachRefusals.Running(name, attached.Path));
        }
        if (client is not null)
        {
            throw new RefusalException(new Refusal(
                MessageIds.Running,
                ExitCode.InUse,
                name,
                $"\"{name}\" is running.",
                $"Stop it first: dmremap stop {name}"));
        }
    }

    /// <exception cref="RefusalException">No such device (exit 3), or not running (exit 1).</exception>
    public async Task<ControlClient> ConnectAsync(string name, CancellationToken cancellation)
    {
        ControlClient? client = await TryConnectAsync(name, cancellation);
        if (client is not null)
        {
            return client;
        }
        _ = services.OpenRegistry().Load(name);
        throw new RefusalException(ControlRefusals.NotRunning(name));
    }

    /// <summary>Of the running device, or what the registry knows of the stopped one.</summary>
    public async Task<DeviceStatus> GetStatusAsync(string name, CancellationToken cancellation)
    {
        using ControlClient? client = await TryConnectAsync(name, cancellation);
        return WithAttached(client is null
            ? await UnansweredAsync(services.OpenRegistry().Load(name), cancellation)
            : await client.GetStatusAsync(cancellation));
    }

    /// <summary>Of a device that no control socket here answers for.</summary>
    public ServedElsewhere Elsewhere(DeviceRecord record) =>
        new(record, services.FindDirectories().RunPath, services.Time);

    /// <summary>
    /// Where no control socket answered, and a server holds the members all the same: it may have been
    /// starting, and answers now. Null: nobody holds them.
    /// </summary>
    /// <exception cref="RefusalException">
    /// DMR-MEMBER-IN-USE (exit 4): its control socket is not here.
    /// </exception>
    public async Task<ControlClient?> TryConnectToHolderAsync(
        DeviceRecord record, CancellationToken cancellation)
    {
        ServedElsewhere elsewhere = Elsewhere(record);
        if (await elsewhere.FindAsync(cancellation) is not HeldMember held)
        {
            return null;
        }
        return await TryConnectAsync(record.Name, cancellation)
            ?? throw new RefusalException(elsewhere.InUse(held));
    }

    /// <summary>Every registered device, asked at the same time, in the order of names.</summary>
    public async Task<IReadOnlyList<DeviceAnswer>> GetAllAsync(CancellationToken cancellation)
    {
        List<Task<DeviceAnswer>> asked = [];
        foreach (RegistryEntry entry in services.OpenRegistry().List())
        {
            asked.Add(AskAsync(entry, cancellation));
        }
        return await Task.WhenAll(asked);
    }

    private async Task<DeviceAnswer> AskAsync(RegistryEntry entry, CancellationToken cancellation)
    {
        try
        {
            using ControlClient? client = await TryConnectAsync(entry.Name, cancellation);
            if (client is not null)
            {
                DeviceStatus status = await client.GetStatusAsync(cancellation);
                return new DeviceAnswer(entry.Name, WithAttached(status), null);
            }
            return entry.Record is null
                ? new DeviceAnswer(entry.Name, null, entry.Problem)
                : new DeviceAnswer(entry.Name, WithAttached(Stopped(entry.Record)), null);
        }
        catch (RefusalException refused)
        {
            return new DeviceAnswer(entry.Name, null, refused.Refusal);
        }
    }

    /// <summary>Stopped, unless its members show that somebody serves it.</summary>
    private async Task<DeviceStatus> UnansweredAsync(DeviceRecord record, CancellationToken cancellation) =>
        await Elsewhere(record).FindAsync(cancellation) is HeldMember held
            ? RecordStatus.Of(record, DeviceStates.Unreachable) with { Pid = held.Holder.ProcessId }
            : Stopped(record);

    private DeviceStatus WithAttached(DeviceStatus status) =>
        status with { Attached = services.Attacher.FindAttached(status.Name) };

    private static DeviceStatus Stopped(DeviceRecord record) =>
        RecordStatus.Of(record, DeviceStates.Stopped);
}

/// <summary>A status, or why there is none.</summary>
internal sealed record DeviceAnswer(string Name, DeviceStatus? Status, Refusal? Problem);
