using System;
using System.IO;

namespace DmRemap.Tests.Support;

/// <summary>
/// A directory of its own for a test, removed with all that is in it. Its path is short enough for a socket.
/// </summary>
internal sealed class TemporaryDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("dmr").FullName;

    public string this[string name] => System.IO.Path.Combine(Path, name);

    /// <summary>A file of this many bytes, each with the value of its position's low bits.</summary>
    public string MakeFile(string name, int bytes)
    {
        byte[] content = new byte[bytes];
        for (int i = 0; i < bytes; i++)
        {
            content[i] = unchecked((byte)(i * 7));
        }
        File.WriteAllBytes(this[name], content);
        return this[name];
    }

    public string MakeSparseFile(string name, long bytes)
    {
        using FileStream stream = new(this[name], FileMode.CreateNew);
        stream.SetLength(bytes);
        return this[name];
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
