using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Spares;

/// <summary>An allocator that knows what a recovered table uses.</summary>
public static class AllocatorLoad
{
    /// <summary>
    /// Null when a spare unit has two owners, is retired and used, or is on a member that has left: such a
    /// table must not be served, since one write would change two units.
    /// </summary>
    public static SpareAllocator? TryLoad(SetDescription set, RemapTable table, RetiredUnits retired)
    {
        SpareAllocator allocator = new();
        for (int member = 0; member < set.Members.Length; member++)
        {
            if (set.Members[member].State != MemberState.Retired)
            {
                allocator.AddSpare(member, set.Members[member].DataUnits);
            }
        }
        foreach (SpareLocation location in retired.All)
        {
            // Of a member that has left, nothing is lent anyway.
            if (allocator.Contains(location))
            {
                allocator.MarkRetired(location);
            }
        }
        RemapTable.RunWalk walk = table.WalkRuns();
        while (walk.TryNext(out RemapEntry first, out int count))
        {
            if (!TryMark(allocator, first, count))
            {
                return null;
            }
        }
        return allocator;
    }

    private static bool TryMark(SpareAllocator allocator, in RemapEntry first, int count)
    {
        for (int i = 0; i < count && !first.Location.IsNone; i++)
        {
            RemapEntry entry = first.Following(i);
            if (!IsFree(allocator, entry.Location) || !IsFree(allocator, entry.Second))
            {
                return false;
            }
            allocator.MarkUsed(entry.Location, entry.Unit);
            if (!entry.Second.IsNone)
            {
                allocator.MarkUsed(entry.Second);
            }
        }
        return true;
    }

    private static bool IsFree(SpareAllocator allocator, SpareLocation location) =>
        location.IsNone || (allocator.Contains(location) && allocator.IsFree(location));
}
