using DmRemap.Linux.Native;

namespace DmRemap.Linux.Uring;

/// <summary>
/// One entry of the submission ring, to be filled by exactly one of these methods. Lengths in bytes.
/// </summary>
internal readonly unsafe ref struct Submission(SubmissionEntry* entry)
{
    /// <summary>Comes back in the completion.</summary>
    public void Tag(ulong userData) => entry->user_data = userData;

    public void Nothing() => entry->opcode = UringNative.IORING_OP_NOP;

    public void Read(int fd, ulong address, int length, long offset) =>
        Transfer(UringNative.IORING_OP_READ, fd, address, length, offset, 0);

    /// <param name="fd">An open file.</param>
    /// <param name="address">Of the bytes.</param>
    /// <param name="length">Of the bytes.</param>
    /// <param name="offset">In the file.</param>
    /// <param name="rwFlags">RWF_DSYNC or 0.</param>
    public void Write(int fd, ulong address, int length, long offset, uint rwFlags) =>
        Transfer(UringNative.IORING_OP_WRITE, fd, address, length, offset, rwFlags);

    public void SyncData(int fd)
    {
        entry->opcode = UringNative.IORING_OP_FSYNC;
        entry->fd = fd;
        entry->rw_flags = UringNative.IORING_FSYNC_DATASYNC;
    }

    public void Allocate(int fd, int mode, long offset, long length)
    {
        entry->opcode = UringNative.IORING_OP_FALLOCATE;
        entry->fd = fd;
        entry->off = (ulong)offset;
        entry->len = (uint)mode;
        entry->addr = (ulong)length;
    }

    public void Accept(int fd, int socketFlags)
    {
        entry->opcode = UringNative.IORING_OP_ACCEPT;
        entry->fd = fd;
        entry->rw_flags = (uint)socketFlags;
    }

    public void Receive(int fd, ulong address, int length, int messageFlags)
    {
        entry->opcode = UringNative.IORING_OP_RECV;
        entry->fd = fd;
        entry->addr = address;
        entry->len = (uint)length;
        entry->rw_flags = (uint)messageFlags;
    }

    public void Send(int fd, ulong address, int length, int messageFlags)
    {
        entry->opcode = UringNative.IORING_OP_SEND;
        entry->fd = fd;
        entry->addr = address;
        entry->len = (uint)length;
        entry->rw_flags = (uint)messageFlags;
    }

    public void SendMessage(int fd, ulong header, int messageFlags)
    {
        entry->opcode = UringNative.IORING_OP_SENDMSG;
        entry->fd = fd;
        entry->addr = header;
        entry->len = 1;
        entry->rw_flags = (uint)messageFlags;
    }

    public void Poll(int fd, uint events)
    {
        entry->opcode = UringNative.IORING_OP_POLL_ADD;
        entry->fd = fd;
        entry->rw_flags = events;
    }

    public void CancelTagged(ulong userData)
    {
        entry->opcode = UringNative.IORING_OP_ASYNC_CANCEL;
        entry->fd = -1;
        entry->addr = userData;
    }

    /// <summary>Every outstanding operation on this descriptor (Linux 5.19; EINVAL before).</summary>
    public void CancelOn(int fd)
    {
        entry->opcode = UringNative.IORING_OP_ASYNC_CANCEL;
        entry->fd = fd;
        entry->rw_flags = UringNative.IORING_ASYNC_CANCEL_FD | UringNative.IORING_ASYNC_CANCEL_ALL;
    }

    public void Close(int fd)
    {
        entry->opcode = UringNative.IORING_OP_CLOSE;
        entry->fd = fd;
    }

    private void Transfer(byte operation, int fd, ulong address, int length, long offset, uint rwFlags)
    {
        entry->opcode = operation;
        entry->fd = fd;
        entry->off = (ulong)offset;
        entry->addr = address;
        entry->len = (uint)length;
        entry->rw_flags = rwFlags;
    }
}
