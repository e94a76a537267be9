using System;
using System.Threading.Tasks;
using DmRemap.Control.Server;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Composition;

/// <summary>
/// The control socket of a device from its start on, so that a start that waits for a disk can be asked
/// what it waits for, and be stopped. Where another instance still has it, it is taken after the claims:
/// whoever has those is the only one left.
/// </summary>
internal sealed class ControlSocketOfDevice(string path, DeviceLife life, TimeProvider time)
    : IAsyncDisposable
{
    private static readonly TimeSpan s_formerEndsWithin = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(20);

    public string Path { get; } = path;

    public bool IsOpen => Server is not null;

    public ControlServer? Server { get; private set; }

    /// <summary>Why it did not open is said after the claims, if it is still so then.</summary>
    public void TryOpen()
    {
        try
        {
            Server = ControlServer.Start(Path, life);
        }
        catch (RefusalException)
        {
            // The members are claimed first: a living instance that has them is named by that.
        }
    }

    /// <exception cref="RefusalException">It cannot be made, or somebody else answers there.</exception>
    public async Task OpenAfterClaimsAsync()
    {
        long began = time.GetTimestamp();
        while (Server is null)
        {
            try
            {
                Server = ControlServer.Start(Path, life);
            }
            catch (RefusalException e)
                when (e.ExitCode == ExitCode.InUse && time.GetElapsedTime(began) < s_formerEndsWithin)
            {
                // The instance whose claims these were is just ending.
                await Task.Delay(s_pause, time);
            }
        }
    }

    public ValueTask DisposeAsync() => Server?.DisposeAsync() ?? ValueTask.CompletedTask;
}
