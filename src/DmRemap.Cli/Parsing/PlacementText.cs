using System;
using System.Collections.Generic;
using DmRemap.Core.Spares;

namespace DmRemap.Cli.Parsing;

/// <summary>What `--placement` takes, and what status says.</summary>
internal static class PlacementText
{
    public const string Form = "first-fit|most-free|health-aware";

    private static readonly Dictionary<string, SparePlacement> s_words = new(StringComparer.Ordinal)
    {
        ["first-fit"] = SparePlacement.FirstFit,
        ["most-free"] = SparePlacement.MostFree,
        ["health-aware"] = SparePlacement.HealthAware,
    };

    public static bool TryParse(string text, out SparePlacement placement) =>
        s_words.TryGetValue(text, out placement);

    public static string WordOf(SparePlacement placement)
    {
        foreach ((string word, SparePlacement each) in s_words)
        {
            if (each == placement)
            {
                return word;
            }
        }
        throw new ArgumentOutOfRangeException(nameof(placement), placement, "a placement without a word");
    }
}
