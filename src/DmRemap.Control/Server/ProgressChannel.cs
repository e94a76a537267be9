using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Channels;
using DmRemap.Control.Contracts;

namespace DmRemap.Control.Server;

/// <summary>
/// From the device's thread to one client: keeps the latest report only and never makes the device wait.
/// Reports that come sooner than the interval after the one before are dropped.
/// </summary>
internal sealed class ProgressChannel(TimeProvider time, TimeSpan interval) : IProgress<RemapProgress>
{
    private readonly Channel<RemapProgress> _latest = Channel.CreateBounded<RemapProgress>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true });

    private readonly long _intervalTicks = (long)(interval.TotalSeconds * time.TimestampFrequency);
    private long _nextTimestamp = long.MinValue;

    public void Report(RemapProgress value)
    {
        long now = time.GetTimestamp();
        if (now >= Volatile.Read(ref _nextTimestamp))
        {
            Volatile.Write(ref _nextTimestamp, now + _intervalTicks);
            // A full channel drops its older report, and one that is complete has no reader any more.
            _ = _latest.Writer.TryWrite(value);
        }
    }

    public void Complete() => _latest.Writer.TryComplete();

    public IAsyncEnumerable<RemapProgress> ReadAllAsync(CancellationToken cancellation) =>
        _latest.Reader.ReadAllAsync(cancellation);
}
