using System;
using System.Collections.Generic;
using System.IO;
using DmRemap.Cli.Devices;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;

namespace DmRemap.Cli.Lab;

/// <summary>The defects that a disk of the lab begins with, but for those of a model.</summary>
internal static class FirstDefects
{
    /// <summary>Beyond every mapfile of a disk that still works.</summary>
    private const long ListBytesMax = 64L << 20;

    /// <exception cref="RefusalException">A list cannot be read, or there would be too many.</exception>
    public static List<PlacedDefect> Read(LabOptions options, DeviceGeometry geometry, Action<string> say)
    {
        long sectors = geometry.Bytes.Value / FaultRule.SectorBytes;
        int physicalSectors = options.PhysicalBytes / FaultRule.SectorBytes;
        List<PlacedDefect> placed = [];
        foreach (string path in options.BadPaths)
        {
            Place(path, DefectText.Parse(ReadText(path), sectors));
        }
        foreach (string path in options.MapfilePaths)
        {
            Place(path, ForeignLists.ParseMapfile(ReadText(path), sectors));
        }
        foreach (string path in options.BadblocksPaths)
        {
            Place(path, ForeignLists.ParseBadblocks(ReadText(path), options.BadblocksBytes, sectors));
        }
        Scatter(options, sectors / physicalSectors, placed);
        return placed;

        void Place(string path, DefectsParsed parsed)
        {
            if (!parsed.IsOk)
            {
                throw LabRefusals.BadList(path, parsed.Errors[0]);
            }
            if (parsed.Note.Length > 0)
            {
                say($"{path}: {parsed.Note}");
            }
            if (!DefectRun.TryPlace(parsed.Runs, physicalSectors, placed))
            {
                throw LabRefusals.TooManyDefects(options.Name);
            }
        }
    }

    /// <exception cref="RefusalException">It cannot be read, or is too long.</exception>
    public static string ReadText(string path)
    {
        try
        {
            using FileStream file = File.OpenRead(path);
            if (file.Length > ListBytesMax)
            {
                throw LabRefusals.Unreadable(path, $"it has more than {ListBytesMax} bytes");
            }
            using StreamReader reader = new(file);
            return reader.ReadToEnd();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw LabRefusals.Unreadable(path, e.Message);
        }
    }

    /// <summary>Each physical sector as likely as another.</summary>
    private static void Scatter(LabOptions options, long physicals, List<PlacedDefect> placed)
    {
        double share = Math.Ceiling(physicals * options.BadPercent / 100);
        double wanted = options.BadCount + share;
        if (wanted > DefectMap.DefectsMax || wanted > physicals)
        {
            throw LabRefusals.TooManyDefects(options.Name);
        }
        SeededDraw draw = new((ulong)options.Seed);
        HashSet<long> taken = [];
        while (taken.Count < wanted)
        {
            long place = draw.Below(physicals);
            if (taken.Add(place))
            {
                placed.Add(new PlacedDefect(place, new Defect
                {
                    Kind = options.BadKind,
                    TriesLeft = options.BadKind == DefectKind.Weak ? 1 : 0,
                }));
            }
        }
    }
}
