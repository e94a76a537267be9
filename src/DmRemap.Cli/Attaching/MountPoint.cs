using System;
using System.IO;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Attaching;

/// <summary>The empty file in the run directory that the device is mounted over.</summary>
internal static class MountPoint
{
    /// <exception cref="RefusalException">DMR-ATTACH-FAILED (exit 1).</exception>
    public static void Make(string path, string name)
    {
        try
        {
            using FileStream made = new(path, new FileStreamOptions
            {
                Mode = FileMode.OpenOrCreate,
                Access = FileAccess.Write,
                UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            });
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new RefusalException(AttachRefusals.Failed(name, e.Message.TrimEnd('.')), e);
        }
    }

    /// <summary>Once nothing is mounted there.</summary>
    public static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Something is mounted there nevertheless, or the directory has gone: the next attach sees.
        }
    }
}
