using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

public interface IMetadataReadingOwner
{
    /// <summary>
    /// Called once, on the loop's thread, never from inside Begin: Set or Refusal is not null.
    /// </summary>
    void OnRead(MetadataReading reading);
}

/// <summary>
/// Reads what is on the spares and writes nothing: every superblock copy of every spare, then the checkpoint
/// that the newest names. The caller holds the claim of every spare (F-1): else a dead instance's write may
/// still land.
/// </summary>
public sealed class MetadataReading : ISuperblockScanOwner, ICheckpointLoadOwner, ITimerOwner
{
    private readonly IEventLoop _loop;
    private readonly IBlockDevice[] _spares;
    private readonly SetExpectation _expected;
    private readonly FeatureFlags _supported;
    private readonly IMetadataReadingOwner _owner;
    private MetadataMember[] _members = [];
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

    /// <summary>Places of the checkpoint that were tried and did not have it.</summary>
    public int CheckpointPlacesBad => _load?.PlacesBad ?? 0;

    /// <summary>The table; empty after a refusal.</summary>
    public TableImage Image => _load?.Image ?? new TableImage();

    /// <summary>By member index.</summary>
    public MetadataMember[] Members => _members;

    public void Begin()
    {
        Refusal = RefusalBeforeReading();
        if (Refusal is null)
        {
            new SuperblockScan(_spares, _supported, this).Begin();
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
        AssembledSet? assembled = SetAssembly.Decide(scan.Readings, _expected, out MetadataRefusal? refusal);
        Refusal = refusal;
        if (assembled is null)
        {
            _owner.OnRead(this);
            return;
        }
        Set = assembled;
        _members = new MetadataMember[assembled.SpareOfMember.Length];
        for (int i = 0; i < _members.Length; i++)
        {
            _members[i] = new MetadataMember(_spares[assembled.SpareOfMember[i]], assembled.Layouts[i]);
        }
        _load = new CheckpointLoad(assembled.Newest.Set, assembled.Newest.State.Checkpoint, _members, this);
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
            Refusal = new MetadataRefusal(
                kind,
                -1,
                $"no place holds the checkpoint of generation {Set!.Newest.State.Generation}: {load.Damage}");
            Set = null;
        }
        _owner.OnRead(this);
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
