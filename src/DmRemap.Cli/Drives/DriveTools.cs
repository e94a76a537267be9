using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Threading.Tasks;
using DmRemap.Cli.Losses;

namespace DmRemap.Cli.Drives;

/// <summary>What of this machine knows drives. None of it runs on the data thread.</summary>
internal interface IDriveTools
{
    Task<ToolAnswer> SmartctlAsync(IReadOnlyList<string> arguments);

    /// <summary>The kernel's time-out for a command of this disk, in seconds; null: it has none.</summary>
    int? CommandTimeoutOf(string path);

    bool TrySetCommandTimeout(string path, int seconds);
}

internal sealed class DriveTools(TimeProvider time) : IDriveTools
{
    /// <summary>A drive that is busy with a bad sector answers when it has done with that.</summary>
    private static readonly TimeSpan s_timeLimit = TimeSpan.FromSeconds(20);

    public Task<ToolAnswer> SmartctlAsync(IReadOnlyList<string> arguments) =>
        new ToolRun(s_timeLimit, time).RunAsync("smartctl", arguments);

    public int? CommandTimeoutOf(string path)
    {
        try
        {
            return TimeoutFile(path) is string file
                && int.TryParse(
                    File.ReadAllText(file).AsSpan().Trim(), NumberStyles.None, CultureInfo.InvariantCulture,
                    out int seconds)
                && seconds > 0
                ? seconds
                : null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    public bool TrySetCommandTimeout(string path, int seconds)
    {
        try
        {
            if (TimeoutFile(path) is not string file)
            {
                return false;
            }
            File.WriteAllText(file, seconds.ToString(CultureInfo.InvariantCulture));
            return true;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>
    /// Of the disk, also where a partition of it is meant. Only SCSI disks, SATA ones too, have it.
    /// </summary>
    private static string? TimeoutFile(string path)
    {
        string device = new FileInfo(path).ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? path;
        string name = Path.Combine("/sys/class/block", Path.GetFileName(device));
        string? folder = Directory.ResolveLinkTarget(name, returnFinalTarget: true)?.FullName;
        if (folder is not null && File.Exists(Path.Combine(folder, "partition")))
        {
            folder = Path.GetDirectoryName(folder);
        }
        string? file = folder is null ? null : Path.Combine(folder, "device/timeout");
        return File.Exists(file) ? file : null;
    }
}
