using System;
using System.Collections.Generic;
using System.Globalization;

namespace DmRemap.Core.Faults.Injection;

/// <summary>
/// Lists of bad places that other tools have written: mapfiles of ddrescue and block lists of badblocks. They
/// come from other machines and are read as whatever they may be.
/// </summary>
public static class ForeignLists
{
    private const int BlockBytesMax = 1 << 20;

    /// <summary>
    /// A mapfile (GNU ddrescue manual, "Mapfile structure"): comments with `#`; a line with the current
    /// position and status; then `POSITION SIZE STATUS` a line, in bytes, ascending and without gaps. What
    /// has status `-` (bad sector) is bad, and reads are pending there. What was not tried or not read to its
    /// end (`?`, `*`, `/`) is taken as good, and counted in the note.
    /// </summary>
    public static DefectsParsed ParseMapfile(string text, long sectors)
    {
        List<DefectRun> runs = [];
        long unknownBytes = 0;
        long beyondBytes = 0;
        long end = -1;
        bool isFirst = true;
        int number = 0;
        foreach (ReadOnlySpan<char> raw in text.AsSpan().EnumerateLines())
        {
            number++;
            int comment = raw.IndexOf('#');
            ReadOnlySpan<char> line = (comment < 0 ? raw : raw[..comment]).Trim();
            if (line.IsEmpty)
            {
                continue;
            }
            if (isFirst)
            {
                isFirst = false;
                if (!IsCurrentLine(line))
                {
                    return Failed(number, $"'{Shown(line)}' is not `CURRENT_POSITION STATUS [PASS]`");
                }
                continue;
            }
            if (!TryParseBlock(line, out long position, out long size, out char status))
            {
                return Failed(number, $"'{Shown(line)}' is not `POSITION SIZE STATUS` of ddrescue");
            }
            if (end >= 0 && position != end)
            {
                return Failed(number, "the blocks do not follow one another without a gap");
            }
            end = position + size;
            if (status is '?' or '*' or '/')
            {
                unknownBytes += size;
            }
            else if (status == '-')
            {
                beyondBytes += AddRun(runs, position, end, sectors);
            }
        }
        return isFirst || end < 0
            ? Failed(Math.Max(1, number), "it is no mapfile: it has no blocks")
            : new DefectsParsed(runs, []) { Note = Note(unknownBytes, beyondBytes) };
    }

    /// <summary>What `badblocks -o FILE` writes: the number of a bad block a line.</summary>
    public static DefectsParsed ParseBadblocks(string text, int blockBytes, long sectors)
    {
        if (blockBytes is < FaultRule.SectorBytes or > BlockBytesMax
            || blockBytes % FaultRule.SectorBytes != 0)
        {
            return Failed(1, $"a block of {blockBytes} bytes is not a multiple of 512, at most 1 MiB");
        }
        List<DefectRun> runs = [];
        long beyondBytes = 0;
        int number = 0;
        foreach (ReadOnlySpan<char> raw in text.AsSpan().EnumerateLines())
        {
            number++;
            ReadOnlySpan<char> line = raw.Trim();
            if (line.IsEmpty)
            {
                continue;
            }
            long most = (long.MaxValue / blockBytes) - 1;
            if (!DefectText.TryParseNumber(line, most, out long block))
            {
                return Failed(number, $"'{Shown(line)}' is not the number of a block");
            }
            beyondBytes += AddRun(runs, block * blockBytes, (block + 1) * blockBytes, sectors);
        }
        return new DefectsParsed(runs, []) { Note = Note(0, beyondBytes) };
    }

    /// <summary>Sectors that are touched; the bytes that lie beyond the disk's end.</summary>
    private static long AddRun(List<DefectRun> runs, long start, long end, long sectors)
    {
        long first = start / FaultRule.SectorBytes;
        long last = (end - 1) / FaultRule.SectorBytes;
        long inside = Math.Min(last, sectors - 1);
        if (end > start && first <= inside)
        {
            runs.Add(new DefectRun(first, inside, new Defect { Kind = DefectKind.Pending }));
        }
        long endOfDisk = sectors * FaultRule.SectorBytes;
        return Math.Max(0, end - Math.Max(start, endOfDisk));
    }

    private static bool IsCurrentLine(ReadOnlySpan<char> line)
    {
        bool isNumber = TryTakeNumber(ref line, out _);
        return isNumber && line.Length > 0 && line[0] is '?' or '*' or '/' or '-' or 'F' or 'G' or '+';
    }

    private static bool TryParseBlock(
        ReadOnlySpan<char> line, out long position, out long size, out char status)
    {
        size = 0;
        status = ' ';
        bool isBlock = TryTakeNumber(ref line, out position) && TryTakeNumber(ref line, out size)
            && line.Length == 1 && line[0] is '?' or '*' or '/' or '-' or '+'
            && size > 0 && size <= long.MaxValue - position;
        if (isBlock)
        {
            status = line[0];
        }
        return isBlock;
    }

    /// <summary>Decimal, or hexadecimal with 0x.</summary>
    private static bool TryTakeNumber(ref ReadOnlySpan<char> line, out long number)
    {
        int end = line.IndexOfAny(' ', '\t');
        ReadOnlySpan<char> word = end < 0 ? line : line[..end];
        line = end < 0 ? [] : line[end..].TrimStart();
        if (word.StartsWith("0x") || word.StartsWith("0X"))
        {
            return long.TryParse(
                word[2..], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out number)
                && number >= 0;
        }
        return DefectText.TryParseNumber(word, long.MaxValue, out number);
    }

    private static string Shown(ReadOnlySpan<char> line)
    {
        const int LengthMax = 60;
        return line.Length <= LengthMax ? line.ToString() : $"{line[..LengthMax]}...";
    }

    private static string Note(long unknownBytes, long beyondBytes)
    {
        string unknown = unknownBytes == 0 ? ""
            : $"{unknownBytes} bytes were not read to their end by ddrescue, and are good here";
        string beyond = beyondBytes == 0 ? "" : $"{beyondBytes} bad bytes lie beyond the end of this disk";
        return unknown.Length > 0 && beyond.Length > 0 ? $"{unknown}; {beyond}" : unknown + beyond;
    }

    private static DefectsParsed Failed(int line, string message) =>
        new([], [new FaultRuleError(line, message)]);
}
