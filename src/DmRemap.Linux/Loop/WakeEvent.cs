using System;
using System.Runtime.InteropServices;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Loop;

/// <summary>Lets other threads end the loop's wait: an eventfd.</summary>
internal sealed class WakeEvent : IDisposable
{
    // A handle, because a thread that has just posted may signal while another disposes of the loop.
    private readonly SafeFileHandle _event;
    private int _isSignalled;

    public WakeEvent(string loop)
    {
        // Without EFD_NONBLOCK: older kernels would answer a read on a ring with EAGAIN instead of waiting.
        FileDescriptor = UringNative.CreateEventFd(0, UringNative.EFD_CLOEXEC);
        if (FileDescriptor < 0)
        {
            throw new SystemCallException("eventfd", loop, Marshal.GetLastPInvokeError());
        }
        _event = new SafeFileHandle(FileDescriptor, ownsHandle: true);
    }

    public int FileDescriptor { get; }

    /// <summary>From any thread.</summary>
    public void Signal()
    {
        // The first one writes; the rest know that the loop has still to look.
        if (Interlocked.Exchange(ref _isSignalled, 1) == 0)
        {
            WriteEvent();
        }
    }

    /// <summary>
    /// By the loop, woken by it, before it looks into any queue: what comes later then signals again.
    /// </summary>
    public void Reset() => Interlocked.Exchange(ref _isSignalled, 0);

    public void Dispose() => _event.Dispose();

    private unsafe void WriteEvent()
    {
        ulong one = 1;
        nint written;
        try
        {
            do
            {
                written = UringNative.Write(_event, &one, sizeof(ulong));
            }
            while (written < 0 && Marshal.GetLastPInvokeError() == Errno.EINTR);
        }
        catch (ObjectDisposedException)
        {
            // The loop has ended and run all it was given; nobody is left to wake.
            return;
        }
        Invariant.Check(written == sizeof(ulong));
    }
}
