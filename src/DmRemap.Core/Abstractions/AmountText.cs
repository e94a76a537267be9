using System;

namespace DmRemap.Core.Abstractions;

/// <summary>Amounts as people read them, without a culture: in every layer that speaks to a person.</summary>
public static class AmountText
{
    private static readonly string[] s_binaryUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

    /// <summary>"512 B", "1.5 MiB", "2 TiB": rounded down, so that no disk looks larger than it is.</summary>
    public static string Bytes(long bytes)
    {
        int unit = 0;
        long scale = 1;
        while (unit < s_binaryUnits.Length - 1 && bytes / scale >= 1024)
        {
            scale *= 1024;
            unit++;
        }
        return $"{Scaled(bytes, scale)} {s_binaryUnits[unit]}";
    }

    /// <summary>Rounded down to a tenth, which is left out where it is zero or says nothing.</summary>
    public static string Scaled(long value, long scale)
    {
        long whole = value / scale;
        long tenth = (long)((Int128)(value % scale) * 10 / scale);
        return tenth == 0 || whole >= 1000 ? $"{whole}" : $"{whole}.{tenth}";
    }
}
