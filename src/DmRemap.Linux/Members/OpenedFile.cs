using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Members;

/// <summary>What an open file and a path have to do with each other.</summary>
public static class OpenedFile
{
    /// <summary>False once the file was removed from there, whatever lies there now.</summary>
    public static bool IsAt(SafeFileHandle handle, string path) =>
        FileStatus.OfPath(path) is FileStatus there && there.IsSameFile(FileStatus.OfHandle(handle, path));
}
