using System;
using System.IO;

namespace DmRemap.Control.Server;

/// <summary>
/// The right to make, replace and remove the socket at a path: a locked file beside it. The kernel ends the
/// lock with the process, so a file that is left behind is nobody's.
/// <para>
/// Whoever lets go takes the file away, and somebody may have opened it just before, to lock it just after:
/// he would have a lock that the next one does not see. So a file that was removed is no lock. One that was
/// still there when it was locked stays, for only who has it removes it.
/// </para>
/// </summary>
internal sealed class PathLock : IDisposable
{
    /// <summary>EWOULDBLOCK: the result that .NET gives when another has the lock.</summary>
    private const int WouldBlock = 11;

    /// <summary>What the kernel adds to the name of an open file that was removed.</summary>
    private const string RemovedMark = " (deleted)";

    private readonly FileStream _file;
    private readonly string _path;

    private PathLock(FileStream file, string path)
    {
        _file = file;
        _path = path;
    }

    /// <summary>False: somebody else has removed the file, and another may have the right by now.</summary>
    public bool IsThere
    {
        get
        {
            FileInfo open = new($"/proc/self/fd/{_file.SafeFileHandle.DangerousGetHandle()}");
            return open.LinkTarget?.EndsWith(RemovedMark, StringComparison.Ordinal) != true;
        }
    }

    /// <summary>Null: another has it.</summary>
    /// <exception cref="IOException">The file cannot be made.</exception>
    /// <exception cref="UnauthorizedAccessException">The same.</exception>
    public static PathLock? TryTake(string path) => TryTake(path, Open);

    internal static PathLock? TryTake(string path, Func<string, FileStream> open)
    {
        while (true)
        {
            try
            {
                PathLock taken = new(open(path), path);
                if (taken.IsThere)
                {
                    return taken;
                }
                taken._file.Dispose();
            }
            catch (IOException error) when (error.HResult == WouldBlock)
            {
                return null;
            }
        }
    }

    /// <summary>The file goes first, while it is locked.</summary>
    public void Dispose()
    {
        try
        {
            if (IsThere)
            {
                File.Delete(_path);
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // A file that stays is locked by nobody: the next one takes it.
        }
        _file.Dispose();
    }

    internal static FileStream Open(string path) => new(path, new FileStreamOptions
    {
        Mode = FileMode.OpenOrCreate,
        Access = FileAccess.ReadWrite,
        Share = FileShare.None,
        BufferSize = 0,
        UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
    });
}
