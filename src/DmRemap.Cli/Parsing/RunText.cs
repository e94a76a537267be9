using System;
using System.Globalization;

namespace DmRemap.Cli.Parsing;

/// <summary>FIRST or FIRST-LAST, both included, in blocks or bytes.</summary>
internal readonly record struct RunText(long First, long Last)
{
    public const string Form = "FIRST or FIRST-LAST, both included and FIRST not above LAST, as in 800-815";

    public static bool TryParse(string text, out RunText run)
    {
        int dash = text.IndexOf('-', StringComparison.Ordinal);
        ReadOnlySpan<char> first = dash < 0 ? text : text.AsSpan(0, dash);
        ReadOnlySpan<char> last = dash < 0 ? text : text.AsSpan(dash + 1);
        bool isFirst =
            long.TryParse(first, NumberStyles.None, CultureInfo.InvariantCulture, out long firstNumber);
        bool isLast =
            long.TryParse(last, NumberStyles.None, CultureInfo.InvariantCulture, out long lastNumber);
        run = new RunText(firstNumber, lastNumber);
        return isFirst && isLast && firstNumber <= lastNumber;
    }

    /// <summary>The blocks that these bytes touch.</summary>
    public RunText ToBlocks(int blockSize) => new(First / blockSize, Last / blockSize);
}
