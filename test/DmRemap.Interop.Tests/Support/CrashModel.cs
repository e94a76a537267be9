using System;
using System.Collections.Generic;
using System.Threading;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>
/// For each block of 512 bytes, what it may hold after a crash: the newest version that is known to be
/// durable, or any that was begun after that one. Each block has one writer at a time, so that versions of a
/// block are begun, and acknowledged, in their order. Version 0 is what was there in the beginning.
/// </summary>
internal sealed class CrashModel
{
    public const int Block = 512;

    private readonly Lock _gate = new();
    private readonly List<long>[] _begun;
    private readonly long[] _acknowledged;
    private readonly long[] _durable;
    private long _versions;

    public CrashModel(int blocks)
    {
        _acknowledged = new long[blocks];
        _durable = new long[blocks];
        _begun = new List<long>[blocks];
        for (int i = 0; i < blocks; i++)
        {
            _begun[i] = [0];
        }
    }

    public int Bytes => _begun.Length * Block;

    /// <summary>A version that no write has ever had, and the bytes of a write of it.</summary>
    public long Begin(int first, Span<byte> content)
    {
        lock (_gate)
        {
            _versions++;
            for (int i = 0; i < content.Length / Block; i++)
            {
                _begun[first + i].Add(_versions);
            }
            Content.Fill(content, first * (long)Block, _versions);
            return _versions;
        }
    }

    public void Acknowledge(int first, int blocks, long version, bool isDurable)
    {
        lock (_gate)
        {
            for (int i = first; i < first + blocks; i++)
            {
                _acknowledged[i] = version;
                _durable[i] = isDurable ? version : _durable[i];
            }
        }
    }

    /// <summary>Before a flush is sent: what it will cover.</summary>
    public long[] BeginFlush()
    {
        lock (_gate)
        {
            return [.. _acknowledged];
        }
    }

    public void AcknowledgeFlush(long[] covered)
    {
        lock (_gate)
        {
            for (int i = 0; i < covered.Length; i++)
            {
                _durable[i] = Math.Max(_durable[i], covered[i]);
            }
        }
    }

    /// <summary>
    /// After a restart: fails unless every block holds what it may. What was read once must stay.
    /// </summary>
    public void Check(ReadOnlySpan<byte> device, string when)
    {
        lock (_gate)
        {
            for (int i = 0; i < _begun.Length; i++)
            {
                long? seen = Content.VersionOf(device.Slice(i * Block, Block), i * (long)Block);
                bool isAllowed =
                    seen is long version && version >= _durable[i] && _begun[i].Contains(version);
                Assert.True(
                    isAllowed,
                    $"{when}: block {i} (unit {i / 8}) holds {Word(seen)}; durable: {_durable[i]}, "
                        + $"acknowledged: {_acknowledged[i]}, begun: {string.Join(' ', _begun[i])}");
                _begun[i].Clear();
                _begun[i].Add(seen!.Value);
                _acknowledged[i] = seen.Value;
                _durable[i] = seen.Value;
            }
        }
    }

    private static string Word(long? version) =>
        version is null ? "what nobody wrote" : $"version {version}";
}
