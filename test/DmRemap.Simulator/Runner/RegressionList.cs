using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;

namespace DmRemap.Simulator.Runner;

/// <summary>A seed that once found a bug.</summary>
internal readonly record struct RegressionSeed(ulong Seed, string Name, string Why);

/// <summary>One a line: seed in hexadecimal, name, why. Lines that begin with # say something.</summary>
internal static class RegressionList
{
    public static List<RegressionSeed> Read(string path)
    {
        List<RegressionSeed> seeds = [];
        foreach (string line in File.ReadLines(path))
        {
            if (line.Length == 0 || line[0] == '#')
            {
                continue;
            }
            string[] parts = line.Split(' ', 3, StringSplitOptions.RemoveEmptyEntries);
            seeds.Add(new RegressionSeed(
                ulong.Parse(parts[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture), parts[1],
                parts[2]));
        }
        return seeds;
    }
}
