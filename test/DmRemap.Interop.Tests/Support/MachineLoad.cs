using System;
using System.Globalization;
using System.IO;

namespace DmRemap.Interop.Tests.Support;

/// <summary>
/// A machine that has more to do than it has processors lets the programs of a test wait for their turn:
/// times say little then.
/// </summary>
internal static class MachineLoad
{
    /// <summary>By the kernel's average over a minute.</summary>
    public static bool IsBusy()
    {
        string average = File.ReadAllText("/proc/loadavg").Split(' ')[0];
        return double.Parse(average, CultureInfo.InvariantCulture) >= Environment.ProcessorCount;
    }

    public static TimeSpan Allow(double ms, double msWhenBusy) =>
        TimeSpan.FromMilliseconds(IsBusy() ? msWhenBusy : ms);
}
