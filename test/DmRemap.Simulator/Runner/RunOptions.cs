using System;
using System.Globalization;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Runner;

/// <summary>What the command line asks for.</summary>
internal sealed record RunOptions
{
    public double Minutes { get; private set; }

    public long Seeds { get; private set; }

    /// <summary>The first of the fresh seeds; random when not given.</summary>
    public ulong? From { get; private set; }

    /// <summary>One seed, and nothing else.</summary>
    public ulong? Only { get; private set; }

    public bool PrintsTrace { get; private set; }

    /// <summary>Every seed twice, with the same trace.</summary>
    public bool RunsTwice { get; private set; }

    /// <summary>End with the first violation.</summary>
    public bool StopsAtFirst { get; private set; }

    /// <summary>Faults beyond the budget, for who works on what they break.</summary>
    public FaultKinds Also { get; private set; }

    public FaultKinds Allowed => Budget.Allowed | Also;

    public string AlsoText => Also == FaultKinds.None ? "" : $" --also {Also.ToString().Replace(" ", "")}";

    public string? RegressionFile { get; private set; }

    public int Threads { get; private set; } = Environment.ProcessorCount;

    /// <summary>Null, and a reason, when the arguments make no sense.</summary>
    public static RunOptions? Parse(string[] arguments, out string reason)
    {
        RunOptions options = new();
        reason = "";
        for (int i = 0; i < arguments.Length; i++)
        {
            string? value = i + 1 < arguments.Length ? arguments[i + 1] : null;
            if (options.TakeSwitch(arguments[i]))
            {
                continue;
            }
            if (value is null || !options.TakeValue(arguments[i], value))
            {
                reason = $"{arguments[i]} {value}: not understood";
                return null;
            }
            i++;
        }
        return options;
    }

    private bool TakeSwitch(string name)
    {
        switch (name)
        {
            case "--trace":
                PrintsTrace = true;
                return true;
            case "--twice":
                RunsTwice = true;
                return true;
            case "--first":
                StopsAtFirst = true;
                return true;
            default:
                return false;
        }
    }

    private bool TakeValue(string name, string value)
    {
        bool isTaken = true;
        switch (name)
        {
            case "--minutes":
                isTaken = double.TryParse(value, CultureInfo.InvariantCulture, out double minutes);
                Minutes = minutes;
                break;
            case "--seeds":
                isTaken = long.TryParse(value, CultureInfo.InvariantCulture, out long seeds);
                Seeds = seeds;
                break;
            case "--threads":
                isTaken = int.TryParse(value, CultureInfo.InvariantCulture, out int threads) && threads > 0;
                Threads = threads;
                break;
            case "--from":
                isTaken = TryHex(value, out ulong from);
                From = from;
                break;
            case "--seed":
                isTaken = TryHex(value, out ulong seed);
                Only = seed;
                break;
            case "--also":
                isTaken = Enum.TryParse(value, out FaultKinds also);
                Also = also;
                break;
            case "--regression":
                RegressionFile = value;
                break;
            default:
                isTaken = false;
                break;
        }
        return isTaken;
    }

    private static bool TryHex(string value, out ulong number) =>
        ulong.TryParse(value, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out number);
}
