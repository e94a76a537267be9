using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

internal interface IMemberSeedOwner
{
    void OnSeeded();
}

/// <summary>
/// The first superblocks of a spare that joins a set: those of a member that is far behind. All it says is
/// which set it is of; the others say what it counts for.
/// </summary>
internal sealed class MemberSeed : IRoundOwner
{
    /// <summary>
    /// Below every generation of an epoch that is served (its start has made one above `create`'s 1), so that
    /// a seed never decides.
    /// </summary>
    public const ulong Generation = 1;

    private readonly MetadataMember _member;
    private readonly IMemberSeedOwner _owner;
    private readonly IoRound _round;
    private readonly BufferSlice[] _buffers = new BufferSlice[SpareLayout.SuperblockCopies];

    public MemberSeed(IEventLoop loop, MetadataMember member, IMemberSeedOwner owner)
    {
        _member = member;
        _owner = owner;
        _round = new IoRound(loop, this, SpareLayout.SuperblockCopies, 0);
        for (int copy = 0; copy < _buffers.Length; copy++)
        {
            _buffers[copy] = AlignedMemory.Allocate(member.Layout.SuperblockSlotBytes);
        }
    }

    /// <summary>Every copy is durable: a spare that begins with one that fails is not worth having.</summary>
    public bool IsDone => _round.OkCount == SpareLayout.SuperblockCopies;

    public bool IsWriting => _round.IsRunning;

    public int Busy => _round.Busy;

    public MetadataFailure Failure => _round.FirstFailure;

    public void Write(SetDescription set, in SuperblockState state, int index, Duration deadline)
    {
        SetDescription own = set with { Members = [.. set.Members] };
        own.Members[index] = own.Members[index] with { State = MemberState.Active, SettledGeneration = 0 };
        SuperblockState behind = state with { Generation = Generation, SettledGeneration = 0 };
        _round.Clear();
        for (int copy = 0; copy < _buffers.Length; copy++)
        {
            BufferSlice buffer = _buffers[copy];
            SuperblockEncoder.Encode(own, _member.Layout, behind, index, copy, buffer.Span);
            _round.Add(
                copy,
                _member.Device,
                IoOperation.Write,
                _member.ExtentOf(_member.Layout.Superblock(copy).Start, buffer.Length),
                buffer,
                IoFlags.ForceUnitAccess);
        }
        _round.Submit(deadline);
    }

    public void Abandon() => _round.Abandon();

    void IRoundOwner.OnRoundEnded(IoRound round) => _owner.OnSeeded();

    void IRoundOwner.OnLateReturn(IoRequest request) => _owner.OnSeeded();
}
