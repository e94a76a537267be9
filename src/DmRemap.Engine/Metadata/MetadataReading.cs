using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;

namespace DmRemap.Engine.Metadata;

public interface IMetadataReadingOwner
{
    /// <summary>
    /// Called once, on the loop's thread, never from inside Begin. Nothing has been written.
    /// </summary>
    void OnRead(MetadataReading reading);
}

/// <summary>
/// Reads a set and writes nothing: superblocks, then the checkpoint they name, then the journal, replayed
/// over it. Recovery begins with it; `check` and `dump` are nothing else.
/// </summary>
public sealed class MetadataReading
    : ISuperblockScanOwner, ICheckpointLoadOwner, IRingReadOwner, ITimerOwner
{
    private readonly IEventLoop _loop;
    private readonly IBlockDevice[] _spares;
    private readonly SetExpectation _expected;
    private readonly FeatureFlags _supported;
    private readonly IMetadataReadingOwner _owner;
    private CheckpointLoad? _load;

    /// <param name="loop">On whose thread everything happens.</param>
    /// <param name="spares">In any order: members are known by the UUIDs we wrote.</param>
    /// <param name="expected">What the caller knows of the set.</param>
    /// <param name="supported">The features that this program understands.</param>
    /// <param name="owner">Told of the end.</param>
    public MetadataReading(
        IEventLoop loop,
        IBlockDevice[] spares,
        SetExpectation expected,
        FeatureFlags supported,
        IMetadataReadingOwner owner)
    {
        Invariant.Check(spares.Length > 0);
        _loop = loop;
        _spares = spares;
        _expected = expected;
        _supported = supported;
        _owner = owner;
        Copies = [];
    }

    /// <summary>Null when the set is to be used.</summary>
    public MetadataRefusal? Refusal { get; private set; }

    public AssembledSet? Set { get; private set; }

    /// <summary>By position of the spare: what each copy was, also after a refusal.</summary>
    public SpareReading[] Copies { get; private set; }

    /// <summary>By member index; null where it is not here.</summary>
    public MetadataMember?[] Members { get; private set; } = [];

    /// <summary>Places of the checkpoint that do not have it.</summary>
    public int CheckpointPlacesBad => _load?.PlacesBad ?? 0;

    /// <summary>Journal slots that no device could read.</summary>
    public int JournalSlotsUnreadable { get; private set; }

    /// <summary>The records that count. Null after a refusal.</summary>
    public JournalChain? Chain { get; private set; }

    /// <summary>What the journal lacks: the refusal, or the loss that the caller accepts.</summary>
    public JournalDamage? JournalDamage { get; private set; }

    /// <summary>The table, with the journal replayed. Null after a refusal.</summary>
    public RemapTable? Table { get; private set; }

    public RetiredUnits? Retired { get; private set; }

    public SpareAllocator? Allocator { get; private set; }

    /// <summary>True when every active member has every part of the history in every place.</summary>
    public bool IsWholeEverywhere => Chain is not null && CheckpointPlacesBad == 0
        && JournalDamage is null && Chain.IsWholeIn(PlacesOfActive());

    /// <summary>Records that some place of some active member does not have.</summary>
    public int JournalRecordsPartial => Chain?.CountLackingIn(PlacesOfActive()) ?? 0;

    /// <summary>What is wrong with a place of the checkpoint on an active member.</summary>
    public CheckpointDamage CheckpointDamageAt(int member, int place) =>
        _load?.DamageAt(member, place) ?? CheckpointDamage.None;

    /// <summary>Records that this place does not have.</summary>
    public int JournalRecordsMissingAt(int member, int place) =>
        Chain?.CountLackingIn(1u << ((member * SpareLayout.Places) + place)) ?? 0;

    /// <summary>
    /// By member index, once the set is decided: superblock copies in whose place something else was found,
    /// zeros or what has no magic. A torn write of ours does not leave that, nor a sector that cannot be
    /// read; a place that never took a copy does, and is not counted. So somebody else wrote there, or a disk
    /// answers wrongly.
    /// </summary>
    public int[] CountCopiesOverwritten()
    {
        int[] overwritten = new int[Set!.SpareOfMember.Length];
        for (int member = 0; member < overwritten.Length; member++)
        {
            int position = Set.SpareOfMember[member];
            for (int copy = 0; position >= 0 && copy < SpareLayout.SuperblockCopies; copy++)
            {
                bool isOther = Copies[position].Copies[copy].Verdict
                    is SuperblockVerdict.Blank or SuperblockVerdict.Foreign;
                bool isNamedBad = (Set.Newest.Set.Members[member].BadCopies & (1 << copy)) != 0;
                overwritten[member] += isOther && !isNamedBad ? 1 : 0;
            }
        }
        return overwritten;
    }

    public void Begin()
    {
        Refusal = RefusalBeforeReading();
        if (Refusal is null)
        {
            new SuperblockScan(_loop, _spares, _supported, this).Begin();
        }
        else
        {
            _loop.Schedule(new LoopTimer(this), _loop.Now);
        }
    }

    void ITimerOwner.OnTimer(LoopTimer timer) => _owner.OnRead(this);

    void ISuperblockScanOwner.OnScanned(SuperblockScan scan)
    {
        Copies = scan.Readings;
        Set = SetAssembly.Decide(scan.Readings, _expected, out MetadataRefusal? refusal);
        if (Set is null)
        {
            Refuse(refusal!);
            return;
        }
        Members = new MetadataMember?[Set.SpareOfMember.Length];
        for (int i = 0; i < Members.Length; i++)
        {
            Members[i] = Set.Layouts[i] is SpareLayout layout
                ? new MetadataMember(_spares[Set.SpareOfMember[i]], layout, Set.Roles[i])
                {
                    SettledGeneration = Set.Newest.Set.Members[i].SettledGeneration,
                }
                : null;
        }
        _load = new CheckpointLoad(_loop, Set, Members, this);
        _load.Begin();
    }

    void ICheckpointLoadOwner.OnLoaded(CheckpointLoad load)
    {
        if (load.Damage != CheckpointDamage.None)
        {
            MetadataRefusalKind kind = load.Damage == CheckpointDamage.Unreadable
                ? MetadataRefusalKind.CheckpointUnreadable
                : MetadataRefusalKind.CheckpointDamaged;

            // Never the older table: it lacks what was acknowledged since.
            Refuse(new MetadataRefusal(
                kind,
                -1,
                $"no place holds the checkpoint of generation {Set!.Newest.State.Generation}:"
                    + $" {load.Damage}"));
            return;
        }
        new RingRead(_loop, Set!.Newest.Set, Members, this).Begin();
    }

    void IRingReadOwner.OnRingsRead(RingRead rings)
    {
        JournalSlotsUnreadable = rings.SlotsUnreadable;
        SuperblockState state = Set!.Newest.State;
        JournalChain? chain = rings.History.Decide(state, out JournalDamage? damage);
        JournalDamage = damage;
        if (chain is null && _expected.AcceptsLoss)
        {
            chain = rings.History.Salvage(state);
        }
        if (chain is null)
        {
            bool isUnreadable = rings.SlotsUnreadable > 0;
            Refuse(new MetadataRefusal(
                isUnreadable ? MetadataRefusalKind.JournalUnreadable : MetadataRefusalKind.JournalDamaged,
                -1,
                $"records {damage!.First} to {damage.Last} were acknowledged and are in no place"
                    + $" ({rings.SlotsUnreadable} slots cannot be read)"));
            return;
        }
        ulong highest = Math.Max(chain.NextSequence, Set.GenerationMax);
        if (highest > SuperblockState.NumberMax)
        {
            // Nobody counts so far: a forger's or a bug's work. The next one written could not be read back.
            Refuse(new MetadataRefusal(
                MetadataRefusalKind.CopiesConflict, -1, $"a generation or record has the number {highest}"));
            return;
        }
        Replay(chain);
    }

    private void Replay(JournalChain chain)
    {
        RemapTable table = _load!.Table;
        SetDescription set = Set!.Newest.Set;
        CheckpointDamage damage = CheckpointDamage.None;
        // Whoever has a record was active when it was written, and then the table fitted there.
        long cellsMax = 0;
        foreach (SpareLayout? layout in Set.Layouts)
        {
            cellsMax = Math.Max(cellsMax, layout?.EntriesMax ?? 0);
        }
        JournalReplay replay = new(set, table, _load.Retired, cellsMax);
        foreach (FoundRecord record in chain.Records)
        {
            damage = damage == CheckpointDamage.None ? replay.Apply(record.Cells) : damage;
        }
        bool isTooMuch = damage == CheckpointDamage.None && table.Count > SpareLayout.TableEntriesMax;
        damage = isTooMuch ? CheckpointDamage.WrongCount : damage;
        SpareAllocator? allocator = damage == CheckpointDamage.None
            ? AllocatorLoad.TryLoad(set, table, _load.Retired)
            : null;
        if (allocator is null)
        {
            damage = damage == CheckpointDamage.None ? CheckpointDamage.SpareUnitTwice : damage;
            Refuse(new MetadataRefusal(
                MetadataRefusalKind.CheckpointDamaged, -1, $"the table contradicts itself: {damage}"));
            return;
        }
        Chain = chain;
        Table = table;
        Retired = _load.Retired;
        Allocator = allocator;
        _owner.OnRead(this);
    }

    private void Refuse(MetadataRefusal refusal)
    {
        Refusal = refusal;
        _owner.OnRead(this);
    }

    private uint PlacesOfActive()
    {
        uint places = 0;
        for (int i = 0; i < Members.Length; i++)
        {
            places |= Members[i] is { IsActive: true } ? 3u << (i * SpareLayout.Places) : 0;
        }
        return places;
    }

    private MetadataRefusal? RefusalBeforeReading()
    {
        if (_spares.Length > Limits.SparesMax)
        {
            return new MetadataRefusal(
                MetadataRefusalKind.TooManySpares,
                -1,
                $"{_spares.Length} spares; {Limits.SparesMax} is the most");
        }
        for (int i = 0; i < _spares.Length; i++)
        {
            long bytes = _spares[i].Geometry.Bytes.Value;
            if (bytes < Limits.SpareBytesMin)
            {
                return new MetadataRefusal(
                    MetadataRefusalKind.TooSmall, i, $"{bytes} bytes; {Limits.SpareBytesMin} is the least");
            }
        }
        return null;
    }
}
