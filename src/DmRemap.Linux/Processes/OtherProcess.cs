using System;
using System.Collections.Generic;
using System.IO;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Processes;

/// <summary>
/// A process that is no child of this one: known by a number, which may be somebody else's by now. What it
/// was started with says whether it is the one that is meant.
/// </summary>
public static class OtherProcess
{
    /// <summary>The program, then its arguments. Empty: it has ended, or is just ending.</summary>
    public static IReadOnlyList<string> CommandLineOf(int process)
    {
        try
        {
            return File.ReadAllText($"/proc/{process}/cmdline")
                .Split('\0', StringSplitOptions.RemoveEmptyEntries);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    /// <summary>SIGTERM. Of one that has gone, or is another user's, nothing comes.</summary>
    public static void Terminate(int process) => _ = SpawnNative.Kill(process, SpawnNative.SIGTERM);
}
