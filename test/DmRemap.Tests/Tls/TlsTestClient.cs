using System;
using System.Buffers.Binary;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Tests.Linux;
using DmRemap.Tests.Nbd;
using Xunit;

namespace DmRemap.Tests.Tls;

/// <summary>A client in the transmission phase: requests as bytes, simple replies.</summary>
internal sealed class TlsTestClient(Stream stream) : IDisposable
{
    public Stream Stream { get; } = stream;

    public async Task SendAsync(byte[] bytes)
    {
        using CancellationTokenSource deadline = new(LoopRunner.Patience);
        await Stream.WriteAsync(bytes, deadline.Token);
    }

    public async Task<byte[]> ReceiveAsync(int count)
    {
        using CancellationTokenSource deadline = new(LoopRunner.Patience);
        byte[] bytes = new byte[count];
        await Stream.ReadExactlyAsync(bytes, deadline.Token);
        return bytes;
    }

    /// <summary>The content; the answer must be a success.</summary>
    public async Task<byte[]> ReadAsync(ulong cookie, ulong offset, int length)
    {
        await SendAsync(new ConversationBuilder().Read(cookie, offset, (uint)length).ToArray());
        byte[] header = await ReceiveAsync(16);
        Assert.Equal(0x67446698u, BinaryPrimitives.ReadUInt32BigEndian(header));
        Assert.Equal(0u, BinaryPrimitives.ReadUInt32BigEndian(header.AsSpan(4)));
        Assert.Equal(cookie, BinaryPrimitives.ReadUInt64BigEndian(header.AsSpan(8)));
        return await ReceiveAsync(length);
    }

    public void Dispose() => Stream.Dispose();
}

/// <summary>Lets so many bytes out, and then none any more: the client has died.</summary>
internal sealed class DyingStream(Stream inner, long bytesMax) : Stream
{
    public long Written { get; private set; }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override async ValueTask WriteAsync(
        ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        int some = (int)Math.Min(buffer.Length, bytesMax - Written);
        await inner.WriteAsync(buffer[..some], cancellationToken);
        Written += some;
        if (some < buffer.Length)
        {
            throw new DeadException();
        }
    }

    public override Task WriteAsync(
        byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override ValueTask<int> ReadAsync(
        Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        inner.ReadAsync(buffer, cancellationToken);

    public override Task<int> ReadAsync(
        byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        inner.ReadAsync(buffer, offset, count, cancellationToken);

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    internal sealed class DeadException : IOException;
}
