using System;
using System.Collections.Generic;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Fuse;
using DmRemap.Linux.Loops;
using DmRemap.Linux.Native;

namespace DmRemap.Cli.Attaching;

/// <summary>
/// The way back, from the top: nobody uses it → the loop device lets go of the file → it is unmounted. Each
/// step may wait for the server, and the server for a disk that is stuck: then the connection to it is
/// ended, which answers everything with an error. So it ends, also where the server has died or hangs.
/// </summary>
internal sealed class Detaching(CliServices services, string name, string point)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_openersPatience = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(20);

    public bool IsAttached => FuseMount.IsMounted(point) || LoopDevice.On(point).Count > 0;

    /// <summary>The connection had to be ended with requests in flight.</summary>
    public bool IsForced { get; private set; }

    /// <exception cref="RefusalException">DMR-ATTACH-IN-USE (exit 4).</exception>
    public async Task RunAsync()
    {
        IReadOnlyList<LoopDevice> loops = LoopDevice.On(point);
        foreach (LoopDevice loop in loops)
        {
            await RequireUnusedAsync(loop);
        }
        foreach (LoopDevice loop in loops)
        {
            bool wasLinked = DeviceLink.Remove(name, loop.Path);
            try
            {
                await DetachAsync(loop);
            }
            catch
            {
                _ = wasLinked ? DeviceLink.TryMake(name, loop.Path, point) : null;
                throw;
            }
            await RenewAsync(loop);
        }
        await UnmountAsync();
    }

    private async Task RequireUnusedAsync(LoopDevice loop)
    {
        string[] users = [.. AttachRefusals.Words(loop.Path, loop.FindUsers())];
        if (users.Length > 0)
        {
            throw new RefusalException(AttachRefusals.InUse(name, users));
        }
        long began = services.Time.GetTimestamp();
        while (loop.FindOpeners() is { Count: > 0 } openers)
        {
            // udev looks at a new device for a moment.
            if (services.Time.GetElapsedTime(began) >= s_openersPatience)
            {
                users = [.. AttachRefusals.Words(loop.Path, openers)];
                throw new RefusalException(AttachRefusals.InUse(name, users));
            }
            await Task.Delay(s_pause, services.Time);
        }
    }

    private async Task DetachAsync(LoopDevice loop)
    {
        int errno = await BoundedAsync(loop.TryDetach);
        if (errno == Errno.EBUSY)
        {
            // Mounted where this process cannot see it, or since it looked.
            throw new RefusalException(AttachRefusals.NotReleased(name, loop.Path));
        }
        if (errno is not (0 or Errno.ENXIO))
        {
            throw new RefusalException(
                AttachRefusals.Failed(name, $"{loop.Path} does not let go of it ({Errno.Name(errno)})"));
        }
        long began = services.Time.GetTimestamp();
        while (loop.IsAttached)
        {
            // udev looks at every device that changes, and closes it again.
            if (services.Time.GetElapsedTime(began) >= s_patience)
            {
                throw new RefusalException(AttachRefusals.NotReleased(name, loop.Path));
            }
            await Task.Delay(s_pause, services.Time);
        }
    }

    /// <summary>
    /// Others are to find the number as they would a new one. Where that cannot be, it is free all the same.
    /// </summary>
    private async Task RenewAsync(LoopDevice loop)
    {
        long began = services.Time.GetTimestamp();
        // udev looks at it once more; and somebody else may have taken it.
        while (await Task.Run(loop.TryRenew) == Errno.EBUSY
            && !loop.IsAttached
            && services.Time.GetElapsedTime(began) < s_openersPatience)
        {
            await Task.Delay(s_pause, services.Time);
        }
    }

    private async Task UnmountAsync()
    {
        long began = services.Time.GetTimestamp();
        while (FuseMount.IsMounted(point))
        {
            // Nobody is served by a dead one, whoever has it open. One that hangs is dead when it was ended.
            bool isDead = await BoundedAsync(() => FuseMount.StateOf(point)) == FuseMountState.Dead;
            int errno = await BoundedAsync(() => FuseMount.TryUnmount(point, lazy: isDead));
            if (errno is 0 or Errno.EINVAL)
            {
                continue;
            }
            if (errno != Errno.EBUSY)
            {
                throw new RefusalException(
                    AttachRefusals.Failed(name, $"{point} cannot be unmounted ({Errno.Name(errno)})"));
            }
            // The loop device has let go of it a moment ago, or somebody has it open.
            if (services.Time.GetElapsedTime(began) >= TimeSpan.FromSeconds(1))
            {
                throw new RefusalException(AttachRefusals.InUse(name, Openers()));
            }
            await Task.Delay(s_pause, services.Time);
        }
    }

    private string[] Openers()
    {
        string[] openers = [.. AttachRefusals.Words(point, FuseMount.FindOpeners(point))];
        return openers.Length > 0 ? openers : [$"{point} is open in a process that cannot be seen from here"];
    }

    /// <summary>What takes too long waits for requests; they end when the connection does.</summary>
    private async Task<T> BoundedAsync<T>(Func<T> step)
    {
        Task<T> running = Task.Run(step);
        if (await Task.WhenAny(running, Task.Delay(s_patience, services.Time)) != running)
        {
            IsForced = true;
            await Task.Run(() => FuseMount.Abort(point));
        }
        return await running;
    }
}
