using System;
using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.IO;
using System.Threading;
using System.Threading.Channels;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>
/// As many requests under way on one connection as are asked; no reads. What has no answer when the
/// connection ends fails with an IOException: it may have happened or not.
/// </summary>
internal sealed class PipelinedClient : IAsyncDisposable
{
    private readonly NbdTestClient _client;
    private readonly ConcurrentDictionary<ulong, TaskCompletionSource<uint>> _unanswered = new();
    private readonly Channel<byte[]> _frames = Channel.CreateUnbounded<byte[]>();
    private readonly CancellationTokenSource _end = new();
    private readonly Task _work;
    private ulong _cookie;

    private PipelinedClient(NbdTestClient client)
    {
        _client = client;
        _work = Task.WhenAll(SendAllAsync(), ReceiveAllAsync());
    }

    public static async Task<PipelinedClient> ConnectAsync(DeviceUnderTest device) =>
        new(await device.ConnectAsync());

    public Task<uint> WriteAsync(long offset, ReadOnlyMemory<byte> content, bool isDurable) =>
        AskAsync(
            NbdTestClient.CommandWrite, isDurable ? NbdTestClient.FlagFua : (ushort)0, offset, content);

    public Task<uint> FlushAsync() => AskAsync(NbdTestClient.CommandFlush, 0, 0, default);

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        _client.Dispose();
        await _work;
        _end.Dispose();
    }

    private async Task<uint> AskAsync(
        ushort command, ushort flags, long offset, ReadOnlyMemory<byte> content)
    {
        ulong cookie = Interlocked.Increment(ref _cookie);
        TaskCompletionSource<uint> answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _unanswered[cookie] = answer;
        byte[] request =
            NbdTestClient.Request(command, flags, cookie, offset, (uint)content.Length);
        if (!_frames.Writer.TryWrite([.. request, .. content.Span]))
        {
            throw new IOException("the connection has ended");
        }
        return await answer.Task;
    }

    private async Task SendAllAsync()
    {
        try
        {
            await foreach (byte[] frame in _frames.Reader.ReadAllAsync(_end.Token))
            {
                await _client.SendAsync(frame);
            }
        }
        catch (Exception error) when (IsEnd(error))
        {
            // The receiving side tells those who wait.
        }
    }

    private async Task ReceiveAllAsync()
    {
        byte[] reply = new byte[16];
        try
        {
            while (true)
            {
                await _client.ReceiveAsync(reply, _end.Token);
                ulong cookie = BinaryPrimitives.ReadUInt64BigEndian(reply.AsSpan(8));
                Assert.True(_unanswered.TryRemove(cookie, out TaskCompletionSource<uint>? answer));
                answer.SetResult(BinaryPrimitives.ReadUInt32BigEndian(reply.AsSpan(4)));
            }
        }
        catch (Exception error) when (IsEnd(error))
        {
            // Nobody is added after this.
            _frames.Writer.TryComplete();
            foreach (TaskCompletionSource<uint> answer in _unanswered.Values)
            {
                answer.TrySetException(new IOException("the connection has ended"));
            }
        }
    }

    private static bool IsEnd(Exception error) =>
        error is IOException or OperationCanceledException or ObjectDisposedException;
}
