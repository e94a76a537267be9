using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Net.Sockets;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Epoll;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Native;
using DmRemap.Linux.Sockets;
using DmRemap.Tests.Devices;
using DmRemap.Tests.Support;
using Microsoft.Win32.SafeHandles;
using Xunit;

namespace DmRemap.Tests.Linux;

/// <summary>What only the loop without io_uring has: descriptors that wait, and threads.</summary>
public sealed class EpollLoopTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly LoopRunner _runner = new(backend: LoopBackend.Epoll);
    private readonly OperationOwner _owner;

    public EpollLoopTests() => _owner = _runner.Call(() => _runner.Loop.CreateOwner("member"));

    private KernelLoop Loop => _runner.Loop;

    public void Dispose()
    {
        _runner.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public void Messages_go_to_one_reader_each_and_who_gets_none_goes_on_waiting()
    {
        using SocketPair pair = new();
        BufferSlice memory = AlignedMemory.Allocate(3 * 64);
        Recorder[] readers = [Make(), Make(), Make()];
        Recorder cancel = Make();
        _runner.Call(() =>
        {
            for (int i = 0; i < 3; i++)
            {
                Loop.SubmitReadMessage(readers[i], pair.Fd, memory.Slice(64 * i, 64));
            }
        });
        Assert.Equal(0, SumOf(readers));
        // While the loop is busy: both are one report.
        _runner.Call(() =>
        {
            pair.Theirs.Send([1]);
            pair.Theirs.Send([2, 2]);
        });
        _runner.WaitUntil(() => SumOf(readers) == 2, "the second message");
        Assert.Equal((1, 2), (readers[0].Result, readers[1].Result));
        _runner.Call(() => { });
        Assert.Equal(0, readers[2].Completions);

        _runner.Call(() => Loop.SubmitCancel(cancel, readers[2]));
        _runner.WaitUntil(() => SumOf(readers) == 3 && cancel.Completions == 1, "the cancelled reader");
        Assert.Equal((-Errno.ECANCELED, 0), (readers[2].Result, cancel.Result));
        pair.Theirs.Send([3, 3, 3]);
        _runner.Call(() => Loop.SubmitReadMessage(readers[0], pair.Fd, memory.Slice(0, 64)));
        _runner.WaitUntil(() => readers[0].Completions == 2, "the third message");
        Assert.Equal(3, readers[0].Result);
    }

    [Fact]
    public void Both_directions_of_a_socket_wait_and_each_is_told_of_its_own()
    {
        using SocketPair pair = new(SocketType.Stream);
        Recorder reader = Make();
        Recorder writer = Make();
        BufferSlice memory = AlignedMemory.Allocate(1 << 20);
        IoVector vector = SocketPair.Vector(memory);
        long sent = 0;
        _runner.Call(() => Loop.SubmitReceive(reader, pair.Fd, AlignedMemory.Allocate(16)));
        for (int sends = 1; ; sends++)
        {
            _runner.Call(() => Loop.SubmitSend(writer, pair.Fd, in vector));
            _runner.Call(() => { });
            _runner.Call(() => { });
            if (_runner.Call(() => writer.Completions < sends))
            {
                break;
            }
            sent += writer.Result;
        }
        int before = writer.Completions;
        pair.Theirs.Send([1]);
        _runner.WaitUntil(() => reader.Completions == 1, "the byte");
        Assert.Equal(before, _runner.Call(() => writer.Completions));
        byte[] received = new byte[1 << 20];
        for (long taken = 0; taken < sent;)
        {
            taken += pair.Theirs.Receive(received);
        }
        _runner.WaitUntil(() => writer.Completions == before + 1, "the send that had to wait");
        Assert.True(writer.Result > 0);
    }

    [Fact]
    public void Peer_that_takes_what_was_sent_wakes_nobody()
    {
        using SocketPair pair = new(SocketType.Stream);
        Recorder reader = Make();
        Recorder writer = Make();
        BufferSlice memory = AlignedMemory.Allocate(64);
        IoVector vector = SocketPair.Vector(memory);
        _runner.Call(() => Loop.SubmitReceive(reader, pair.Fd, memory));
        for (int i = 1; i <= 100; i++)
        {
            _runner.Call(() => Loop.SubmitSend(writer, pair.Fd, in vector));
            _runner.WaitUntil(() => writer.Completions == i, "the send");
        }
        long turns = _runner.Call(() => Loop.Turns);
        byte[] received = new byte[64];
        for (int i = 0; i < 100; i++)
        {
            Assert.Equal(64, pair.Theirs.Receive(received));
        }
        Assert.InRange(_runner.Call(() => Loop.Turns) - turns, 1, 5);
        _runner.Call(() => Loop.SubmitCancelAllOn(writer, pair.Fd));
        _runner.WaitUntil(() => reader.Completions == 1, "the end of the receive");
    }

    [Fact]
    public void Descriptor_that_takes_the_number_of_another_is_waited_for_as_itself()
    {
        for (int i = 0; i < 50; i++)
        {
            using SocketPair pair = new();
            Recorder reader = Make();
            _runner.Call(() =>
            {
                Loop.Adopt(pair.Fd);
                Loop.SubmitReadMessage(reader, pair.Fd, AlignedMemory.Allocate(16));
            });
            pair.Theirs.Send([7]);
            _runner.WaitUntil(() => reader.Completions == 1, "the message");
            _runner.Call(reader.Unregister);
            // Closed behind the loop's back, as a relay does with what it has taken over.
        }
    }

    [Fact]
    public void Operation_in_line_for_a_thread_is_cancelled_and_one_with_a_thread_ends_by_itself()
    {
        using SafeFileHandle fifo = TestFile.OpenFifo(_directory["fifo"]);
        using FileStream writer = new(
            _directory["fifo"], FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        File.WriteAllBytes(_directory["file"], [1, 2, 3, 4]);
        using SafeFileHandle file = File.OpenHandle(_directory["file"]);
        int pipe = (int)fifo.DangerousGetHandle();
        Recorder[] stuck = new Recorder[Limits.MemberTransferThreads];
        for (int i = 0; i < stuck.Length; i++)
        {
            Recorder target = stuck[i] = Make();
            _runner.Call(() => Loop.SubmitRead(target, pipe, AlignedMemory.Allocate(1), 0));
        }
        WaitForThreads(Limits.MemberTransferThreads);
        BufferSlice untouched = AlignedMemory.Allocate(4);
        Recorder inLine = Make();
        Recorder cancel = Make();
        _runner.Call(() =>
            Loop.SubmitRead(inLine, (int)file.DangerousGetHandle(), untouched, 0));
        _runner.Call(() => Loop.SubmitCancel(cancel, inLine));
        _runner.WaitUntil(() => inLine.Completions == 1 && cancel.Completions == 1, "the cancelled read");
        Assert.Equal((-Errno.ECANCELED, 0), (inLine.Result, cancel.Result));

        _runner.Call(() => Loop.SubmitCancel(cancel, stuck[0]));
        _runner.WaitUntil(() => cancel.Completions == 2, "the cancel");
        Assert.Equal(-Errno.EALREADY, cancel.Result);
        Assert.Equal(0, SumOf(stuck));
        writer.Write(new byte[stuck.Length]);
        _runner.WaitUntil(() => SumOf(stuck) == stuck.Length, "the last stuck read");
        Assert.All(stuck, target => Assert.Equal(1, target.Result));
        Assert.Equal(-1, untouched.Span.IndexOfAnyExcept((byte)0));
    }

    [Fact]
    public void Flush_and_zeroing_wait_for_no_transfer_and_no_other_owner_waits_for_anything()
    {
        using SafeFileHandle fifo = TestFile.OpenFifo(_directory["fifo"]);
        using FileStream writer = new(
            _directory["fifo"], FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        File.WriteAllBytes(_directory["file"], new byte[8192]);
        using SafeFileHandle file = File.OpenHandle(
            _directory["file"], FileMode.Open, FileAccess.ReadWrite);
        int pipe = (int)fifo.DangerousGetHandle();
        int fd = (int)file.DangerousGetHandle();
        Recorder[] stuck = new Recorder[Limits.MemberQueueDepth];
        for (int i = 0; i < stuck.Length; i++)
        {
            Recorder target = stuck[i] = Make();
            _runner.Call(() => Loop.SubmitRead(target, pipe, AlignedMemory.Allocate(1), 0));
        }
        WaitForThreads(Limits.MemberTransferThreads);
        Recorder flush = Make();
        Recorder zero = Make();
        Recorder other = _runner.Call(() => new Recorder(Loop, Loop.CreateOwner("another member")));
        _runner.Call(() =>
        {
            Loop.SubmitSyncData(flush, fd);
            Loop.SubmitZero(zero, fd, ZeroingKind.PunchHole, 0, 4096);
            Loop.SubmitRead(other, fd, AlignedMemory.Allocate(4096), 0);
        });
        _runner.WaitUntil(
            () => flush.Completions + zero.Completions + other.Completions == 3, "what is not stuck");
        Assert.Equal((0, 0, 4096), (flush.Result, zero.Result, other.Result));
        Assert.Equal(0, SumOf(stuck));
        writer.Write(new byte[stuck.Length]);
        _runner.WaitUntil(() => SumOf(stuck) == stuck.Length, "the last stuck read");
    }

    /// <summary>
    /// Behind the page cache the kernel tells of a failed write once, to whoever looks: two that look at once
    /// could each get the other's answer.
    /// </summary>
    [Fact]
    public void Where_a_write_error_goes_to_who_looks_first_writes_and_flushes_follow_each_other()
    {
        const int Bytes = 1 << 20;
        using SafeFileHandle fifo = TestFile.OpenFifo(_directory["fifo"]);
        using FileStream reader = new(
            _directory["fifo"], FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
        File.WriteAllBytes(_directory["file"], new byte[8192]);
        using SafeFileHandle file = File.OpenHandle(
            _directory["file"], FileMode.Open, FileAccess.ReadWrite);
        int fd = (int)file.DangerousGetHandle();
        OperationOwner owner =
            _runner.Call(() => Loop.CreateDeviceOwner("page cache", WriteErrors.OfWhoLooksFirst));
        Recorder[] all =
            [.. Enumerable.Range(0, 4).Select(_ => _runner.Call(() => new Recorder(Loop, owner)))];
        (Recorder stuck, Recorder write, Recorder flush, Recorder read) = (all[0], all[1], all[2], all[3]);
        _runner.Call(() =>
        {
            Loop.SubmitWrite(
                stuck, (int)fifo.DangerousGetHandle(), AlignedMemory.Allocate(Bytes), 0,
                WriteDurability.Cached);
            Loop.SubmitWrite(write, fd, AlignedMemory.Allocate(4096), 0, WriteDurability.Durable);
            Loop.SubmitSyncData(flush, fd);
        });
        _runner.Call(() => Loop.SubmitRead(read, fd, AlignedMemory.Allocate(4096), 0));
        _runner.WaitUntil(() => read.Completions == 1, "the read, which waits for no write");
        Assert.Equal((0, 0, 0), (stuck.Completions, write.Completions, flush.Completions));
        reader.ReadExactly(new byte[Bytes]);
        _runner.WaitUntil(() => SumOf(all) == 4, "all of them");
        Assert.Equal((Bytes, 4096, 0), (stuck.Result, write.Result, flush.Result));
    }

    [Fact]
    public void What_the_last_turn_submitted_is_still_handed_over()
    {
        File.WriteAllBytes(_directory["file"], new byte[512]);
        using SafeFileHandle file = File.OpenHandle(
            _directory["file"], FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        BufferSlice content = AlignedMemory.Allocate(512);
        content.Span.Fill(7);
        using KernelLoop loop = LoopRunner.Make(backend: LoopBackend.Epoll);
        loop.Start(started =>
        {
            Recorder target = new(started, started.CreateOwner("last"));
            started.SubmitWrite(
                target, (int)file.DangerousGetHandle(), content, 0, WriteDurability.Cached);
            started.Stop();
        });
        Assert.True(loop.Join(LoopRunner.Patience));
        byte[] read = new byte[1];
        Assert.True(SpinWait.SpinUntil(
            () => RandomAccess.Read(file, read, 511) == 1 && read[0] == 7, LoopRunner.Patience));
    }

    [Fact]
    public void Accept_of_a_connection_that_somebody_else_took_keeps_nobody()
    {
        using ListeningSocket socket = ListeningSocket.OpenUnix(_directory["s"]);
        int shared = SocketNative.Control(socket.FileDescriptor, SocketNative.F_DUPFD_CLOEXEC, 3);
        Recorder[] accepts = [Make(), Make()];
        using LoopRunner second = new(backend: LoopBackend.Epoll);
        Recorder theirs = second.Call(() => new Recorder(second.Loop, second.Loop.CreateOwner("second")));
        int taken = 0;
        for (int i = 0; i < 300; i++)
        {
            Again(_runner, accepts[0], socket.FileDescriptor);
            Again(second, theirs, shared);
            using Socket client = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            client.Connect(new UnixDomainSocketEndPoint(_directory["s"]));
            int before = taken;
            Assert.True(
                SpinWait.SpinUntil(
                    () =>
                    {
                        // Whoever waits inside accept does not answer this.
                        taken = _runner.Call(() => accepts[0].Completions)
                            + second.Call(() => theirs.Completions);
                        return taken > before;
                    },
                    LoopRunner.Patience),
                "nobody accepts");
        }
        Assert.Equal(300, taken);
        CancelAt(_runner, accepts[0], accepts[1]);
        CancelAt(second, theirs, second.Call(() => new Recorder(second.Loop, theirs.Owner)));
        _ = UringNative.Close(shared);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Wait_ends_at_its_time_and_not_before(bool isPrecise)
    {
        using PollSet set = new("test");
        Assert.SkipUnless(set.IsPrecise || !isPrecise, "no epoll_pwait2 here");
        using PollSet polls = new("test") { IsPrecise = isPrecise };
        foreach (long nanoseconds in (long[])[1, 1_200_000, 20_000_001])
        {
            long start = Stopwatch.GetTimestamp();
            int errno;
            int count;
            do
            {
                errno = polls.Wait(nanoseconds, out count);
            }
            while (errno == Errno.EINTR);
            Assert.Equal(0, errno);
            Assert.True(Stopwatch.GetTimestamp() - start >= nanoseconds);
            Assert.Equal(0, count);
        }
    }

    [Fact]
    public void Description_of_an_event_is_as_the_kernel_has_it()
    {
        using PollSet polls = new("test");
        using SocketPair first = new();
        using SocketPair second = new();
        Assert.Equal(0, polls.Set(first.Fd, EpollNative.EPOLLIN));
        Assert.Equal(0, polls.Set(second.Fd, EpollNative.EPOLLIN | EpollNative.EPOLLOUT));
        first.Theirs.Send([1]);
        Assert.Equal(0, polls.Wait(0, out int count));
        Assert.Equal(2, count);
        (int Fd, uint Events)[] reports = [polls.Reported(0), polls.Reported(1)];
        Array.Sort(reports);
        Assert.Equal(
            [(first.Fd, EpollNative.EPOLLIN), (second.Fd, EpollNative.EPOLLOUT)], reports);
        // Reported once; again only after a change.
        Assert.Equal(0, polls.Wait(0, out count));
        Assert.Equal(0, count);
        polls.Remove(first.Fd);
        first.Theirs.Send([1]);
        Assert.Equal(0, polls.Wait(0, out count));
        Assert.Equal(0, count);
    }

    private static void Again(LoopRunner runner, Recorder accept, int fd) => runner.Call(() =>
    {
        if (accept.Result >= 0 && accept.Completions > 0 && !accept.IsOutstanding)
        {
            _ = UringNative.Close(accept.Result);
        }
        if (!accept.IsOutstanding)
        {
            runner.Loop.AdoptListening(fd);
            runner.Loop.SubmitAccept(accept, fd);
        }
    });

    private static void CancelAt(LoopRunner runner, Recorder victim, Recorder cancel)
    {
        runner.Call(() =>
        {
            if (victim.IsOutstanding)
            {
                runner.Loop.SubmitCancel(cancel, victim);
            }
            else
            {
                _ = UringNative.Close(victim.Result);
            }
        });
        runner.WaitUntil(() => runner.Loop.OutstandingOperations == 0, "the end of the accept");
    }

    private static int SumOf(Recorder[] targets)
    {
        int sum = 0;
        foreach (Recorder target in targets)
        {
            sum += target.Completions;
        }
        return sum;
    }

    private void WaitForThreads(int count) =>
        _runner.WaitUntil(() => _owner.Threads!.Transfers.Threads == count, "the last thread");

    private Recorder Make() => _runner.Call(() => new Recorder(Loop, _owner));
}
