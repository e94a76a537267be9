using System;
using System.Collections.Generic;
using System.Diagnostics;
using DmRemap.Linux.Native;
using DmRemap.Linux.Uring;
using Xunit;

namespace DmRemap.Tests.Linux;

public sealed class RingTests
{
    [Fact]
    public void Ring_hands_every_tag_back_once_and_in_any_number_of_rounds()
    {
        using Ring ring = Make(8);
        ring.Enable(4);
        HashSet<ulong> seen = [];
        ulong tag = 0;
        for (int round = 0; round < 100; round++)
        {
            for (int i = 0; i < ring.SubmissionEntries; i++)
            {
                Submission submission = ring.Acquire();
                submission.Nothing();
                submission.Tag(tag++);
            }
            Assert.True(ring.IsFull);
            Assert.Equal(0, ring.SubmitAndWait((uint)ring.SubmissionEntries, -1));
            Assert.Equal(0u, ring.Queued);
            while (ring.TryReap(out CompletionEntry completion))
            {
                Assert.Equal(0, completion.res);
                Assert.True(seen.Add(completion.user_data));
            }
        }
        Assert.Equal(100 * ring.SubmissionEntries, seen.Count);
    }

    [Fact]
    public void Wait_ends_at_its_timeout_and_not_before()
    {
        using Ring ring = Make(8);
        ring.Enable(4);
        long start = Stopwatch.GetTimestamp();
        Assert.Equal(Errno.ETIME, ring.SubmitAndWait(1, 20_000_000));
        Assert.True(Stopwatch.GetTimestamp() - start >= 20_000_000);
        Assert.False(ring.TryReap(out _));
    }

    [Fact]
    public void Wait_without_completions_asked_for_returns_at_once()
    {
        using Ring ring = Make(8);
        ring.Enable(4);
        Assert.Equal(0, ring.SubmitAndWait(0, 0));
    }

    [Fact]
    public void Ring_knows_which_operations_the_kernel_has()
    {
        using Ring ring = Make(8);
        Assert.True(ring.Supports(UringNative.IORING_OP_READ));
        Assert.True(ring.Supports(UringNative.IORING_OP_FALLOCATE));
        Assert.True(ring.Supports(UringNative.IORING_OP_SENDMSG));
        Assert.False(ring.Supports(250));
    }

    [Fact]
    public void Ring_takes_every_flag_that_this_kernel_knows()
    {
        using Ring ring = Make(8);
        Assert.NotEqual(0u, ring.SetupFlags & UringNative.IORING_SETUP_CQSIZE);
        if (Environment.OSVersion.Version >= new Version(6, 1))
        {
            Assert.NotEqual(0u, ring.SetupFlags & UringNative.IORING_SETUP_SINGLE_ISSUER);
            Assert.NotEqual(0u, ring.SetupFlags & UringNative.IORING_SETUP_DEFER_TASKRUN);
            Assert.NotEqual(0u, ring.SetupFlags & UringNative.IORING_SETUP_TASKRUN_FLAG);
        }
    }

    [Fact]
    public void Read_of_a_closed_descriptor_comes_back_as_an_error_not_as_an_exception()
    {
        using Ring ring = Make(8);
        ring.Enable(4);
        Submission submission = ring.Acquire();
        submission.Read(-1, 0, 0, 0);
        submission.Tag(7);
        Assert.Equal(0, ring.SubmitAndWait(1, -1));
        Assert.True(ring.TryReap(out CompletionEntry completion));
        Assert.Equal(7ul, completion.user_data);
        Assert.Equal(-Errno.EBADF, completion.res);
    }

    private static Ring Make(int entries)
    {
        try
        {
            return new Ring(entries, 4 * entries);
        }
        catch (IoUringUnavailableException exception)
        {
            Assert.Skip(exception.Message);
            throw;
        }
    }
}
