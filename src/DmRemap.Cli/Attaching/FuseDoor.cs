using System;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Engine;
using DmRemap.FrontEnds.Fuse;
using DmRemap.Linux.Fuse;
using DmRemap.Linux.Loops;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Cli.Attaching;

/// <summary>
/// The device as a file that the kernel can use: mounted when somebody asks for it, in the run directory.
/// Unmounting is done from outside (`detach`); the kernel tells the server then, which is ready for the next
/// time.
/// </summary>
internal sealed class FuseDoor(string name, string main, string point, LoopHost host, Action<string> say)
    : IFuseWatcher
{
    /// <summary>Of reads by the kernel; zero: none.</summary>
    public Duration ReadDeadline { get; init; }

    /// <summary>The kernel's first message comes at once.</summary>
    private static readonly TimeSpan s_agreeTimeout = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan s_idleTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(10);

    private readonly Lock _gate = new();
    private Task<AttachReport>? _attaching;
    private TaskCompletionSource? _opened;
    private FuseServer? _server;
    private bool _isServing;

    /// <summary>The loop's thread only.</summary>
    private bool _isShutDown;

    /// <summary>Null before it is attached for the first time.</summary>
    public FuseServer? Server => Volatile.Read(ref _server);

    /// <summary>The file, while it is served; else null.</summary>
    public string? File => Volatile.Read(ref _isServing) ? point : null;

    /// <summary>Where it is already: just that. Whoever asks at the same time gets the same.</summary>
    public Task<AttachReport> AttachAsync(RemapDevice device, TimeProvider time)
    {
        lock (_gate)
        {
            if (_attaching is null or { IsCompleted: true })
            {
                _attaching = Task.Run(() => AttachNowAsync(device, time));
            }
            return _attaching;
        }
    }

    /// <summary>On the loop's thread, as all that follow.</summary>
    public void Hold() => Server?.Hold();

    public void Release() => Server?.Release();

    /// <summary>Answer what was asked, close, then run the message.</summary>
    public void Shutdown(ILoopMessage whenClosed)
    {
        _isShutDown = true;
        if (Server is FuseServer server)
        {
            server.Shutdown(whenClosed);
        }
        else
        {
            whenClosed.Run();
        }
    }

    /// <summary>
    /// Take the file out of sight, unless a block device stands on it: that one is found by it. From any
    /// thread but the loop's, after the server has closed.
    /// </summary>
    public void Unmount()
    {
        if (FuseMount.IsMounted(point) && LoopDevice.On(point).Count == 0)
        {
            TakeAway();
        }
    }

    private void TakeAway()
    {
        if (FuseMount.IsMounted(point))
        {
            _ = FuseMount.TryUnmount(point, lazy: true);
        }
        MountPoint.TryDelete(point);
    }

    void IFuseWatcher.OnServing()
    {
        Volatile.Write(ref _isServing, true);
        _opened?.TrySetResult();
    }

    void IFuseWatcher.OnClosed(string problem)
    {
        Volatile.Write(ref _isServing, false);
        Refusal refusal = problem.Length > 0
            ? AttachRefusals.Unsafe(name, problem)
            : AttachRefusals.Failed(name, "it was unmounted at once");
        bool wasOpening = _opened?.TrySetException(new RefusalException(refusal)) ?? false;
        if (!wasOpening && problem.Length > 0)
        {
            say($"DMR-EVENT-ATTACH-ENDED {name}: {problem}; whoever uses it gets I/O errors. "
                + $"Run dmremap detach {name}, then attach it again.");
        }
    }

    private async Task<AttachReport> AttachNowAsync(RemapDevice device, TimeProvider time)
    {
        FuseMountState state = FuseMount.StateOf(point);
        if (state == FuseMountState.Served && File is not null)
        {
            return Report(device, wasAttached: true);
        }
        if (_server is null)
        {
            (uint user, uint group) = FuseMount.Owner;
            FuseServer made = new(
                host.Loop, device, this, user, group, time.GetUtcNow().ToUnixTimeSeconds(), ReadDeadline);
            await host.RunAsync(() => Volatile.Write(ref _server, made));
        }
        FuseServer server = _server!;
        await WaitUntilIdleAsync(server, time);
        PreparePoint(state);
        SafeFileHandle kernel = MountIt();
        try
        {
            await OpenAsync(server, kernel).WaitAsync(s_agreeTimeout, time);
            return Report(device, wasAttached: false);
        }
        catch (Exception e)
        {
            await host.RunAsync(server.Abort);
            TakeAway();
            if (e is TimeoutException)
            {
                throw new RefusalException(
                    AttachRefusals.Failed(name, "the kernel's FUSE does not begin to speak"), e);
            }
            throw;
        }
    }

    /// <summary>
    /// A detach is done when the file is unmounted; that the server has seen it comes a moment later.
    /// </summary>
    private async Task WaitUntilIdleAsync(FuseServer server, TimeProvider time)
    {
        long began = time.GetTimestamp();
        while (!await host.RunAsync(() => server.IsIdle))
        {
            if (time.GetElapsedTime(began) >= s_idleTimeout)
            {
                int pieces = await host.RunAsync(() => server.PiecesAtDevice);
                throw new RefusalException(AttachRefusals.StillServing(name, pieces));
            }
            await Task.Delay(s_pause, time);
        }
    }

    private SafeFileHandle MountIt()
    {
        try
        {
            return FuseMount.Mount(main, point, FuseServer.TransferBytesMax);
        }
        catch (SystemCallException e)
        {
            TakeAway();
            throw new RefusalException(AttachRefusals.Of(name, e), e);
        }
    }

    private async Task OpenAsync(FuseServer server, SafeFileHandle kernel)
    {
        TaskCompletionSource opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
        bool isOpened = await host.RunAsync(() =>
        {
            _opened = opened;
            // A server that was made while the device was stopping has not been told of that.
            return !_isShutDown && server.TryOpen(host.Loop, kernel);
        });
        if (!isOpened)
        {
            kernel.Dispose();
            throw new RefusalException(AttachRefusals.Failed(name, "the device is stopping"));
        }
        await opened.Task;
    }

    /// <summary>
    /// A file of our own to mount over. What an earlier instance left there is taken away, unless a block
    /// device stands on it: that one is found by it, and would stay for good.
    /// </summary>
    private void PreparePoint(FuseMountState state)
    {
        bool isFree = state == FuseMountState.None
            || (LoopDevice.On(point).Count == 0 && FuseMount.TryUnmount(point, lazy: true) == 0);
        if (!isFree)
        {
            throw new RefusalException(AttachRefusals.Leftovers(name));
        }
        MountPoint.Make(point, name);
    }

    private AttachReport Report(RemapDevice device, bool wasAttached) => new()
    {
        Path = point,
        SizeBytes = device.Geometry.Bytes.Value,
        BlockSize = device.Geometry.LogicalBlockSize.Bytes,
        ReadOnly = device.Geometry.IsReadOnly,
        MainPath = main,
        ZeroesFast = device.Primary.Device.Geometry.CanZeroFast,
        TransferBytesMax = FuseServer.TransferBytesMax,
        WasAttached = wasAttached,
    };
}
