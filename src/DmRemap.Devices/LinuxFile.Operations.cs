using DmRemap.Core.Abstractions;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Native;

namespace DmRemap.Devices;

/// <summary>One kernel operation each; a request may need several in a row.</summary>
public sealed partial class LinuxFile
{
    private sealed class TransferOperation(LinuxFile file, bool isReserved)
        : CompletionTarget(file._loop, file.Operations)
    {
        private IoRequest? _request;
        private int _done;
        private long _flushFailures;
        private long _untoldFailures;
        private TransientRetry _retry;

        public TransferOperation? NextFree { get; set; }

        /// <summary>What the kernel has of it, or null.</summary>
        public IoRequest? Request => _request;

        public void Start(IoRequest request)
        {
            _request = request;
            _done = 0;
            _flushFailures = file._flushFailures;
            _untoldFailures = file._untoldFailures;
            _retry.Reset();
            request.SubmittedAt = file._loop.Now;
            Continue(request);
        }

        protected override void OnCompleted(int result)
        {
            IoRequest request = _request!;
            if (result == request.Buffer.Length)
            {
                OnAll(request);
            }
            else
            {
                OnPart(request, result);
            }
        }

        private void OnAll(IoRequest request)
        {
            if (request.Operation == IoOperation.Read)
            {
                Finish(request, IoStatus.Ok, 0);
            }
            else if (file.DurabilityOf(request) == WriteDurability.Cached)
            {
                file.NoteAcknowledged(_untoldFailures);
                Finish(request, IoStatus.Ok, 0);
            }
            else if (!file._isForcedByFlush)
            {
                Finish(request, IoStatus.Ok, 0);
            }
            else if (_flushFailures != file._flushFailures)
            {
                // It was out while a flush failed, perhaps for this: the next one would succeed over its
                // loss.
                Finish(request, IoStatus.DeviceError, Errno.EIO);
            }
            else
            {
                Free();
                file.FlushBehind(request);
            }
        }

        private void Continue(IoRequest request)
        {
            BufferSlice rest = _done == 0
                ? request.Buffer
                : request.Buffer.Slice(_done, request.Buffer.Length - _done);
            long offset = (request.Extent.Start.Value * file._blockBytes) + _done;
            if (request.Operation == IoOperation.Read)
            {
                file._loop.SubmitRead(this, file._fd, rest, offset);
            }
            else
            {
                WriteDurability durability =
                    file._isForcedByFlush ? WriteDurability.Cached : file.DurabilityOf(request);
                file._loop.SubmitWrite(this, file._fd, rest, offset, durability);
            }
        }

        /// <summary>An error, or fewer bytes than asked for.</summary>
        private void OnPart(IoRequest request, int result)
        {
            if (_retry.TryAgain(result))
            {
                Continue(request);
                return;
            }
            if (result < 0)
            {
                Finish(request, IoStatus.DeviceError, -result);
                return;
            }
            // On from a whole block; what came of a broken one is asked for again.
            int before = _done;
            _done = (_done + result) & ~(file._blockBytes - 1);
            if (_done == request.Buffer.Length)
            {
                OnAll(request);
            }
            else if (_done > before)
            {
                _retry.Reset();
                Continue(request);
            }
            else
            {
                // Nothing transferred inside the known size: the device is gone or has shrunk, and what is
                // missing must not become zeros (F-17).
                file.NoteCut(request.Extent.Start.Value + (_done / file._blockBytes));
                Finish(request, IoStatus.DeviceError, Errno.ENXIO);
            }
        }

        private void Finish(IoRequest request, IoStatus status, int errno)
        {
            Free();
            file.Complete(request, status, errno);
        }

        public void Free()
        {
            // The next in line first: the owner's answer to this completion goes behind it.
            if (!file._waitingMetadata.IsEmpty)
            {
                Start(file._waitingMetadata.Take());
            }
            else if (!isReserved && !file._waitingTransfers.IsEmpty)
            {
                Start(file._waitingTransfers.Take());
            }
            else
            {
                _request = null;
                ref TransferOperation? free =
                    ref isReserved ? ref file._firstFreeReserved : ref file._firstFreeTransfer;
                NextFree = free;
                free = this;
            }
        }
    }

    private sealed class FlushOperation(LinuxFile file) : CompletionTarget(file._loop, file.Operations)
    {
        private RequestQueue _served;
        private TransientRetry _retry;
        private long _covered;
        private bool _isAsked;

        /// <summary>The first of those that the flush with the kernel is for, or null.</summary>
        public IoRequest? Request => _served.First;

        public void StartIfIdle()
        {
            if (!IsOutstanding && _served.IsEmpty)
            {
                Start();
            }
        }

        protected override void OnCompleted(int result)
        {
            if (_retry.TryAgain(result))
            {
                file._loop.SubmitSyncData(this, file._fd);
                return;
            }
            // Requests that arrive during the completions below wait for the next flush: this one did not
            // cover what completed after it was submitted (F-7).
            RequestQueue served = _served;
            _served = default;
            RequestQueue lost = default;
            if (result >= 0)
            {
                file._flushedWrites = System.Math.Max(file._flushedWrites, _covered);
            }
            else
            {
                lost = file.OnFlushFailed(_isAsked);
            }
            if (!file._waitingFlushes.IsEmpty)
            {
                Start();
            }
            IoStatus status = result < 0 ? IoStatus.DeviceError : IoStatus.Ok;
            while (!served.IsEmpty)
            {
                file.Complete(served.Take(), status, result < 0 ? -result : 0);
            }
            while (!lost.IsEmpty)
            {
                file.Complete(lost.Take(), status, -result);
            }
        }

        /// <summary>One fdatasync for everything that waits for one.</summary>
        private void Start()
        {
            _retry.Reset();
            _covered = file._acknowledgedWrites;
            _isAsked = false;
            while (!file._waitingFlushes.IsEmpty)
            {
                IoRequest request = file._waitingFlushes.Take();
                bool isFlush = request.Operation == IoOperation.Flush;
                _isAsked |= isFlush;
                // A forced write has taken its time from its beginning on.
                request.SubmittedAt = isFlush ? file._loop.Now : request.SubmittedAt;
                _served.Add(request);
            }
            // Barrier: without it a power cut after a client's flush loses what the disk's cache held.
            file._loop.SubmitSyncData(this, file._fd);
        }
    }

    /// <summary>
    /// Discard and write-zeroes: slices, one after another, then a flush if that was asked: fallocate has no
    /// RWF_DSYNC.
    /// </summary>
    private sealed class ZeroOperation(LinuxFile file) : CompletionTarget(file._loop, file.Operations)
    {
        private IoRequest? _request;
        private long _offset;
        private long _end;
        private long _flushFailures;
        private long _untoldFailures;
        private long _sliceBytes;
        private TransientRetry _retry;

        public ZeroOperation? NextFree { get; set; }

        /// <summary>What the kernel has of it, or null.</summary>
        public IoRequest? Request => _request;

        public void Start(IoRequest request)
        {
            _request = request;
            _offset = request.Extent.Start.Value * file._blockBytes;
            _end = request.Extent.End.Value * file._blockBytes;
            _flushFailures = file._flushFailures;
            _untoldFailures = file._untoldFailures;
            _retry.Reset();
            request.SubmittedAt = file._loop.Now;
            Continue(request);
        }

        protected override void OnCompleted(int result)
        {
            IoRequest request = _request!;
            if (_retry.TryAgain(result))
            {
                Continue(request);
            }
            else if (result == -Errno.EOPNOTSUPP)
            {
                Finish(request, IoStatus.Unsupported, Errno.EOPNOTSUPP);
            }
            else if (result < 0)
            {
                Finish(request, IoStatus.DeviceError, -result);
            }
            else
            {
                OnSlice(request);
            }
        }

        private void OnSlice(IoRequest request)
        {
            _offset += _sliceBytes;
            _retry.Reset();
            if (_offset < _end)
            {
                Continue(request);
            }
            else if (file.DurabilityOf(request) == WriteDurability.Cached)
            {
                file.NoteAcknowledged(_untoldFailures);
                Finish(request, IoStatus.Ok, 0);
            }
            else if (_flushFailures != file._flushFailures)
            {
                Finish(request, IoStatus.DeviceError, Errno.EIO);
            }
            else
            {
                Free();
                file.FlushBehind(request);
            }
        }

        private void Continue(IoRequest request)
        {
            _sliceBytes = System.Math.Min(_end - _offset, Limits.ZeroingSliceBytes);
            file._loop.SubmitZero(this, file._fd, KindOf(request), _offset, _sliceBytes);
        }

        private ZeroingKind KindOf(IoRequest request)
        {
            // On a block device PUNCH_HOLE fails where the disk has no command for it; ZERO_RANGE writes
            // then.
            bool isPunch = !file._isBlockDevice && (request.Flags & IoFlags.KeepAllocated) == 0;
            return isPunch ? ZeroingKind.PunchHole : ZeroingKind.ZeroRange;
        }

        private void Finish(IoRequest request, IoStatus status, int errno)
        {
            Free();
            file.Complete(request, status, errno);
        }

        private void Free()
        {
            if (file._waitingZeroes.IsEmpty)
            {
                _request = null;
                NextFree = file._firstFreeZero;
                file._firstFreeZero = this;
            }
            else
            {
                Start(file._waitingZeroes.Take());
            }
        }
    }
}
