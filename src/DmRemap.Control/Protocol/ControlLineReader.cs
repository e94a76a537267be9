using System;
using System.IO;
using System.Threading;
using System.Threading.Tasks;

namespace DmRemap.Control.Protocol;

internal enum ControlLineKind : byte
{
    None = 0,

    /// <summary>A whole line, without its newline.</summary>
    Line = 1,

    /// <summary>
    /// The other side is done. What came after the last newline is dropped: half a command is none.
    /// </summary>
    End = 2,

    /// <summary>More than LineBytesMax without a newline; nothing more can be read.</summary>
    TooLong = 3,
}

/// <summary>Bytes are valid until the next ReadAsync.</summary>
internal readonly record struct ControlLine(ControlLineKind Kind, ReadOnlyMemory<byte> Bytes);

/// <summary>
/// Cuts a stream into lines, in one buffer of fixed size. Blank lines are skipped. One reader at a time.
/// </summary>
internal sealed class ControlLineReader(Stream stream)
{
    private const byte Newline = (byte)'\n';

    private readonly byte[] _buffer = new byte[ControlProtocol.LineBytesMax];
    private int _start;
    private int _searched;
    private int _end;

    public async ValueTask<ControlLine> ReadAsync(CancellationToken cancellation)
    {
        while (true)
        {
            if (TryTake(out ReadOnlyMemory<byte> line))
            {
                if (!IsBlank(line.Span))
                {
                    return new ControlLine(ControlLineKind.Line, line);
                }
                continue;
            }
            MakeRoom();
            if (_end == _buffer.Length)
            {
                return new ControlLine(ControlLineKind.TooLong, default);
            }
            int read = await stream.ReadAsync(_buffer.AsMemory(_end), cancellation);
            if (read == 0)
            {
                return new ControlLine(ControlLineKind.End, default);
            }
            _end += read;
        }
    }

    private static bool IsBlank(ReadOnlySpan<byte> line) =>
        line.IndexOfAnyExcept((byte)' ', (byte)'\t', (byte)'\r') < 0;

    private bool TryTake(out ReadOnlyMemory<byte> line)
    {
        int newline = _buffer.AsSpan(_searched, _end - _searched).IndexOf(Newline);
        if (newline < 0)
        {
            _searched = _end;
            line = default;
            return false;
        }
        int lineEnd = _searched + newline;
        line = _buffer.AsMemory(_start, lineEnd - _start);
        _start = lineEnd + 1;
        _searched = _start;
        return true;
    }

    /// <summary>The line before is no longer used: the next begins at the front.</summary>
    private void MakeRoom()
    {
        if (_start == 0)
        {
            return;
        }
        _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
        _end -= _start;
        _searched -= _start;
        _start = 0;
    }
}
