using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

/// <summary>
/// What commits may add to the table at most. Removals count as nothing: they make room, and the room kept
/// back is enough for the runs that they may split first.
/// </summary>
/// <param name="Entries">Each may split a run and be one of its own.</param>
/// <param name="RetiredUnits">Each may be a run of its own.</param>
internal readonly record struct TableGrowth(int Entries, int RetiredUnits)
{
    public bool IsNone => Entries == 0 && RetiredUnits == 0;

    public static TableGrowth operator +(TableGrowth left, TableGrowth right) =>
        new(left.Entries + right.Entries, left.RetiredUnits + right.RetiredUnits);

    public static TableGrowth operator -(TableGrowth left, TableGrowth right) =>
        new(left.Entries - right.Entries, left.RetiredUnits - right.RetiredUnits);

    public static TableGrowth Of(CommitRequest request)
    {
        int entries = 0;
        int retired = 0;
        foreach (ref readonly TableChange change in request.Changes)
        {
            entries += change.Kind == TableChangeKind.Set ? 1 : 0;
            retired += change.Kind == TableChangeKind.RetireSpareUnit ? 1 : 0;
        }
        return new TableGrowth(entries, retired);
    }
}
