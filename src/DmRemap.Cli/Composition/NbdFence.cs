using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;

namespace DmRemap.Cli.Composition;

/// <summary>
/// F-1 for exports, from one process to the next. A file or disk is claimed, and the kernel ends the claim
/// only when a dead instance's last write has landed; an export has no claim. So a file in the run directory
/// says that writes may be under way. It is there while the device is served and is removed when all of them
/// have been answered; a start that finds it waits for the time in which they must have landed.
/// </summary>
internal sealed class NbdFence
{
    private readonly string _path;

    private NbdFence(string path) => _path = path;

    public static string PathOf(string runPath, string name) => Path.Combine(runPath, name + ".nbd-open");

    /// <summary>Null for a device without such members. Before anything is written to one.</summary>
    public static async Task<NbdFence?> PassAsync(
        string path, IEnumerable<OpenedMember> members, Action<string> say, CancellationToken cancellation)
    {
        if (!members.Any(member => member.Kind == MemberKind.Nbd))
        {
            return null;
        }
        if (File.Exists(path))
        {
            say($"waiting for {Limits.NbdFenceMs / 1000} s: the last instance did not end in good order, and "
                + "what it had sent to an NBD server may still be written");
            await Task.Delay(Limits.NbdFenceMs, cancellation);
        }
        try
        {
            await File.WriteAllBytesAsync(path, [], cancellation);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new RefusalException(
                new Refusal(
                    "DMR-NBD-FENCE",
                    ExitCode.NotPermitted,
                    path,
                    $"{path} cannot be made: {error.Message}",
                    "Make the run directory writable, or set DMREMAP_RUN_DIR."),
                error);
        }
        return new NbdFence(path);
    }

    /// <summary>
    /// Every write has been answered. In doubt the file stays, and costs the next start the wait.
    /// </summary>
    public void Lift()
    {
        try
        {
            File.Delete(_path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // It stays.
        }
    }
}
