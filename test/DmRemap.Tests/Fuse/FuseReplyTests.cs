using System;
using DmRemap.Core.Abstractions;
using DmRemap.Fuse;
using Xunit;

namespace DmRemap.Tests.Fuse;

/// <summary>Replies byte by byte, and INIT.</summary>
public sealed class FuseReplyTests
{
    private static readonly FuseFile s_file = new()
    {
        Bytes = 0x12_3456_7800,
        BlockSize = new BlockSize(512),
        UserId = 0x11,
        GroupId = 0x22,
        UnixSeconds = 0x6543_2100,
    };

    [Fact]
    public void Written_says_all_of_it()
    {
        FuseRequest request = new(
            FuseAction.Write, FuseOpcode.Write, 0x0102_0304_0506_0708, 0, FuseReplyKind.Written, 0, 0x3000);
        Assert.Equal("18000000" + "00000000" + "0807060504030201" + "00300000" + "00000000", Hex(request));
    }

    [Fact]
    public void Error_is_a_header_with_a_negative_number()
    {
        FuseRequest request = new(
            FuseAction.Answer, FuseOpcode.Write, 5, 5, FuseReplyKind.Written, 0, 0x3000);
        Assert.Equal("10000000" + "fbffffff" + "0500000000000000", Hex(request));
    }

    /// <summary>F-10: no page cache, and writes that do not wait for each other.</summary>
    [Fact]
    public void Opened_says_direct_and_parallel()
    {
        FuseRequest request = new(FuseAction.Answer, FuseOpcode.Open, 5, 0, FuseReplyKind.Opened);
        Assert.Equal(
            "20000000" + "00000000" + "0500000000000000" + "0000000000000000" + "41000000" + "00000000",
            Hex(request));
    }

    [Fact]
    public void Attributes_are_those_of_a_file_of_the_devices_size()
    {
        FuseRequest request =
            new(FuseAction.Answer, FuseOpcode.GetAttributes, 6, 0, FuseReplyKind.Attributes);
        Assert.Equal(
            "78000000" + "00000000" + "0600000000000000"
                + "8033e10100000000" + "00000000" + "00000000" // valid for a year
                + "0100000000000000" + "0078563412000000" + "3c2b1a0900000000" // inode, size, blocks
                + "0021436500000000" + "0021436500000000" + "0021436500000000" // times
                + "00000000" + "00000000" + "00000000"
                + "80810000" + "01000000" + "11000000" + "22000000" // mode, links, owner
                + "00000000" + "00100000" + "00000000", // rdev, block size, flags
            Hex(request));
    }

    [Fact]
    public void File_system_is_full()
    {
        FuseRequest request =
            new(FuseAction.Answer, FuseOpcode.StatFileSystem, 6, 0, FuseReplyKind.FileSystem);
        Assert.Equal(
            "60000000" + "00000000" + "0600000000000000"
                + "6745230100000000" + new string('0', 32) + "0100000000000000" + new string('0', 16)
                + "00100000" + "ff000000" + "00100000" + "00000000" + new string('0', 48),
            Hex(request));
    }

    [Fact]
    public void Init_agrees_on_what_keeps_errors_from_getting_lost()
    {
        FuseTerms terms = Answer(FuseMessages.Init(3), out string hex, out _);
        Assert.Equal(FuseTerms.Agreed, terms);
        Assert.Equal(
            "50000000" + "00000000" + "0300000000000000"
                + "07000000" + "24000000" // 7.36
                + "00001000" // readahead
                + "21804000" // ASYNC_READ, BIG_WRITES, ASYNC_DIO, MAX_PAGES
                + "0001" + "0001" // background: 256
                + "00001000" // 1 MiB at most
                + "01000000" + "0001" + "0000" // nanoseconds, 256 pages
                + new string('0', 64),
            hex);
    }

    [Fact]
    public void Init_takes_the_older_minor_version()
    {
        byte[] init = FuseMessages.Init(3, minor: 31, bodyBytes: 16);
        Assert.Equal(FuseTerms.Agreed, Answer(init, out string hex, out _));
        Assert.StartsWith("1f000000", hex[40..], StringComparison.Ordinal);
    }

    [Fact]
    public void Init_of_a_newer_major_version_is_answered_with_ours()
    {
        Assert.Equal(FuseTerms.AskedAgain, Answer(FuseMessages.Init(3, major: 8), out string hex, out _));
        Assert.StartsWith("07000000", hex[32..], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(FuseMessages.AllFlags & ~(1u << 15), "AsyncDirectIo")]
    [InlineData(FuseMessages.AllFlags & ~(1u << 22), "MaxPages")]
    [InlineData(0u, "AsyncDirectIo")]
    public void Init_without_what_is_needed_is_refused(uint flags, string named)
    {
        byte[] init = FuseMessages.Init(3, flags: flags);
        Assert.Equal(FuseTerms.Refused, Answer(init, out string hex, out string problem));
        Assert.Equal("10000000" + "b9ffffff" + "0300000000000000", hex);
        Assert.Contains(named, problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Init_of_an_old_or_malformed_kernel_is_refused()
    {
        Assert.Equal(FuseTerms.Refused, Answer(FuseMessages.Init(3, minor: 22), out _, out _));
        Assert.Equal(FuseTerms.Refused, Answer(FuseMessages.Init(3, major: 6), out _, out _));
        for (int bytes = 0; bytes < 16; bytes++)
        {
            Assert.Equal(FuseTerms.Refused, Answer(FuseMessages.Init(3, bodyBytes: bytes), out _, out _));
        }
    }

    [Theory]
    [InlineData(IoStatus.Ok, 0)]
    [InlineData(IoStatus.DeviceError, 5)]
    [InlineData(IoStatus.Unreadable, 5)]
    [InlineData(IoStatus.OutOfSpares, 5)]
    [InlineData(IoStatus.MetadataUnavailable, 5)]
    [InlineData(IoStatus.Unsupported, 5)]
    [InlineData(IoStatus.Invalid, 22)]
    [InlineData(IoStatus.ReadOnly, 30)]
    [InlineData(IoStatus.ShuttingDown, 108)]
    public void Status_becomes_an_error_number_that_ends_no_operation_for_good(IoStatus status, int errno) =>
        Assert.Equal(errno, FuseErrors.From(status));

    private static FuseTerms Answer(byte[] init, out string hex, out string problem)
    {
        byte[] reply = new byte[FuseNegotiation.ReplyBytes];
        reply.AsSpan().Fill(0xee);
        FuseTerms terms = FuseNegotiation.Answer(init, reply, out int bytes, out problem);
        hex = Convert.ToHexStringLower(reply.AsSpan(0, bytes));
        return terms;
    }

    private static string Hex(FuseRequest request)
    {
        byte[] reply = new byte[FuseProtocol.ReplyBytesMax];
        reply.AsSpan().Fill(0xee);
        int bytes = FuseReply.Write(reply, request, s_file);
        return Convert.ToHexStringLower(reply.AsSpan(0, bytes));
    }
}
