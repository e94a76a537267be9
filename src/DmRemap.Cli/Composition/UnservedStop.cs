using System;
using System.Threading.Tasks;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Engine.Metadata;

namespace DmRemap.Cli.Composition;

/// <summary>
/// The end of a set that was taken over and then served to nobody. The takeover has cleared the record of the
/// last clean stop; without a new one the next start could not tell that the main device was written behind
/// our back (F-16). A set that had not ended well is left so: what its last writes did to the main device is
/// not known. A spare that hangs is not waited for: then no clean stop is recorded.
/// </summary>
internal sealed class UnservedStop(
    LoopHost host, IBlockDevice main, RecoveredSet set, TimeProvider time) : IMetadataStopOwner
{
    /// <summary>As long as `stop` waits unless it is told otherwise.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly TaskCompletionSource<bool> _stopped =
        new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>How far the set is now; null: no clean stop is recorded.</summary>
    public async Task<HistoryPoint?> RunAsync()
    {
        if (!set.WasCleanStop)
        {
            return null;
        }
        await host.RunAsync(() => new CleanStop(host.Loop, main, set, this, set.WereCopiesInStep).Begin());
        // Given up, it goes on by itself until the process ends, with the claims that it has.
        Task first = await Task.WhenAny(_stopped.Task, Task.Delay(Patience, time));
        MetadataStore store = set.Store;
        return first == _stopped.Task && await _stopped.Task
            ? new HistoryPoint(store.Epoch, store.Generation, store.Sequence)
            : null;
    }

    void IMetadataStopOwner.OnMetadataStopped(bool isClean) => _stopped.SetResult(isClean);
}
