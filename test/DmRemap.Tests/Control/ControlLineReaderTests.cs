using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Protocol;
using Xunit;

namespace DmRemap.Tests.Control;

public sealed class ControlLineReaderTests
{
    [Fact]
    public async Task Lines_are_the_same_however_the_bytes_arrive()
    {
        for (int seed = 0; seed < 200; seed++)
        {
            Random random = new(seed);
            List<string> expected = [];
            StringBuilder text = new();
            int lines = random.Next(20);
            for (int i = 0; i < lines; i++)
            {
                string line = new('a', random.Next(4) == 0 ? random.Next(1, 30_000) : random.Next(5));
                text.Append(line).Append('\n');
                if (line.Length > 0)
                {
                    expected.Add(line);
                }
            }
            text.Append(new string('b', random.Next(3)));
            List<string> actual =
                await ReadAllAsync(new ChunkedStream(Encoding.UTF8.GetBytes(text.ToString()), random));
            Assert.True(expected.Count == actual.Count, $"seed={seed}");
            Assert.Equal(expected, actual);
        }
    }

    [Fact]
    public async Task A_line_that_never_ends_is_too_long_without_growing_a_buffer()
    {
        byte[] bytes = new byte[ControlProtocol.LineBytesMax + 1];
        Array.Fill(bytes, (byte)'x');
        ControlLineReader reader = new(new ChunkedStream(bytes, new Random(1)));
        ControlLine line = await reader.ReadAsync(CancellationToken.None);
        Assert.Equal(ControlLineKind.TooLong, line.Kind);
        Assert.Equal(ControlLineKind.TooLong, (await reader.ReadAsync(CancellationToken.None)).Kind);
    }

    private static async Task<List<string>> ReadAllAsync(Stream stream)
    {
        ControlLineReader reader = new(stream);
        List<string> lines = [];
        while (true)
        {
            ControlLine line = await reader.ReadAsync(CancellationToken.None);
            if (line.Kind != ControlLineKind.Line)
            {
                Assert.Equal(ControlLineKind.End, line.Kind);
                return lines;
            }
            lines.Add(Encoding.UTF8.GetString(line.Bytes.Span));
        }
    }

    /// <summary>Gives out its bytes in pieces of random size.</summary>
    private sealed class ChunkedStream(byte[] bytes, Random random) : MemoryStream(bytes)
    {
        public override ValueTask<int> ReadAsync(
            Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            int most = Math.Min(buffer.Length, random.Next(2) == 0 ? 3 : 20_000);
            return base.ReadAsync(buffer[..random.Next(1, most + 1)], cancellationToken);
        }
    }
}
