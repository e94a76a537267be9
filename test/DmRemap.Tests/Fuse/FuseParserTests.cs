using System;
using System.Buffers.Binary;
using DmRemap.Core.Abstractions;
using DmRemap.Fuse;
using Xunit;

namespace DmRemap.Tests.Fuse;

public sealed class FuseParserTests
{
    private const int Stale = 116;
    private const long Bytes = 1 << 20;

    private static readonly FuseFile s_file = new() { Bytes = Bytes, BlockSize = new BlockSize(512) };

    private readonly FuseParser _parser = new(s_file);

    [Theory]
    [InlineData(0UL, 4096u, 4096L)]
    [InlineData(1UL, 1u, 1L)]
    [InlineData((ulong)Bytes - 100, 4096u, 100L)]
    public void Read_is_cut_at_the_end_of_the_file_and_nowhere_else(ulong offset, uint length, long inside)
    {
        FuseRequest request = _parser.Parse(FuseMessages.Read(7, offset, length));
        Assert.Equal(
            new FuseRequest(FuseAction.Read, FuseOpcode.Read, 7)
            {
                Offset = (long)offset,
                Length = inside,
            },
            request);
    }

    [Theory]
    [InlineData((ulong)Bytes, 4096u)]
    [InlineData(ulong.MaxValue, 4096u)]
    [InlineData(0UL, 0u)]
    public void Read_of_nothing_is_answered_with_nothing(ulong offset, uint length)
    {
        FuseRequest request = _parser.Parse(FuseMessages.Read(7, offset, length));
        Assert.Equal(new FuseRequest(FuseAction.Answer, FuseOpcode.Read, 7), request);
    }

    [Theory]
    [InlineData(0UL, 512, 0)]
    [InlineData(512UL, 1024, 0)]
    [InlineData(256UL, 512, 22)]
    [InlineData(512UL, 100, 22)]
    [InlineData((ulong)Bytes - 512, 1024, 28)]
    [InlineData((ulong)Bytes, 512, 28)]
    [InlineData(ulong.MaxValue - 511, 512, 28)]
    public void Write_is_wholly_inside_and_in_whole_blocks_or_an_error(ulong offset, int length, int error)
    {
        FuseRequest request = _parser.Parse(FuseMessages.Write(9, offset, new byte[length]));
        Assert.Equal(error, request.Error);
        Assert.Equal(error == 0 ? FuseAction.Write : FuseAction.Answer, request.Action);
        Assert.Equal(error == 0 ? length : 0, request.Length);
    }

    [Theory]
    [InlineData(2u, false)]
    [InlineData(0x1002u, true)]
    [InlineData(0x101002u, true)]
    public void Write_to_a_file_opened_with_sync_is_durable_when_answered(uint openFlags, bool isDurable)
    {
        FuseRequest request = _parser.Parse(FuseMessages.Write(9, 0, new byte[512], openFlags));
        Assert.Equal(isDurable, request.IsForceUnitAccess);
    }

    [Fact]
    public void Write_that_says_another_length_than_it_has_is_refused()
    {
        byte[] message = FuseMessages.Write(9, 0, new byte[512]);
        foreach (uint said in (uint[])[0, 511, 513, 1024, uint.MaxValue])
        {
            BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(40 + 16), said);
            FuseRequest request = _parser.Parse(message);
            Assert.Equal((FuseAction.Answer, 71), (request.Action, request.Error));
        }
    }

    /// <summary>Discard and write-zeroes both come as mode 3: both must read as zeros afterwards.</summary>
    [Theory]
    [InlineData(0x03u, false)]
    [InlineData(0x10u, true)]
    [InlineData(0x11u, true)]
    public void Punch_hole_and_zero_range_both_zero(uint mode, bool keepsAllocated)
    {
        FuseRequest request = _parser.Parse(FuseMessages.Fallocate(3, mode, 4096, 8192));
        Assert.Equal(FuseAction.Zero, request.Action);
        Assert.Equal((4096L, 8192L), (request.Offset, request.Length));
        Assert.Equal(keepsAllocated, request.KeepsAllocated);
    }

    [Theory]
    [InlineData(0x00u, 0UL, (ulong)Bytes, 0)]
    [InlineData(0x00u, 0UL, (ulong)Bytes + 512, 28)]
    [InlineData(0x01u, 0UL, 512UL, 0)]
    [InlineData(0x03u, (ulong)Bytes, 512UL, 0)]
    [InlineData(0x10u, (ulong)Bytes, 512UL, 28)]
    [InlineData(0x03u, 100UL, 512UL, 22)]
    [InlineData(0x02u, 0UL, 512UL, 22)]
    [InlineData(0x08u, 0UL, 512UL, 22)]
    [InlineData(0x20u, 0UL, 512UL, 22)]
    [InlineData(0x40u, 0UL, 512UL, 22)]
    [InlineData(0xffffffffu, 0UL, 512UL, 22)]
    public void Fallocate_is_answered_and_never_with_no_such_operation(
        uint mode, ulong offset, ulong length, int error)
    {
        FuseRequest request = _parser.Parse(FuseMessages.Fallocate(3, mode, offset, length));
        Assert.Equal((FuseAction.Answer, error), (request.Action, request.Error));
    }

    [Fact]
    public void Punch_hole_is_cut_at_the_end_whatever_it_says()
    {
        FuseRequest request = _parser.Parse(FuseMessages.Fallocate(3, 3, 4096, ulong.MaxValue));
        Assert.Equal((4096L, Bytes - 4096), (request.Offset, request.Length));
    }

    [Fact]
    public void Fsync_is_a_flush()
    {
        FuseRequest request = _parser.Parse(FuseMessages.Fsync(5));
        Assert.Equal(new FuseRequest(FuseAction.Flush, FuseOpcode.Fsync, 5), request);
    }

    [Theory]
    [InlineData(8u, (ulong)Bytes, 0)]
    [InlineData(8u, 0UL, 1)]
    [InlineData(1u, 0UL, 1)]
    [InlineData(2u, 0UL, 1)]
    [InlineData(0x1f0u, 0UL, 0)]
    public void Size_mode_and_owner_of_the_file_never_change(uint valid, ulong size, int error)
    {
        FuseRequest request = _parser.Parse(FuseMessages.SetAttributes(5, valid, size));
        Assert.Equal((FuseAction.Answer, error), (request.Action, request.Error));
    }

    [Fact]
    public void Changes_to_a_read_only_device_are_refused()
    {
        FuseParser parser = new(s_file with { IsReadOnly = true });
        Assert.Equal(30, parser.Parse(FuseMessages.Write(1, 0, new byte[512])).Error);
        Assert.Equal(30, parser.Parse(FuseMessages.Fallocate(1, 3, 0, 512)).Error);
        Assert.Equal(FuseAction.Read, parser.Parse(FuseMessages.Read(1, 0, 512)).Action);
        Assert.Equal(FuseAction.Flush, parser.Parse(FuseMessages.Fsync(1)).Action);
    }

    [Theory]
    [InlineData(2u)]
    [InlineData(36u)]
    [InlineData(42u)]
    public void Messages_that_have_no_reply_get_none(uint opcode)
    {
        byte[] message = FuseMessages.Message((FuseOpcode)opcode, 1, new byte[16]);
        Assert.Equal(FuseAction.Ignore, _parser.Parse(message).Action);
    }

    [Fact]
    public void What_is_not_of_the_one_file_is_refused()
    {
        Assert.Equal(Stale, _parser.Parse(FuseMessages.Message(FuseOpcode.Open, 1, new byte[8], 2)).Error);
        Assert.Equal(20, _parser.Parse(FuseMessages.Message(FuseOpcode.Lookup, 1, [65, 0])).Error);
        Assert.Equal(
            20, _parser.Parse(FuseMessages.Message(FuseOpcode.ReadDirectory, 1, new byte[40])).Error);
        Assert.Equal(38, _parser.Parse(FuseMessages.Message((FuseOpcode)22, 1, new byte[8])).Error);
        Assert.Equal(38, _parser.Parse(FuseMessages.Message((FuseOpcode)9999, 1, [])).Error);
    }

    /// <summary>F-10: the kernel asks no more after it, and reports success for ever.</summary>
    [Fact]
    public void No_fsync_and_no_fallocate_is_ever_answered_with_no_such_operation()
    {
        Random random = new(10);
        for (int i = 0; i < 100_000; i++)
        {
            byte[] message = new byte[random.Next(40, 160)];
            random.NextBytes(message);
            uint opcode = i % 2 == 0 ? 20u : 43u;
            BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4), opcode);
            bool isWhole = random.Next(4) > 0;
            if (isWhole)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(message, (uint)message.Length);
                BinaryPrimitives.WriteUInt64LittleEndian(message.AsSpan(16), 1);
            }
            FuseRequest request = _parser.Parse(message);
            Assert.True(request.Error is not (38 or 95), $"case {i}");
        }
    }

    /// <summary>What is handed on lies inside the file, in whole blocks where it must.</summary>
    [Fact]
    public void Random_messages_never_get_past_the_checks()
    {
        Random random = new(11);
        for (int i = 0; i < 200_000; i++)
        {
            byte[] message = new byte[random.Next(0, 200)];
            random.NextBytes(message);
            if (message.Length >= 40 && random.Next(4) > 0)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(message, (uint)message.Length);
                BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4), (uint)random.Next(0, 54));
                BinaryPrimitives.WriteUInt64LittleEndian(message.AsSpan(16), 1);
                int numbers = (message.Length - 40) / 8;
                for (int n = 0; n < numbers && random.Next(3) > 0; n++)
                {
                    long near = random.Next(-4, 5) + (random.Next(5) * 512) + (random.Next(2) * Bytes);
                    BinaryPrimitives.WriteInt64LittleEndian(message.AsSpan(40 + (8 * n)), near);
                }
            }
            AssertInside(_parser.Parse(message), i);
        }
    }

    private static void AssertInside(FuseRequest request, int number)
    {
        bool isData = request.Action is FuseAction.Read or FuseAction.Write or FuseAction.Zero;
        if (isData)
        {
            bool isInside = request.Offset >= 0 && request.Length > 0
                && request.Length <= Bytes && request.Offset <= Bytes - request.Length;
            Assert.True(isInside, $"case {number}: {request}");
            bool isWhole = ((request.Offset | request.Length) & 511) == 0;
            Assert.True(isWhole || request.Action == FuseAction.Read, $"case {number}: {request}");
        }
    }
}
