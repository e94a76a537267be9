using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Devices;

/// <summary>Makes a device out of a main device and its spares.</summary>
public interface IDeviceCreator
{
    /// <exception cref="RefusalException">Nothing was changed, or what was is said.</exception>
    Task<CreateReport> CreateAsync(
        CreateOptions options, CommandOutput output, CancellationToken cancellation);
}

/// <summary>Gives a stopped device's member another place.</summary>
public interface IDeviceRebinder
{
    /// <exception cref="RefusalException">Nothing was changed, or what was is said.</exception>
    Task<RebindReport> RebindAsync(
        RebindOptions options, CommandOutput output, CancellationToken cancellation);
}

/// <summary>Serves a device in the foreground.</summary>
public interface IDeviceServer
{
    /// <summary>
    /// Returns when the device is stopped: Done, or DoneDegraded when the deadline ended it.
    /// </summary>
    /// <exception cref="RefusalException">It could not be started.</exception>
    Task<ExitCode> ServeAsync(ServeOptions options, CommandOutput output, CancellationToken cancellation);
}

/// <summary>Makes a device one of the kernel's, and takes it back.</summary>
public interface IDeviceAttacher
{
    /// <exception cref="RefusalException">Nothing is attached that was not before.</exception>
    Task<AttachedDevice> AttachAsync(
        AttachOptions options, CommandOutput output, CancellationToken cancellation);

    /// <exception cref="RefusalException">It is in use (exit 4), or could not be let go.</exception>
    Task<DetachedDevice> DetachAsync(string name, CommandOutput output, CancellationToken cancellation);

    /// <summary>What it is attached as, or null.</summary>
    Attachment? FindAttached(string name);
}

/// <summary>Looks at the metadata of a device that is not served, and repairs it.</summary>
public interface IMetadataTools
{
    /// <summary>
    /// Reads and never writes. Done: all is whole; DoneDegraded: usable, and the next start repairs it; else
    /// what `serve` would end with.
    /// </summary>
    Task<ExitCode> CheckAsync(SetChoice choice, CommandOutput output, CancellationToken cancellation);

    /// <summary>Everything on the spares that says what is where. Exits as CheckAsync does.</summary>
    Task<ExitCode> DumpAsync(
        SetChoice choice, bool withRecords, CommandOutput output, CancellationToken cancellation);

    /// <summary>What a start does to the metadata, and nothing else.</summary>
    Task<ExitCode> RepairAsync(
        RepairOptions options, CommandOutput output, CancellationToken cancellation);
}

/// <summary>Serves a disk that fails on purpose, in the foreground.</summary>
public interface ILabServer
{
    /// <summary>Returns when it is stopped: Done, or DoneDegraded when the deadline ended it.</summary>
    /// <exception cref="RefusalException">It could not be started.</exception>
    Task<ExitCode> ServeAsync(LabOptions options, CommandOutput output, CancellationToken cancellation);
}

/// <summary>The demonstration.</summary>
public interface IDemonstration
{
    /// <summary>Done when every byte was right.</summary>
    Task<ExitCode> RunAsync(DemoOptions options, CommandOutput output, CancellationToken cancellation);
}
