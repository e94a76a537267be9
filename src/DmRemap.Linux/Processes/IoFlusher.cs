using System;
using System.Collections.Generic;
using System.IO;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Processes;

/// <summary>
/// A process that a disk's writes go through. When the kernel is short of memory it writes dirty pages out,
/// to our disk too, and whoever asks for memory waits for that: were it one of our own threads, it would wait
/// for itself. PR_SET_IO_FLUSHER takes a thread out of that; threads that it starts later inherit it, those
/// that the runtime has started already do not. So the program is begun anew, in the same process (F-20).
/// </summary>
public static class IoFlusher
{
    private const string ProgramLink = "/proc/self/exe";

    /// <summary>This thread, and all that it starts.</summary>
    public static bool IsSet => ProcessNative.Control(ProcessNative.PR_GET_IO_FLUSHER, 0, 0, 0, 0) == 1;

    /// <summary>
    /// Become one, if that is permitted (CAP_SYS_RESOURCE): then the program starts from its beginning, with
    /// the same arguments, environment and inherited descriptors, and this call does not return. It returns
    /// when this process is one already, or must not be one. To be called before anything has been begun.
    /// </summary>
    public static void Become()
    {
        if (IsSet || ProcessNative.Control(ProcessNative.PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0)
        {
            return;
        }
        TryEscapeOutOfMemoryKiller();
        BeginAnew();
        // It did not begin anew: this thread alone is worth little, and what is half true is hard to report.
        _ = ProcessNative.Control(ProcessNative.PR_SET_IO_FLUSHER, 0, 0, 0, 0);
    }

    /// <summary>
    /// Killed for its memory, it would take the disk from everybody, and give back little: what it holds is
    /// bounded.
    /// </summary>
    private static void TryEscapeOutOfMemoryKiller()
    {
        try
        {
            File.WriteAllText("/proc/self/oom_score_adj", "-1000");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Not permitted: it stays as it is.
        }
    }

    private static unsafe void BeginAnew()
    {
        try
        {
            byte[] line = File.ReadAllBytes("/proc/self/cmdline");
            fixed (byte* first = line)
            {
                List<nint> starts = [];
                for (int i = 0; i < line.Length; i++)
                {
                    if (i == 0 || line[i - 1] == 0)
                    {
                        starts.Add((nint)(first + i));
                    }
                }
                // The null behind the last.
                starts.Add(0);
                Execute([.. starts]);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Without /proc there is nothing to begin anew from.
        }
    }

    /// <summary>By its name, which is what `ps` then shows; by the link where that was replaced.</summary>
    private static unsafe void Execute(nint[] strings)
    {
        fixed (nint* arguments = strings)
        {
            string? name = File.ResolveLinkTarget(ProgramLink, returnFinalTarget: false)?.FullName;
            if (name is not null && File.Exists(name))
            {
                _ = ProcessNative.Execute(name, (byte**)arguments);
            }
            _ = ProcessNative.Execute(ProgramLink, (byte**)arguments);
        }
    }
}
