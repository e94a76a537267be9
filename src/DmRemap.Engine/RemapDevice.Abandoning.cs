using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine;

/// <summary>
/// Reads that were answered with an error at a deadline and are still with a disk (F-19). Each keeps a slot
/// here, of which there are more for that. A member that has many of them gets no more reads of clients: they
/// fail at once, instead of keeping a slot each until nobody's requests find one.
/// </summary>
public sealed partial class RemapDevice : IAbandonedReads
{
    private const int TimedOut = 110;

    public void OnReadAbandoned(IoRequest read)
    {
        Invariant.Check(read.IsSubmitted);
        Counters.ReadsAbandoned++;
        _fragments.Abandon(read, this);
    }

    internal void NoteAbandoned(Member member)
    {
        if (member.ReadsAbandoned == 1)
        {
            Publish(EngineEventKind.ReadsAbandoned, member, default, SpareLocation.None, TimedOut);
        }
    }

    /// <summary>Does this read fail because its member has enough that nobody waits for?</summary>
    private static bool IsReadRefused(RemapRequest request, Member member, Extent part)
    {
        if (!member.HasManyAbandoned || (request.Parent!.Flags & IoFlags.Background) != 0)
        {
            return false;
        }
        request.Fail(IoStatus.DeviceError, TimedOut, part);
        request.Cursor = part.End;
        return true;
    }
}
