using System;
using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net.Sockets;
using System.Text;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Accounting;

namespace DmRemap.Benchmarks.Serving;

/// <summary>
/// The fastest NBD client that one thread can be: `depth` requests in one send, every answer that has come
/// taken with one receive, and as many new requests sent at once. What it measures is the server's own limit,
/// where fio's libnbd is its own.
/// </summary>
internal sealed class BatchingClient : IDisposable
{
    private const int RequestBytes = 28;
    private const int ReplyBytes = 16;
    private const uint RequestMagic = 0x25609513;
    private const uint ReplyMagic = 0x67446698;
    private const ulong OptionMagic = 0x49484156454F5054;

    private readonly Workload _workload;
    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly Random _random = new(1);
    private readonly LatencyHistogram _latencies = new();
    private readonly byte[] _requests;
    private readonly byte[] _replies;
    private readonly long[] _sentAt;
    private long _sequential;
    private int _toSend;
    private int _held;

    private BatchingClient(Workload workload)
    {
        _workload = workload;
        int message = RequestBytes + (workload.IsWrite ? workload.BlockBytes : 0);
        int answer = ReplyBytes + (workload.IsWrite ? 0 : workload.BlockBytes);
        _requests = new byte[message * workload.Depth];
        _replies = new byte[answer * workload.Depth * 2];
        _sentAt = new long[workload.Depth];
        _random.NextBytes(_requests);
    }

    public long ExportBytes { get; private set; }

    /// <summary>Runs it against the export without a name.</summary>
    public static Measured Run(string socketPath, Workload workload, TimeSpan duration)
    {
        using BatchingClient client = new(workload);
        client.Connect(socketPath);
        return client.Measure(duration);
    }

    /// <summary>`SOCKET KIND BYTES DEPTH SECONDS`, as a line of text.</summary>
    public static void Run(string[] arguments, TextWriter output)
    {
        int[] numbers = [.. arguments[2..].Select(text => int.Parse(text, CultureInfo.InvariantCulture))];
        Workload workload = new(arguments[1], LoadClient.Batching, arguments[1], numbers[0], numbers[1]);
        Measured measured = Run(arguments[0], workload, TimeSpan.FromSeconds(numbers[2]));
        output.WriteLine(
            $"{measured.RequestsPerSecond:F0}/s, µs: {measured.P50Us:F0} / {measured.P99Us:F0} / "
            + $"{measured.P999Us:F0}");
    }

    public void Dispose() => _socket.Dispose();

    /// <summary>EXPORT_NAME: the shortest negotiation, and one that every server knows.</summary>
    private void Connect(string socketPath)
    {
        _socket.Connect(new UnixDomainSocketEndPoint(socketPath));
        Span<byte> greeting = stackalloc byte[18];
        ReceiveExactly(greeting);
        Require(Encoding.ASCII.GetString(greeting[..8]) == "NBDMAGIC", "no NBD server");
        Span<byte> answer = stackalloc byte[4 + 16];
        // Fixed newstyle, and no zeros behind the answer.
        BinaryPrimitives.WriteUInt32BigEndian(answer, 3);
        BinaryPrimitives.WriteUInt64BigEndian(answer[4..], OptionMagic);
        BinaryPrimitives.WriteUInt32BigEndian(answer[12..], 1);
        BinaryPrimitives.WriteUInt32BigEndian(answer[16..], 0);
        _socket.Send(answer);
        Span<byte> export = stackalloc byte[10];
        ReceiveExactly(export);
        ExportBytes = BinaryPrimitives.ReadInt64BigEndian(export);
    }

    private Measured Measure(TimeSpan duration)
    {
        long began = Stopwatch.GetTimestamp();
        long end = began + (long)(duration.TotalSeconds * Stopwatch.Frequency);
        for (int i = 0; i < _workload.Depth; i++)
        {
            AddRequest(i, began);
        }
        SendRequests();
        long answered = 0;
        long now = began;
        int outstanding = _workload.Depth;
        while (outstanding > 0)
        {
            int received = _socket.Receive(_replies.AsSpan(_held));
            Require(received > 0, "the server has closed the connection");
            _held += received;
            now = Stopwatch.GetTimestamp();
            int done = TakeReplies(now, isMore: now < end);
            answered += done;
            outstanding -= now < end ? 0 : done;
            SendRequests();
        }
        double seconds = (now - began) / (double)Stopwatch.Frequency;
        return Measured.Of(answered / seconds, _latencies.Summarize());
    }

    private int TakeReplies(long now, bool isMore)
    {
        int answer = ReplyBytes + (_workload.IsWrite ? 0 : _workload.BlockBytes);
        int done = 0;
        int at = 0;
        for (; _held - at >= answer; at += answer)
        {
            ReadOnlySpan<byte> reply = _replies.AsSpan(at, ReplyBytes);
            Require(BinaryPrimitives.ReadUInt32BigEndian(reply) == ReplyMagic, "no simple reply");
            Require(BinaryPrimitives.ReadUInt32BigEndian(reply[4..]) == 0, "an error came back");
            int slot = (int)BinaryPrimitives.ReadInt64BigEndian(reply[8..]);
            _latencies.Record(new Duration((now - _sentAt[slot]) * 1_000_000_000 / Stopwatch.Frequency));
            done++;
            if (isMore)
            {
                AddRequest(slot, now);
            }
        }
        _replies.AsSpan(at, _held - at).CopyTo(_replies);
        _held -= at;
        return done;
    }

    private void AddRequest(int slot, long now)
    {
        _sentAt[slot] = now;
        long blocks = ExportBytes / _workload.BlockBytes / (_workload.IsOfFirstHalf ? 2 : 1);
        long block = _workload.IsRandom ? RandomBlock(blocks) : _sequential++ % blocks;
        Span<byte> request = _requests.AsSpan(_toSend);
        BinaryPrimitives.WriteUInt32BigEndian(request, RequestMagic);
        BinaryPrimitives.WriteUInt16BigEndian(request[4..], 0);
        BinaryPrimitives.WriteUInt16BigEndian(request[6..], (ushort)(_workload.IsWrite ? 1 : 0));
        BinaryPrimitives.WriteInt64BigEndian(request[8..], slot);
        BinaryPrimitives.WriteInt64BigEndian(request[16..], block * _workload.BlockBytes);
        BinaryPrimitives.WriteInt32BigEndian(request[24..], _workload.BlockBytes);
        _toSend += RequestBytes + (_workload.IsWrite ? _workload.BlockBytes : 0);
    }

    private long RandomBlock(long blocks)
    {
        long stride = _workload.HundredthStride;
        return stride > 0 && _sequential++ % 100 == 0
            ? _random.NextInt64(blocks / stride) * stride
            : _random.NextInt64(blocks);
    }

    private void SendRequests()
    {
        for (int sent = 0; sent < _toSend;)
        {
            sent += _socket.Send(_requests.AsSpan(sent, _toSend - sent));
        }
        _toSend = 0;
    }

    private void ReceiveExactly(Span<byte> into)
    {
        while (!into.IsEmpty)
        {
            int received = _socket.Receive(into);
            Require(received > 0, "the server has closed the connection");
            into = into[received..];
        }
    }

    private static void Require(bool holds, string otherwise)
    {
        if (!holds)
        {
            throw new InvalidDataException(otherwise);
        }
    }
}
