using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using Xunit;

namespace DmRemap.Tests.Core;

public sealed class ErrorClassifierTests
{
    private const int Eio = 5;
    private const int Enxio = 6;
    private const int Enodev = 19;
    private const int Enospc = 28;
    private const int Enodata = 61;
    private const int Eilseq = 84;
    private const int Econnreset = 104;
    private const int Etimedout = 110;
    private const int Eremoteio = 121;
    private const int Edquot = 122;

    private static ErrorClass Classify(
        int errno,
        IoOperation operation = IoOperation.Write,
        MemberKind member = MemberKind.BlockDevice,
        long elapsedMs = 10,
        long timeoutMs = 0) => ErrorClassifier.Classify(new DeviceFailure
        {
            Member = member,
            Operation = operation,
            Errno = errno,
            Elapsed = Duration.FromMilliseconds(elapsedMs),
            CommandTimeout = Duration.FromMilliseconds(timeoutMs),
        });

    [Theory]
    [InlineData(Enodata, ErrorClass.Medium)]
    [InlineData(Eilseq, ErrorClass.Medium)]
    [InlineData(Eio, ErrorClass.Ambiguous)]
    [InlineData(Eremoteio, ErrorClass.Ambiguous)]
    [InlineData(Etimedout, ErrorClass.Timeout)]
    [InlineData(Enospc, ErrorClass.Gone)]
    [InlineData(Enxio, ErrorClass.Gone)]
    [InlineData(Enodev, ErrorClass.Gone)]
    [InlineData(Edquot, ErrorClass.Other)]
    [InlineData(Econnreset, ErrorClass.Other)]
    public void Errno_of_a_block_device_has_its_class_for_reads_and_writes(int errno, ErrorClass expected)
    {
        Assert.Equal(expected, Classify(errno, IoOperation.Read));
        Assert.Equal(expected, Classify(errno, IoOperation.Write));
    }

    [Fact]
    public void Only_four_error_numbers_of_all_can_ever_remap()
    {
        for (int errno = 0; errno < 4096; errno++)
        {
            foreach (MemberKind member in new[] { MemberKind.BlockDevice, MemberKind.File, MemberKind.Nbd })
            {
                ErrorClass found = Classify(errno, IoOperation.Write, member);
                bool mayRemap = found is ErrorClass.Medium or ErrorClass.Ambiguous;
                Assert.Equal(errno is Enodata or Eilseq or Eio or Eremoteio, mayRemap);
            }
        }
    }

    [Theory]
    [InlineData(MemberKind.BlockDevice)]
    [InlineData(MemberKind.File)]
    [InlineData(MemberKind.Nbd)]
    public void Transfer_that_ended_early_inside_the_device_means_gone(MemberKind member)
    {
        Assert.Equal(ErrorClass.Gone, Classify(0, IoOperation.Read, member));
        Assert.Equal(ErrorClass.Gone, Classify(0, IoOperation.Write, member));
    }

    [Theory]
    [InlineData(MemberKind.File, Enospc, ErrorClass.NoSpace)]
    [InlineData(MemberKind.File, Edquot, ErrorClass.NoSpace)]
    [InlineData(MemberKind.Nbd, Enospc, ErrorClass.NoSpace)]
    [InlineData(MemberKind.BlockDevice, Enospc, ErrorClass.Gone)]
    [InlineData(MemberKind.Nbd, Econnreset, ErrorClass.Gone)]
    [InlineData(MemberKind.File, Enodata, ErrorClass.Medium)]
    [InlineData(MemberKind.File, Eio, ErrorClass.Ambiguous)]
    [InlineData(MemberKind.Nbd, Eio, ErrorClass.Ambiguous)]
    public void Full_store_degrades_a_file_and_means_gone_for_a_disk(
        MemberKind member, int errno, ErrorClass expected) =>
        Assert.Equal(expected, Classify(errno, IoOperation.Write, member));

    [Theory]
    [InlineData(0, 23_999, ErrorClass.Medium)]
    [InlineData(0, 24_000, ErrorClass.Timeout)]
    [InlineData(10_000, 7_999, ErrorClass.Medium)]
    [InlineData(10_000, 8_000, ErrorClass.Timeout)]
    [InlineData(180_000, 120_000, ErrorClass.Medium)]
    public void Error_that_took_four_fifths_of_the_command_timeout_is_a_timeout(
        long timeoutMs, long elapsedMs, ErrorClass expected)
    {
        ErrorClass found = Classify(Enodata, elapsedMs: elapsedMs, timeoutMs: timeoutMs);
        Assert.Equal(expected, found);
        ErrorClass gone = Classify(Enodev, elapsedMs: elapsedMs, timeoutMs: timeoutMs);
        Assert.Equal(expected == ErrorClass.Timeout ? ErrorClass.Timeout : ErrorClass.Gone, gone);
    }

    [Theory]
    [InlineData(IoOperation.Flush, ErrorClass.Other)]
    [InlineData(IoOperation.Discard, ErrorClass.Other)]
    [InlineData(IoOperation.WriteZeroes, ErrorClass.Ambiguous)]
    public void Operation_that_names_no_place_never_has_a_medium_error(
        IoOperation operation, ErrorClass expected)
    {
        Assert.Equal(expected, Classify(Enodata, operation));
        Assert.Equal(expected, Classify(Eio, operation));
        Assert.Equal(ErrorClass.Gone, Classify(Enodev, operation));
    }

    [Theory]
    [InlineData(IoStatus.DeviceError, ErrorClass.Medium)]
    [InlineData(IoStatus.Invalid, ErrorClass.Other)]
    [InlineData(IoStatus.ShuttingDown, ErrorClass.Other)]
    public void Completed_request_is_classified_by_its_own_fields(IoStatus status, ErrorClass expected)
    {
        IoRequest request = new();
        request.Prepare(new NoOwner(), IoOperation.Read, Entries.Blocks(0, 8), default);
        request.MarkSubmitted();
        request.SetResult(status, Enodata, Duration.FromMilliseconds(3));
        Duration timeout = Duration.FromSeconds(30);
        Assert.Equal(expected, ErrorClassifier.Classify(request, MemberKind.BlockDevice, timeout));
        request.Deliver();
    }

    private sealed class NoOwner : IIoOwner
    {
        public void OnCompleted(IoRequest request)
        {
        }
    }
}
