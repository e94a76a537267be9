using System;
using System.IO;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>
/// Random writes at depth 32 through one connection until the server is gone, each told to the model. Each
/// of the 32 has units of its own, so that no two writes of one block are under way.
/// </summary>
internal sealed class CrashLoad(DeviceUnderTest device, CrashModel model, int seed, DurabilityOf durability)
{
    public const int Depth = 32;
    private const int BlocksPerUnit = DeviceUnderTest.UnitBytes / CrashModel.Block;

    private long _acknowledgements;
    private long _wanted = long.MaxValue;
    private TaskCompletionSource _enough = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _isEnding;

    /// <summary>Ends with the server.</summary>
    public async Task RunAsync()
    {
        await using PipelinedClient client = await PipelinedClient.ConnectAsync(device);
        await Task.WhenAll(
            [.. Enumerable.Range(0, Depth).Select(i => WriteAsync(client, i)), FlushAsync(client)]);
    }

    /// <summary>Completes when so many more writes have been acknowledged.</summary>
    public async Task WaitForAcknowledgementsAsync(int count)
    {
        Volatile.Write(ref _wanted, Interlocked.Read(ref _acknowledgements) + count);
        await _enough.Task.WaitAsync(Command.TimeMax);
        _enough = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>From here on an error may be the end that is being made.</summary>
    public void BeginEnding() => _isEnding = true;

    private async Task WriteAsync(PipelinedClient client, int writer)
    {
        Random random = new(seed + writer);
        int units = model.Bytes / DeviceUnderTest.UnitBytes;
        byte[] content = new byte[DeviceUnderTest.UnitBytes];
        try
        {
            while (true)
            {
                int unit = (random.Next(0, units / Depth) * Depth) + writer;
                // Half of them whole units, the others a part of one.
                int from = random.Next(0, 2) == 0 ? 0 : random.Next(0, BlocksPerUnit);
                int blocks = from == 0 ? BlocksPerUnit : random.Next(1, BlocksPerUnit - from + 1);
                int first = (unit * BlocksPerUnit) + from;
                Memory<byte> bytes = content.AsMemory(0, blocks * CrashModel.Block);
                bool isForced = random.Next(0, 4) == 0;
                long version = model.Begin(first, bytes.Span);
                uint error = await client.WriteAsync(first * (long)CrashModel.Block, bytes, isForced);
                if (error != 0)
                {
                    Assert.True(_isEnding, $"block {first}: a write was answered with error {error}");
                    continue;
                }
                model.Acknowledge(
                    first, blocks, version, isForced || durability == DurabilityOf.EveryAcknowledgedWrite);
                CountAcknowledgement();
            }
        }
        catch (IOException)
        {
            // Killed: the write that was under way may or may not have happened, and the model knows that.
        }
    }

    private async Task FlushAsync(PipelinedClient client)
    {
        Random random = new(seed + Depth);
        try
        {
            while (true)
            {
                await Task.Delay(random.Next(0, 60));
                long[] covered = model.BeginFlush();
                uint error = await client.FlushAsync();
                Assert.True(error == 0 || _isEnding, $"a flush was answered with error {error}");
                if (error == 0)
                {
                    model.AcknowledgeFlush(covered);
                }
            }
        }
        catch (IOException)
        {
            // As above.
        }
    }

    private void CountAcknowledgement()
    {
        if (Interlocked.Increment(ref _acknowledgements) >= Volatile.Read(ref _wanted))
        {
            Volatile.Write(ref _wanted, long.MaxValue);
            _enough.TrySetResult();
        }
    }
}

/// <summary>What outlives the end that a test makes.</summary>
internal enum DurabilityOf
{
    /// <summary>The machine stays up, and what the kernel has is not lost.</summary>
    EveryAcknowledgedWrite,

    /// <summary>What was flushed, or written with FUA.</summary>
    FlushedWrites,
}
