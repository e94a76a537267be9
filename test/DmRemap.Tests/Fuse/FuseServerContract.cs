using System;
using System.Linq;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;
using DmRemap.FrontEnds.Fuse;
using DmRemap.Fuse;
using DmRemap.Linux.Loop;
using DmRemap.Tests.Linux;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Fuse;

public abstract class FuseServerContract(LoopBackend backend)
{
    private const int LongWrite = 160 * 1024;

    [Fact]
    public void What_is_written_is_read_at_every_offset_and_length()
    {
        using FuseWorld world = new(backend);
        world.Agree();
        byte[] data = new byte[LongWrite];
        new Random(1).NextBytes(data);
        Assert.Equal(0, world.Ask(FuseMessages.Write(2, 4096, data)));
        foreach ((int start, int length) in ((int, int)[])
            [(0, data.Length), (1, 1), (511, 2), (513, 100_000), (131_071, 2), (100, 150_001)])
        {
            world.Send(FuseMessages.Read(3, (ulong)(4096 + start), (uint)length));
            ReadOnlySpan<byte> reply = world.Receive();
            Assert.Equal((16 + length, 0, 3UL), FuseMessages.Header(reply));
            Assert.True(reply[16..].SequenceEqual(data.AsSpan(start, length)), $"{start}+{length}");
        }
        // A long one goes to the device in pieces that it takes.
        Assert.Equal(Limits.SliceBytes, world.Held.LargestBytes);
        Assert.Equal(data.Length, world.Server.Counters.BytesWritten);
    }

    [Fact]
    public void Zeroed_by_fallocate_reads_as_zeros()
    {
        using FuseWorld world = new(backend);
        world.Agree();
        Assert.Equal(0, world.Ask(FuseMessages.Write(2, 0, [.. Enumerable.Repeat((byte)7, 8192)])));
        Assert.Equal(0, world.Ask(FuseMessages.Fallocate(3, 3, 512, 1024)));
        Assert.Equal(0, world.Ask(FuseMessages.Fallocate(4, 0x11, 4096, 512)));
        world.Send(FuseMessages.Read(5, 0, 8192));
        ReadOnlySpan<byte> reply = world.Receive();
        for (int i = 0; i < 8192; i++)
        {
            bool isZeroed = i is (>= 512 and < 1536) or (>= 4096 and < 4608);
            Assert.Equal(isZeroed ? 0 : 7, reply[16 + i]);
        }
    }

    /// <summary>
    /// Every piece in turn fails: the request has an error, and no length but that of a header (F-10).
    /// </summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void A_request_of_which_one_piece_fails_fails_as_a_whole(int badPiece)
    {
        using FuseWorld world = new(backend);
        world.Agree();
        int sector = badPiece * Limits.SliceBytes / 512;
        world.Runner.Call(() => world.Faults.TryAdd(
            FaultRules.Parse($"{sector}-{sector} both errno=EIO").Rules[0]));
        world.Send(FuseMessages.Write(2, 0, new byte[LongWrite]));
        Assert.Equal((16, 5, 2UL), FuseMessages.Header(world.Receive()));
        world.Send(FuseMessages.Read(3, 0, LongWrite));
        Assert.Equal((16, 5, 3UL), FuseMessages.Header(world.Receive()));
        Assert.Equal(2, world.Server.Counters.Errors);
        // The pieces beside it can be read.
        int good = (1 - badPiece) * Limits.SliceBytes;
        Assert.Equal(0, world.Ask(FuseMessages.Read(4, (ulong)good, 4096)));
    }

    [Fact]
    public void A_flush_that_fails_is_an_error_and_the_next_one_is_asked_again()
    {
        using FuseWorld world = new(backend, holdsBack: true);
        world.Agree();
        world.Send(FuseMessages.Fsync(2));
        world.Runner.WaitUntil(() => world.Held.Count == 1, "the flush");
        world.Runner.Call(world.Held.ReleaseAll);
        Assert.Equal((16, 0, 2UL), FuseMessages.Header(world.Receive()));
        Assert.Equal(0, world.Ask(FuseMessages.Fsync(3)));
    }

    [Fact]
    public void More_requests_than_slots_wait_and_all_are_answered()
    {
        const int Requests = 300;
        using FuseWorld world = new(backend, holdsBack: true);
        world.Agree();
        Thread sender = new(() =>
        {
            for (int i = 0; i < Requests; i++)
            {
                world.Send(FuseMessages.Read((ulong)(100 + i), (ulong)(i * 512), 512));
            }
        });
        sender.Start();
        world.Runner.WaitUntil(
            () => world.Held.Count == DmRemap.FrontEnds.Fuse.FuseServer.Slots, "as many as there are slots");
        world.Runner.Call(world.Held.ReleaseAll);
        bool[] answered = new bool[Requests];
        for (int i = 0; i < Requests; i++)
        {
            (int bytes, int error, ulong unique) = FuseMessages.Header(world.Receive());
            Assert.Equal((16 + 512, 0), (bytes, error));
            Assert.False(answered[unique - 100]);
            answered[unique - 100] = true;
        }
        sender.Join();
        Assert.DoesNotContain(false, answered);
    }

    [Fact]
    public void Nothing_is_served_before_it_is_agreed_how()
    {
        using FuseWorld world = new(backend);
        Assert.Equal(71, world.Ask(FuseMessages.Read(2, 0, 512)));
        Assert.Equal(71, world.Ask(FuseMessages.Message(FuseOpcode.GetAttributes, 3, new byte[16])));
        world.Agree();
        Assert.Equal(0, world.Ask(FuseMessages.Read(4, 0, 512)));
    }

    [Fact]
    public void A_kernel_that_would_lose_errors_is_not_served()
    {
        using FuseWorld world = new(backend);
        Assert.Equal(71, world.Ask(FuseMessages.Init(1, flags: FuseMessages.AllFlags & ~(1u << 15))));
        world.WaitForClose();
        Assert.Contains("AsyncDirectIo", world.Problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Hostile_messages_hurt_nobody_else()
    {
        using FuseWorld world = new(backend);
        world.Agree();
        Random random = new(77);
        for (int i = 0; i < 2000; i++)
        {
            byte[] message = new byte[random.Next(1, 300)];
            random.NextBytes(message);
            if (message.Length >= 8)
            {
                // What has no reply, so that what is received next is that of the honest one.
                uint opcode = (i % 3) switch { 0 => 2u, 1 => 36u, _ => 42u };
                BitConverter.TryWriteBytes(message.AsSpan(4), opcode);
            }
            world.Send(message);
        }
        Assert.Equal(0, world.Ask(FuseMessages.Read(5, 0, 512)));
    }

    /// <summary>The memory of what is at the device is not used again before it comes back.</summary>
    [Fact]
    public void An_unmount_with_requests_at_the_device_ends_at_once_and_the_next_mount_waits_for_them()
    {
        using FuseWorld world = new(backend, holdsBack: true);
        world.Agree();
        world.Send(FuseMessages.Write(2, 0, new byte[LongWrite]));
        world.Runner.WaitUntil(() => world.Held.Count == 2, "both pieces");
        world.Kernel.Dispose();
        world.WaitForClose();
        Assert.Equal("", world.Problem);
        Assert.False(world.Runner.Call(() => world.Server.IsIdle));
        Assert.Equal(2, world.Runner.Call(() => world.Server.PiecesAtDevice));
        world.Runner.Call(world.Held.ReleaseAll);
        world.Runner.WaitUntil(() => world.Server.IsIdle, "the pieces");
        world.Connect();
        world.Agree();
        Assert.Equal(0, world.Ask(FuseMessages.Read(3, 0, 512)));
    }

    [Fact]
    public void A_stop_answers_what_is_in_flight_refuses_what_comes_and_closes()
    {
        using FuseWorld world = new(backend, holdsBack: true);
        world.Agree();
        world.Send(FuseMessages.Read(2, 0, 512));
        world.Runner.WaitUntil(() => world.Held.Count == 1, "the read");
        using ManualResetEventSlim closed = new();
        world.Runner.Call(() => world.Server.Shutdown(new LoopRunner.Message(closed.Set)));
        Assert.Equal(108, world.Ask(FuseMessages.Read(3, 0, 512)));
        Assert.False(closed.IsSet);
        world.Runner.Call(world.Held.ReleaseAll);
        Assert.Equal((16 + 512, 0, 2UL), FuseMessages.Header(world.Receive()));
        LoopRunner.Wait(closed, "the end of the stop");
        Assert.Equal("", world.Problem);
    }

    [Fact]
    public void An_abort_does_not_wait_for_the_device()
    {
        using FuseWorld world = new(backend, holdsBack: true);
        world.Agree();
        world.Send(FuseMessages.Read(2, 0, 512));
        world.Runner.WaitUntil(() => world.Held.Count == 1, "the read");
        world.Runner.Call(world.Server.Abort);
        world.WaitForClose();
        Assert.Equal(1, world.Runner.Call(() => world.Server.PiecesAtDevice));
    }

    [Fact]
    public void What_comes_while_the_device_is_suspended_is_carried_out_afterwards()
    {
        using FuseWorld world = new(backend);
        world.Agree();
        world.Runner.Call(world.Server.Hold);
        world.Send(FuseMessages.Write(2, 0, [.. Enumerable.Repeat((byte)9, 512)]));
        // Needs nothing of the device.
        Assert.Equal(0, world.Ask(FuseMessages.Message(FuseOpcode.GetAttributes, 3, new byte[16])));
        Assert.Equal(0, world.Server.Counters.Requests);
        world.Runner.Call(world.Server.Release);
        Assert.Equal((24, 0, 2UL), FuseMessages.Header(world.Receive()));
    }

    /// <summary>As many reads as there are slots: their memory is the device's, and others go on.</summary>
    [Fact]
    public void Reads_that_hang_are_answered_at_their_deadline_and_leave_room_for_others()
    {
        using FuseWorld world = new(backend, readDeadline: Duration.FromMilliseconds(300));
        world.Agree();
        Assert.Equal(0, world.Ask(FuseMessages.Write(2, 0, [.. Enumerable.Repeat((byte)7, 8192)])));
        world.Runner.Call(() => world.Held.IsHolding = true);
        for (ulong i = 0; i < FuseServer.Slots; i++)
        {
            // Two pieces each: together all that may be at the device.
            world.Send(FuseMessages.Read(100 + i, 1 + i, LongWrite));
        }
        for (int i = 0; i < FuseServer.Slots; i++)
        {
            (int bytes, int error, ulong unique) = FuseMessages.Header(world.Receive());
            Assert.Equal((16, 5), (bytes, error));
            Assert.InRange(unique, 100UL, 100UL + FuseServer.Slots);
        }
        int late = world.Runner.Call(() => world.Server.PiecesAtDevice);
        Assert.Equal(2 * FuseServer.Slots, late);
        world.Runner.Call(() => world.Held.IsHolding = false);
        Assert.Equal(0, world.Ask(FuseMessages.Write(300, 4096, new byte[4096])));
        world.Runner.Call(world.Held.ReleaseAll);
        world.Runner.WaitUntil(() => world.Server.PiecesAtDevice == 0, "the late answers");
        world.Send(FuseMessages.Read(301, 0, 512));
        ReadOnlySpan<byte> reply = world.Receive();
        Assert.Equal((16 + 512, 0, 301UL), FuseMessages.Header(reply));
        Assert.False(reply[16..].ContainsAnyExcept((byte)7));
    }

    [Fact]
    public void Thousands_of_requests_allocate_nothing_on_the_data_thread()
    {
        using FuseWorld world = new(backend);
        world.Agree();
        byte[] read = FuseMessages.Read(2, 513, 4096);
        byte[] write = FuseMessages.Write(3, 8192, new byte[4096]);
        byte[] flush = FuseMessages.Fsync(4);
        byte[] buffer = new byte[8192];
        void Work()
        {
            for (int i = 0; i < 6_000; i++)
            {
                byte[] message = (i % 5) switch { 0 => flush, 1 or 2 => write, _ => read };
                world.Kernel.Send(message);
                world.Kernel.Receive(buffer);
            }
        }
        long read0 = 0;
        LoopRunner.Message ask = new(() => Volatile.Write(ref read0, GC.GetAllocatedBytesForCurrentThread()));
        long Read()
        {
            Volatile.Write(ref read0, 0);
            world.Runner.Loop.Post(ask);
            while (Volatile.Read(ref read0) == 0)
            {
                Thread.Yield();
            }
            return read0;
        }
        Assert.Equal(0, Allocations.LeastBy(Work, Read));
    }
}
