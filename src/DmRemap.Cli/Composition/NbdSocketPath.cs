using System.IO;
using System.Text;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Composition;

/// <summary>What `--socket` may be, before anything is claimed.</summary>
internal static class NbdSocketPath
{
    /// <summary>sun_path without its final zero.</summary>
    private const int BytesMax = 107;

    /// <exception cref="RefusalException">DMR-USAGE, DMR-SOCKET-PATH-TOO-LONG (exit 2).</exception>
    public static void Require(string path, string device)
    {
        // "" is no path, and "/" and what ends in "/" name a directory.
        if (Path.GetFileName(path).Length == 0)
        {
            throw new RefusalException(new Refusal(
                MessageIds.Usage,
                ExitCode.Usage,
                device,
                $"--socket \"{path}\" names no file.",
                "Give the path of the socket to be made, or leave --socket out."));
        }
        int bytes = Encoding.UTF8.GetByteCount(path);
        if (bytes > BytesMax)
        {
            throw new RefusalException(new Refusal(
                "DMR-SOCKET-PATH-TOO-LONG",
                ExitCode.Usage,
                device,
                $"The socket path {path} has {bytes} bytes; Linux allows {BytesMax}.",
                "Give a shorter path with --socket, or a relative one."));
        }
    }
}
