using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Devices;

/// <summary>
/// A server that is met again may serve another export at the same address, of the same size. Before a new
/// connection is used for anything, what tells the member apart is read over it, at each place in turn, as
/// one may be bad. Until then everything is *gone*, as without a connection: data, metadata, flushes alike.
/// </summary>
public sealed partial class NbdClient
{
    private readonly IoRequest _identityRead = new();
    private IMemberIdentity? _identity;
    private BufferSlice _identityBuffer;
    private int _identityPlace;
    private bool _hasReadOther;

    /// <summary>
    /// The member is known by this from here on. Before it is given, whatever answers is taken for it. On the
    /// loop's thread.
    /// </summary>
    public void Know(IMemberIdentity identity)
    {
        int bytes = 0;
        for (int i = 0; i < identity.Places; i++)
        {
            bytes = Math.Max(bytes, (int)identity.PlaceAt(i).Count.ToBytes(Geometry.LogicalBlockSize).Value);
        }
        _identityBuffer = AlignedMemory.Allocate(bytes);
        _identity = identity;
        if (Connections > 1 && _life == Life.Ready)
        {
            Lose("it was connected again before it could be told from others");
        }
    }

    /// <summary>Problem says so: what answered at its address is not this member.</summary>
    public bool IsStranger { get; private set; }

    private void Identify()
    {
        _life = Life.Identifying;
        _identityPlace = 0;
        _hasReadOther = false;
        ReadIdentity();
    }

    private void ReadIdentity()
    {
        Extent place = _identity!.PlaceAt(_identityPlace);
        int bytes = (int)place.Count.ToBytes(Geometry.LogicalBlockSize).Value;
        _identityRead.Prepare(
            new IdentityOwner(this), IoOperation.Read, place, _identityBuffer.Slice(0, bytes),
            IoFlags.Background);
        _identityRead.MarkSubmitted();
        _identityRead.SubmittedAt = _loop.Now;
        InFlight++;
        _loop.Schedule(_timer, _loop.Now + Duration.FromMilliseconds(Limits.NbdIdentityMs));
        // Nothing else is under way on this connection: every slot is free.
        Slot slot = _firstFree!;
        _firstFree = slot.Next;
        Start(slot, _identityRead);
    }

    private void TakeIdentity()
    {
        if (_life != Life.Identifying)
        {
            // The connection is lost.
            return;
        }
        bool isRead = _identityRead.Status == IoStatus.Ok;
        if (isRead && _identity!.IsIt(_identityPlace, _identityRead.Buffer.Span))
        {
            BecomeReady();
            return;
        }
        _hasReadOther |= isRead;
        _identityPlace++;
        if (_identityPlace < _identity!.Places)
        {
            ReadIdentity();
            return;
        }
        Lose(
            _hasReadOther
                ? "what answers in its place is another export: it has none of the member's superblocks"
                : "it cannot be told from another export: none of its superblocks reads",
            _hasReadOther);
    }

    private sealed class IdentityOwner(NbdClient client) : IIoOwner
    {
        public void OnCompleted(IoRequest request) => client.TakeIdentity();
    }
}
