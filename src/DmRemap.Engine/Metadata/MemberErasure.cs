using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

public interface IMemberErasureOwner
{
    /// <summary>Called once, on the loop's thread, never from inside Begin.</summary>
    void OnErased(bool isDone);
}

/// <summary>
/// The superblocks of a spare that has left become zeros, so that nothing takes it for a member again. Only
/// when the others say durably that it has left (F-26): otherwise a crash leaves a set that misses it.
/// </summary>
public sealed class MemberErasure : IRoundOwner
{
    private readonly IMemberErasureOwner _owner;
    private readonly IoRound _round;
    private readonly IBlockDevice _device;
    private readonly BufferSlice _zeros;

    public MemberErasure(IEventLoop loop, IBlockDevice device, IMemberErasureOwner owner)
    {
        _device = device;
        _owner = owner;
        _round = new IoRound(loop, this, SpareLayout.SuperblockCopies, 0);
        _zeros = AlignedMemory.Allocate(Math.Max(
            SpareLayout.SuperblockBytes, device.Geometry.PhysicalBlockBytes));
    }

    /// <summary>
    /// The metadata has nothing under way there. Without a deadline: nobody's request waits.
    /// </summary>
    public void Begin()
    {
        BlockSize size = _device.Geometry.LogicalBlockSize;
        for (int copy = 0; copy < SpareLayout.SuperblockCopies; copy++)
        {
            long start = SpareLayout.SuperblockOffset(copy, _device.Geometry.Bytes.Value);
            Extent place = new(
                new BlockNumber(start / size.Bytes), new BlockCount(_zeros.Length / size.Bytes));
            _round.Add(copy, _device, IoOperation.Write, place, _zeros, IoFlags.ForceUnitAccess);
        }
        _round.Submit(Duration.Zero);
    }

    void IRoundOwner.OnRoundEnded(IoRound round) =>
        _owner.OnErased(round.OkCount == SpareLayout.SuperblockCopies);

    void IRoundOwner.OnLateReturn(IoRequest request)
    {
    }
}
