using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Metadata;

internal interface ICheckpointLoadOwner
{
    /// <summary>The table is the checkpoint named when the damage is None.</summary>
    void OnLoaded(CheckpointLoad load);
}

/// <summary>
/// Reads the checkpoint that a superblock names, from the first place of the first member that has it whole;
/// then looks whether the other places have it too. When none has it, every place is tried once more.
/// </summary>
internal sealed class CheckpointLoad : IAreaReaderOwner
{
    private const int PassesMax = 2;

    private readonly SetDescription _set;
    private readonly SuperblockState _state;
    private readonly MetadataMember?[] _members;
    private readonly ICheckpointLoadOwner _owner;
    private readonly AreaReader?[] _readers;
    private readonly CheckpointDamage[] _damages;
    private readonly CheckpointReader _reader = new();
    private readonly CheckpointVerifier _verifier = new();
    private CheckpointDamage _placeDamage;
    private int _attempt = -1;
    private int _loadedFrom = -1;

    public CheckpointLoad(
        IEventLoop loop, AssembledSet assembled, MetadataMember?[] members, ICheckpointLoadOwner owner)
    {
        _set = assembled.Newest.Set;
        _state = assembled.Newest.State;
        _members = members;
        _owner = owner;
        _readers = new AreaReader?[members.Length];
        _damages = new CheckpointDamage[members.Length * SpareLayout.Places];
        for (int i = 0; i < members.Length; i++)
        {
            bool isLooked = members[i] is { IsActive: true };
            _readers[i] = isLooked ? new AreaReader(loop, members[i]!, this) : null;
        }
        Table = new RemapTable(_set.Geometry);
    }

    public RemapTable Table { get; private set; }

    public RetiredUnits Retired { get; private set; } = new();

    /// <summary>Of the last place tried; Unreadable when any place was.</summary>
    public CheckpointDamage Damage { get; private set; }

    /// <summary>Places of active members that do not have it.</summary>
    public int PlacesBad
    {
        get
        {
            int bad = 0;
            foreach (CheckpointDamage damage in _damages)
            {
                bad += damage == CheckpointDamage.None ? 0 : 1;
            }
            return bad;
        }
    }

    /// <summary>What is wrong with one place; None also for a member that is not looked at.</summary>
    public CheckpointDamage DamageAt(int member, int place) =>
        _damages[(member * SpareLayout.Places) + place];

    public void Begin() => NextPlace();

    bool IAreaReaderOwner.OnAreaSlice(ReadOnlySpan<byte> bytes)
    {
        if (_loadedFrom >= 0)
        {
            _verifier.Feed(bytes);
            return true;
        }
        _placeDamage = _reader.Feed(bytes);
        return _placeDamage == CheckpointDamage.None;
    }

    void IAreaReaderOwner.OnAreaRead(AreaReader reader)
    {
        if (_loadedFrom >= 0)
        {
            CheckpointDamage found = _verifier.IsSound ? CheckpointDamage.None : CheckpointDamage.Checksum;
            _damages[_attempt] = reader.HasFailed ? CheckpointDamage.Unreadable : found;
            NextPlace();
            return;
        }
        _placeDamage = reader.HasFailed ? CheckpointDamage.Unreadable : _placeDamage;
        bool isShort = _placeDamage == CheckpointDamage.None && !_reader.IsComplete;
        _placeDamage = isShort ? CheckpointDamage.NoTrailer : _placeDamage;
        _damages[_attempt % Places] = _placeDamage;
        if (_placeDamage == CheckpointDamage.None)
        {
            // Those before it have been tried and are bad, whether in this pass or in the first.
            _loadedFrom = _attempt % Places;
            _attempt = _loadedFrom;
            Damage = CheckpointDamage.None;
        }
        else
        {
            Damage = Damage == CheckpointDamage.Unreadable ? Damage : _placeDamage;
            Table = new RemapTable(_set.Geometry);
            Retired = new RetiredUnits();
        }
        NextPlace();
    }

    void IAreaReaderOwner.OnAreaIdle()
    {
    }

    private int Places => _members.Length * SpareLayout.Places;

    private void NextPlace()
    {
        int end = _loadedFrom >= 0 ? Places : Places * PassesMax;
        _attempt++;
        while (_attempt < end && _readers[_attempt % Places / SpareLayout.Places] is null)
        {
            _attempt++;
        }
        if (_attempt >= end)
        {
            if (_loadedFrom < 0 && Damage == CheckpointDamage.None)
            {
                Damage = CheckpointDamage.Unreadable;
            }
            _owner.OnLoaded(this);
            return;
        }
        BeginPlace(_attempt % Places);
    }

    private void BeginPlace(int place)
    {
        AreaReader reader = _readers[place / SpareLayout.Places]!;
        MetadataMember member = reader.Member;
        int alignment = member.AlignmentBytes;
        long length = (_state.Checkpoint.LengthBytes + alignment - 1) / alignment * alignment;
        ByteRegion area = member.Layout.Area(_state.Checkpoint.Area, place % SpareLayout.Places);
        if (_loadedFrom >= 0)
        {
            _verifier.Begin(_state.Checkpoint);
        }
        else
        {
            _reader.Begin(_set, _state, member.Layout.EntriesMax, Table, Retired);
            _placeDamage = CheckpointDamage.None;
        }
        reader.Begin(new ByteRegion(area.Start, length), Duration.Zero);
    }
}
