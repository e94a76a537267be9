using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DmRemap.Linux.Native;
using DmRemap.Linux.Uring;
using Xunit;

namespace DmRemap.Tests.Linux;

public sealed class UringNativeTests
{
    [Fact]
    public void Structures_are_as_long_as_the_kernels()
    {
        Assert.Equal(64, Unsafe.SizeOf<SubmissionEntry>());
        Assert.Equal(16, Unsafe.SizeOf<CompletionEntry>());
        Assert.Equal(40, Unsafe.SizeOf<SubmissionRingOffsets>());
        Assert.Equal(40, Unsafe.SizeOf<CompletionRingOffsets>());
        Assert.Equal(120, Unsafe.SizeOf<UringParameters>());
        Assert.Equal(24, Unsafe.SizeOf<WaitArgument>());
        Assert.Equal(16, Unsafe.SizeOf<KernelTimespec>());
        Assert.Equal(16, Unsafe.SizeOf<IoVector>());
        Assert.Equal(56, Unsafe.SizeOf<MessageHeader>());
    }

    [Theory]
    [InlineData(nameof(SubmissionEntry.opcode), 0)]
    [InlineData(nameof(SubmissionEntry.flags), 1)]
    [InlineData(nameof(SubmissionEntry.ioprio), 2)]
    [InlineData(nameof(SubmissionEntry.fd), 4)]
    [InlineData(nameof(SubmissionEntry.off), 8)]
    [InlineData(nameof(SubmissionEntry.addr), 16)]
    [InlineData(nameof(SubmissionEntry.len), 24)]
    [InlineData(nameof(SubmissionEntry.rw_flags), 28)]
    [InlineData(nameof(SubmissionEntry.user_data), 32)]
    [InlineData(nameof(SubmissionEntry.buf_index), 40)]
    [InlineData(nameof(SubmissionEntry.splice_fd_in), 44)]
    [InlineData(nameof(SubmissionEntry.addr3), 48)]
    public void Submission_entry_has_each_field_at_the_kernels_offset(string field, int offset) =>
        Assert.Equal(offset, (int)Marshal.OffsetOf<SubmissionEntry>(field));

    [Theory]
    [InlineData(nameof(UringParameters.flags), 8)]
    [InlineData(nameof(UringParameters.features), 20)]
    [InlineData(nameof(UringParameters.wq_fd), 24)]
    [InlineData(nameof(UringParameters.sq_off), 40)]
    [InlineData(nameof(UringParameters.cq_off), 80)]
    public void Parameters_have_each_field_at_the_kernels_offset(string field, int offset) =>
        Assert.Equal(offset, (int)Marshal.OffsetOf<UringParameters>(field));

    [Theory]
    [InlineData(nameof(SubmissionRingOffsets.array), 24)]
    [InlineData(nameof(SubmissionRingOffsets.ring_mask), 8)]
    public void Submission_offsets_have_each_field_at_the_kernels_offset(string field, int offset) =>
        Assert.Equal(offset, (int)Marshal.OffsetOf<SubmissionRingOffsets>(field));

    [Theory]
    [InlineData(nameof(CompletionRingOffsets.cqes), 20)]
    [InlineData(nameof(CompletionRingOffsets.overflow), 16)]
    public void Completion_offsets_have_each_field_at_the_kernels_offset(string field, int offset) =>
        Assert.Equal(offset, (int)Marshal.OffsetOf<CompletionRingOffsets>(field));

    [Theory]
    [InlineData(nameof(WaitArgument.sigmask_sz), 8)]
    [InlineData(nameof(WaitArgument.ts), 16)]
    public void Wait_argument_has_each_field_at_the_kernels_offset(string field, int offset) =>
        Assert.Equal(offset, (int)Marshal.OffsetOf<WaitArgument>(field));

    [Theory]
    [InlineData(nameof(MessageHeader.msg_iov), 16)]
    [InlineData(nameof(MessageHeader.msg_iovlen), 24)]
    [InlineData(nameof(MessageHeader.msg_flags), 48)]
    public void Message_header_has_each_field_at_the_c_librarys_offset(string field, int offset) =>
        Assert.Equal(offset, (int)Marshal.OffsetOf<MessageHeader>(field));

    [Theory]
    [InlineData(Errno.EPERM, "EPERM")]
    [InlineData(Errno.ENOSYS, "ENOSYS")]
    [InlineData(Errno.EINVAL, "too old")]
    [InlineData(Errno.ENOMEM, "ulimit -l")]
    [InlineData(Errno.EMFILE, "EMFILE")]
    public void Missing_io_uring_is_explained(int errno, string part)
    {
        IoUringUnavailableException exception = new(errno);
        Assert.Equal(errno, exception.Errno);
        Assert.Contains("io_uring", exception.Message, System.StringComparison.Ordinal);
        Assert.Contains(part, exception.Message, System.StringComparison.Ordinal);
    }

    [Fact]
    public void System_call_error_says_the_call_its_subject_and_the_errno()
    {
        SystemCallException exception = new("bind", "/run/x", Errno.EADDRINUSE);
        Assert.Equal("bind /run/x: Address already in use (EADDRINUSE)", exception.Message);
        Assert.Equal(98, exception.Errno);
    }
}
