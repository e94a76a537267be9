using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Cli.Devices;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Lifecycle;
using DmRemap.Linux.Fuse;
using DmRemap.Linux.Loops;
using DmRemap.Linux.Native;

namespace DmRemap.Cli.Attaching;

/// <summary>
/// `attach`: serve the device if nobody does → its server makes it a file → a loop device over that. The
/// kernel's own tables say what is there already, so that it can be repeated at any point: after a failure,
/// after a crash of this program or of the server. What it made is undone when it cannot go on.
/// </summary>
internal sealed class DeviceAttacher(CliServices services) : IDeviceAttacher
{
    public async Task<AttachedDevice> AttachAsync(
        AttachOptions options, CommandOutput output, CancellationToken cancellation)
    {
        RequirePossible(options);
        HostDirectories directories = services.FindDirectories();
        string name = options.Name;
        await RequireKnownAsync(name, cancellation);
        directories.PrepareRun();
        using AttachLock at = await AttachLock.TakeAsync(
            directories.AttachPath(name), name, services.Time, cancellation);
        DeviceLookup lookup = new(services);
        using ControlClient? running = await lookup.TryConnectAsync(name, cancellation);
        bool isStarted = running is null;
        if (isStarted)
        {
            _ = services.OpenRegistry().Load(name);
        }
        if (isStarted || await IsLeftByDeadAsync(directories, name))
        {
            await ClearAsync(directories, name);
        }
        if (!options.AsFile && LoopDevice.On(directories.DiskPath(name)).Count == 0)
        {
            DeviceLink.RequireFree(name, directories.DiskPath(name));
            await RequireAwakeAsync(name, running, cancellation);
        }
        StartedServer server = new(services, name, at);
        if (isStarted)
        {
            await server.StartAsync(options.Wait, cancellation);
        }
        ControlClient? client = running;
        AttachReport? file = null;
        try
        {
            // Not cut off: only who knows what the server has made can undo it. Both are bounded.
            client ??= await lookup.ConnectAsync(name, CancellationToken.None);
            file = await client.AttachAsync(CancellationToken.None);
            cancellation.ThrowIfCancellationRequested();
            RequireSeen(name, file);
            AttachedDevice attached = options.AsFile
                ? new AttachedDevice(name, null, null, file.Path, file.WasAttached, isStarted)
                : await AttachLoopAsync(name, file, cancellation) with { Started = isStarted };
            if (attached is { Device: not null, Link: null })
            {
                output.Note($"{name}: the link /dev/dmremap/{name} could not be made, or is another "
                    + $"device's; use {attached.Device}.");
            }
            return attached;
        }
        catch
        {
            await UndoAsync(name, file, server, output);
            throw;
        }
        finally
        {
            client?.Dispose();
        }
    }

    public async Task<DetachedDevice> DetachAsync(
        string name, CommandOutput output, CancellationToken cancellation)
    {
        HostDirectories directories = services.FindDirectories();
        Detaching detaching = new(services, name, directories.DiskPath(name));
        if (!detaching.IsAttached && !File.Exists(directories.AttachPath(name)))
        {
            await RequireKnownAsync(name, cancellation);
        }
        directories.PrepareRun();
        using AttachLock at = await AttachLock.TakeAsync(
            directories.AttachPath(name), name, services.Time, cancellation);
        if (!detaching.IsAttached && at.StartedProcess is null)
        {
            if (await RequireKnownAsync(name, cancellation) is DeviceRecord stopped)
            {
                await new DeviceLookup(services).Elsewhere(stopped).RequireNoneAsync(cancellation);
            }
            return new DetachedDevice(name, false, false, false, StopReport: null, ServerLeft: null);
        }
        bool wasAttached = detaching.IsAttached;
        await detaching.RunAsync();
        ServerEnd? end = await new StartedServer(services, name, at).StopAsync(cancellation);
        MountPoint.TryDelete(directories.DiskPath(name));
        return new DetachedDevice(
            name, wasAttached, end is { Left: null }, detaching.IsForced, end?.Report, end?.Left);
    }

    public Attachment? FindAttached(string name)
    {
        string point = services.FindDirectories().DiskPath(name);
        IReadOnlyList<LoopDevice> loops = LoopDevice.On(point);
        if (loops.Count > 0)
        {
            return new Attachment(loops[0].Path, DeviceLink.Find(name, loops[0].Path), point);
        }
        return FuseMount.IsMounted(point) ? new Attachment(null, null, point) : null;
    }

    /// <summary>
    /// Before anything is made for the name: a server or the registry knows it. The record, where no server
    /// answers.
    /// </summary>
    private async Task<DeviceRecord?> RequireKnownAsync(string name, CancellationToken cancellation)
    {
        using ControlClient? client = await new DeviceLookup(services).TryConnectAsync(name, cancellation);
        return client is null ? services.OpenRegistry().Load(name) : null;
    }

    /// <summary>
    /// The kernel reads the first blocks of a new disk. The server cannot refuse this where it is a file
    /// already: that one is only named.
    /// </summary>
    private static async Task RequireAwakeAsync(
        string name, ControlClient? running, CancellationToken cancellation)
    {
        if (running is not null
            && (await running.GetStatusAsync(cancellation)).State
                is DeviceStates.Suspending or DeviceStates.Suspended)
        {
            throw new RefusalException(LifeWords.Refused(name, LifeState.Quiesced, "attach"));
        }
    }

    /// <summary>What can be known to fail before anything is started.</summary>
    private void RequirePossible(AttachOptions options)
    {
        if (!File.Exists("/dev/fuse"))
        {
            throw new RefusalException(AttachRefusals.NoFuse(options.Name));
        }
        if (options.AsFile)
        {
            return;
        }
        if (services.Files.UserId != 0)
        {
            throw new RefusalException(AttachRefusals.NeedsRoot(options.Name));
        }
        if (!File.Exists("/dev/loop-control"))
        {
            throw new RefusalException(AttachRefusals.NoLoop(options.Name));
        }
    }

    /// <summary>
    /// Of a server before the one that runs: its block device stands on a file that nobody serves any more.
    /// </summary>
    private static Task<bool> IsLeftByDeadAsync(HostDirectories directories, string name) => Task.Run(
        () => FuseMount.StateOf(directories.DiskPath(name)) == FuseMountState.Dead);

    /// <summary>What a server that has died left behind, unless somebody uses it.</summary>
    private async Task ClearAsync(HostDirectories directories, string name)
    {
        Detaching left = new(services, name, directories.DiskPath(name));
        if (!left.IsAttached)
        {
            return;
        }
        try
        {
            await left.RunAsync();
        }
        catch (RefusalException e) when (e.ExitCode == ExitCode.InUse)
        {
            throw new RefusalException(AttachRefusals.Leftovers(name), e);
        }
    }

    /// <summary>
    /// Its size is looked at before loop does: Linux 6.12 makes a device of 0 bytes of a file that nobody has
    /// looked at yet (F-10).
    /// </summary>
    private static void RequireSeen(string name, AttachReport file)
    {
        long bytes = File.Exists(file.Path) ? new FileInfo(file.Path).Length : -1;
        if (bytes != file.SizeBytes || !FuseMount.IsMounted(file.Path))
        {
            throw new RefusalException(AttachRefusals.Failed(
                name, $"{file.Path}, which its server has mounted, cannot be seen here: it lives in another "
                    + "mount namespace"));
        }
    }

    /// <summary>
    /// The kernel flushes the file and looks for partitions before it gives the block device back: a disk
    /// that is stuck keeps it there, and only the end of the connection frees it. Who had the file before
    /// this call keeps it.
    /// </summary>
    private static async Task<AttachedDevice> AttachLoopAsync(
        string name, AttachReport file, CancellationToken cancellation)
    {
        Task<AttachedDevice> making = Task.Run(() => AttachLoop(name, file), CancellationToken.None);
        try
        {
            return await making.WaitAsync(file.WasAttached ? CancellationToken.None : cancellation);
        }
        catch (OperationCanceledException)
        {
            await Task.Run(() => FuseMount.Abort(file.Path), CancellationToken.None);
            // What it has made by now is undone with the rest.
            await making.ContinueWith(
                _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            throw;
        }
    }

    private static AttachedDevice AttachLoop(string name, AttachReport file)
    {
        IReadOnlyList<LoopDevice> there = LoopDevice.On(file.Path);
        LoopDevice loop = there.Count > 0 ? there[0] : MakeLoop(name, file);
        if (WhyUnsafe(loop, file) is string problem)
        {
            _ = there.Count == 0 && loop.TryDetach() == 0 ? loop.TryRenew() : 0;
            throw new RefusalException(AttachRefusals.Unsafe(name, problem));
        }
        string? link = DeviceLink.TryMake(name, loop.Path, file.Path);
        return new AttachedDevice(name, loop.Path, link, file.Path, there.Count > 0, Started: false);
    }

    private static LoopDevice MakeLoop(string name, AttachReport file)
    {
        try
        {
            return LoopDevice.Attach(file.Path, file.BlockSize, file.ReadOnly);
        }
        catch (SystemCallException e)
        {
            throw new RefusalException(AttachRefusals.Of(name, e), e);
        }
    }

    /// <summary>Also of one that somebody else has made: what counts is what it is (F-10).</summary>
    private static string? WhyUnsafe(LoopDevice loop, AttachReport file)
    {
        string main = File.Exists(file.MainPath) ? file.MainPath : "";
        return !loop.IsDirect ? $"{loop.Path} does not use direct I/O"
            : loop.Bytes != file.SizeBytes ? $"{loop.Path} has {loop.Bytes} bytes of {file.SizeBytes}"
            : !LoopLimits.TryApply(loop, main, file.TransferBytesMax, file.ZeroesFast)
                ? $"the length of transfers of {loop.Path} cannot be limited (queue/max_sectors_kb)"
                : null;
    }

    /// <summary>
    /// Leave what was there before, and nothing else. The reason why it could not be attached is what the
    /// user is told.
    /// </summary>
    private async Task UndoAsync(
        string name, AttachReport? file, StartedServer server, CommandOutput output)
    {
        // A server that did not say what it made may have made it.
        if (server.IsStarted || file is { WasAttached: false })
        {
            string point = services.FindDirectories().DiskPath(name);
            try
            {
                await new Detaching(services, name, point).RunAsync();
            }
            catch (RefusalException)
            {
                // Somebody uses it already: it is his, and named by `status`.
            }
            MountPoint.TryDelete(point);
        }
        if (server.IsStarted && await server.EndStartedAsync() is int left)
        {
            output.Note($"{name}: its server (process {left}) was told to end, and has not yet; "
                + $"dmremap detach {name} tries again.");
        }
    }
}
