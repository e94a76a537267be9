using System;
using System.Runtime.InteropServices;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Loop;

public sealed partial class UringLoop
{
    /// <summary>Lets other threads end the wait: an eventfd with one read always outstanding.</summary>
    private sealed class WakeTarget : CompletionTarget, IDisposable
    {
        // A handle, because a thread that has just posted may signal while another disposes of the loop.
        private readonly SafeFileHandle _event;
        private readonly int _fd;
        private readonly BufferSlice _counter = AlignedMemory.Allocate(sizeof(ulong));
        private int _isSignalled;

        public WakeTarget(UringLoop loop, OperationOwner owner)
            : base(loop, owner)
        {
            // Without EFD_NONBLOCK: older kernels would answer EAGAIN instead of waiting.
            _fd = UringNative.CreateEventFd(0, UringNative.EFD_CLOEXEC);
            if (_fd < 0)
            {
                throw new SystemCallException("eventfd", loop._name, Marshal.GetLastPInvokeError());
            }
            _event = new SafeFileHandle(_fd, ownsHandle: true);
        }

        public void Arm() => Loop.SubmitRead(this, _fd, _counter, 0);

        public void Signal()
        {
            // The first one writes; the rest know that the loop has still to look.
            if (Interlocked.Exchange(ref _isSignalled, 1) == 0)
            {
                WriteEvent();
            }
        }

        public void Dispose() => _event.Dispose();

        protected override void OnCompleted(int result)
        {
            Invariant.Check(result == sizeof(ulong));
            // Before looking into the queue: a message that comes later then signals again.
            Interlocked.Exchange(ref _isSignalled, 0);
            Loop.RunMessages();
            if (!Loop._isStopping)
            {
                Arm();
            }
        }

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
}
