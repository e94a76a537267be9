using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Engine.Metadata;

/// <summary>
/// The end of a set in good order, when all members are flushed and nothing is outstanding: look at the
/// primary, then write the superblocks that say so. A primary that does not answer in time is not waited for:
/// everything acknowledged is durable without what it would say. Remapped units whose reading has failed are
/// left out: they would take the drive long, and the stop with it.
/// </summary>
public sealed class CleanStop(
    IEventLoop loop, IBlockDevice primary, RecoveredSet set, IMetadataStopOwner owner,
    bool areCopiesInStep, Predicate<UnitNumber>? hasFailedReading = null)
    : IWitnessReadingOwner
{
    private static readonly Duration s_patience = Duration.FromSeconds(2);

    public void Begin() =>
        new WitnessReading(loop, primary, set.Table, this, isLeftOut: hasFailedReading).Begin(s_patience);

    void IWitnessReadingOwner.OnWitnessRead(WitnessReading reading) =>
        set.Store.BeginStop(owner, reading.Witness, areCopiesInStep);
}
