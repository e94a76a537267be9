using System;
using System.Diagnostics;
using System.IO;
using Xunit;

namespace DmRemap.Tests.Members;

/// <summary>
/// Runs programs of the machine for a test; where one is missing the test is skipped and says which.
/// </summary>
internal static class Tool
{
    private static readonly string[] s_places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

    public static bool Exists(string program) => Find(program) is not null;

    public static void Need(string program)
    {
        if (!Exists(program))
        {
            Assert.Skip($"needs `{program}`, which is not installed");
        }
    }

    public static void NeedRoot()
    {
        if (!Environment.IsPrivilegedProcess)
        {
            Assert.Skip("needs root");
        }
    }

    /// <summary>Run to the end; the output, trimmed. Fails the test when the program fails.</summary>
    public static string Run(string program, params string[] arguments)
    {
        using Process process = Start(program, arguments);
        process.StandardInput.Close();
        string output = process.StandardOutput.ReadToEnd();
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{program} ended with {process.ExitCode}: {error}");
        return output.Trim();
    }

    public static Process Start(string program, params string[] arguments)
    {
        ProcessStartInfo start = new(Find(program) ?? program)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }
        return Process.Start(start)!;
    }

    private static string? Find(string program)
    {
        foreach (string place in s_places)
        {
            string path = Path.Combine(place, program);
            if (File.Exists(path))
            {
                return path;
            }
        }
        return null;
    }
}

/// <summary>A loop device over a file; skips where the machine has none. Detached in any case.</summary>
internal sealed class LoopDevice : IDisposable
{
    private LoopDevice(string path) => Path = path;

    public string Path { get; }

    public string Name => System.IO.Path.GetFileName(Path);

    public static LoopDevice Attach(string file, params string[] options)
    {
        Tool.NeedRoot();
        Tool.Need("losetup");
        if (!File.Exists("/dev/loop-control"))
        {
            Assert.Skip("needs loop devices (/dev/loop-control)");
        }
        using Process process = Tool.Start("losetup", ["-f", "--show", .. options, file]);
        string path = process.StandardOutput.ReadToEnd().Trim();
        string error = process.StandardError.ReadToEnd().Trim();
        process.WaitForExit();
        if (process.ExitCode != 0)
        {
            Assert.Skip($"losetup is not permitted here: {error}");
        }
        return new LoopDevice(path);
    }

    public void Dispose() => Tool.Run("losetup", "-d", Path);
}

/// <summary>A mounted ext4 file system on a device; unmounted in any case.</summary>
internal sealed class MountedExt4 : IDisposable
{
    private MountedExt4(string point) => Point = point;

    public string Point { get; }

    public static MountedExt4 Make(string device, string point)
    {
        Tool.Need("mkfs.ext4");
        Tool.Need("mount");
        Tool.Run("mkfs.ext4", "-q", "-F", "-m", "0", device);
        Directory.CreateDirectory(point);
        using Process process = Tool.Start("mount", device, point);
        string error = process.StandardError.ReadToEnd().Trim();
        process.WaitForExit();
        if (process.ExitCode != 0)
        {
            Assert.Skip($"mounting is not permitted here: {error}");
        }
        return new MountedExt4(point);
    }

    public void Dispose() => Tool.Run("umount", Point);
}
