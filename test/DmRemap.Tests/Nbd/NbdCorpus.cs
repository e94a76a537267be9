using System;
using System.Collections.Generic;
using DmRemap.Nbd;

namespace DmRemap.Tests.Nbd;

/// <summary>
/// Conversations, good and hostile, by name. The export is 1 MiB of 512-byte blocks called "disk".
/// </summary>
internal static class NbdCorpus
{
    public const long ExportBytes = 2048 * 512;

    public static Dictionary<string, byte[]> Handshakes() => new()
    {
        ["nothing"] = [],
        ["go default"] = Start().ToArray(),
        ["go by name, all infos"] = Flags().Go("disk", 7, 0, 1, 2, 3).ToArray(),
        ["info, list, go"] = Flags().Go("", 6, 3).Option(3).Go("disk", 7, 3).ToArray(),
        ["go unknown, then abort"] = Flags().Go("nope").Option(2).ToArray(),
        ["export name"] = Flags(1).Option(1, "disk"u8.ToArray()).ToArray(),
        ["export name, no zeroes, default"] = Flags().Option(1).ToArray(),
        ["export name unknown"] = Flags().Option(1, "nope"u8.ToArray()).ToArray(),
        ["qemu's beginning"] = Flags().Option(8).Option(10, new byte[40]).Go("", 7, 3).ToArray(),
        ["structured, list, set, go"] = Flags().Option(8).Contexts(9, "").Contexts(9, "disk", "base:", "x:")
            .Contexts(10, "", "base:allocation", "x-dmremap:state").Go("", 7, 3).ToArray(),
        ["extended, set, info, go"] = Flags().Option(11).Contexts(10, "disk", "x-dmremap:state")
            .Go("disk", 6, 3).Go("disk", 7, 3).ToArray(),
        ["set twice, the second fails"] = Flags().Option(8).Contexts(10, "", "base:allocation")
            .Contexts(10, "nope", "base:allocation").Go().ToArray(),
        ["contexts without structured replies"] =
            Flags().Contexts(9, "").Contexts(10, "", "base:allocation").Go().ToArray(),
        ["queries that lie"] = Flags().Option(8)
            .Option(9, new ConversationBuilder().UInt32(0).UInt32(0xffff_ffff).UInt32(9).ToArray())
            .Option(10, new ConversationBuilder().UInt32(0xffff_fff0).UInt32(1).ToArray()).Go().ToArray(),
        ["extended, then export name"] = Flags().Option(11).Option(1, "disk"u8.ToArray()).ToArray(),
        ["tls, then go"] = Flags().Option(5).Go().ToArray(),
        ["unknown options with data"] =
            Flags().Option(77, new byte[9000]).Option(78, new byte[3]).Go().ToArray(),
        ["list with data"] = Flags().Option(3, new byte[300]).Option(3).Option(2).ToArray(),
        ["go too long"] = Flags().Option(7, new byte[20_000]).Go().ToArray(),
        ["unknown client flags"] = Flags(0x40).Go().ToArray(),
        ["oldstyle client flags"] = Flags(0).Go().ToArray(),
        ["bad option magic"] = Flags().UInt64(0x1234567812345678).UInt32(7).UInt32(0).ToArray(),
        ["option of 4 GiB"] = Flags().UInt64(0x49484156454F5054).UInt32(99).UInt32(0xffff_ffff).ToArray(),
        ["an http request"] =
            new ConversationBuilder().Text("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").ToArray(),
        ["more after go"] = Start().Read(1, 0, 512).ToArray(),
    };

    /// <summary>Whole conversations: a handshake and requests. Cookies are unique in each.</summary>
    public static Dictionary<string, byte[]> Sessions() => new()
    {
        ["write, flush, read, disc"] = Start()
            .Write(1, 4096, Pattern(4096, 1))
            .Request(NbdCommand.Flush, 2, 0, 0)
            .Read(3, 0, 16384)
            .Disconnect().ToArray(),
        ["fua everywhere"] = Start()
            .Write(1, 0, Pattern(512, 2), 1)
            .Request(NbdCommand.Read, 2, 0, 512, 1)
            .Request(NbdCommand.Flush, 3, 0, 0, 1)
            .Request(NbdCommand.Trim, 4, 0, 512, 1)
            .Request(NbdCommand.WriteZeroes, 5, 512, 512, 3)
            .Disconnect().ToArray(),
        ["lengths of zero"] = Start()
            .Read(1, 0, 0)
            .Write(2, 512, [])
            .Request(NbdCommand.Trim, 3, 1024, 0)
            .Request(NbdCommand.WriteZeroes, 4, ExportBytes, 0)
            .Read(5, 0, 512).ToArray(),
        ["beyond the end"] = Start()
            .Read(1, ExportBytes - 512, 1024)
            .Write(2, ExportBytes - 512, Pattern(1024, 3))
            .Request(NbdCommand.Trim, 3, ExportBytes, 512)
            .Request(NbdCommand.WriteZeroes, 4, ulong.MaxValue - 511, 512)
            .Read(5, ulong.MaxValue, uint.MaxValue)
            .Read(6, 0, 512).ToArray(),
        ["unaligned"] = Start()
            .Read(1, 1, 512)
            .Write(2, 0, Pattern(100, 4))
            .Request(NbdCommand.Trim, 3, 512, 513)
            .Read(4, 0, 512).ToArray(),
        ["unknown commands and flags"] = Start()
            .Request(NbdCommand.Cache, 1, 0, 512)
            .Request(NbdCommand.BlockStatus, 2, 0, 512)
            .Request((NbdCommand)999, 3, 0, 70_000)
            .Request(NbdCommand.Read, 4, 0, 512, 4)
            .Write(5, 0, Pattern(20_000, 5), 16)
            .Request(NbdCommand.WriteZeroes, 6, 0, 512, 16)
            .Request(NbdCommand.Flush, 7, 512, 0)
            .Read(8, 0, 512).ToArray(),
        ["write over 32 MiB"] = Start().Read(1, 0, 512)
            .Request(NbdCommand.Write, 2, 0, 0x0200_0001).Bytes(Pattern(2000, 6)).ToArray(),
        ["read over 32 MiB"] = Start().Read(1, 0, 0x0200_0200).Read(2, 0, 512).ToArray(),
        ["bad magic"] = Start().Read(1, 0, 512).Bytes(Pattern(28, 7)).Read(2, 0, 512).ToArray(),
        ["disc, then more"] = Start().Read(1, 0, 512).Disconnect().Read(2, 0, 512).ToArray(),
        ["payload cut off"] = Start().Read(1, 0, 512)
            .Request(NbdCommand.Write, 2, 0, 300_000).Bytes(Pattern(200_000, 8)).ToArray(),
        ["refused payload cut off"] = Start().Read(1, 0, 512)
            .Request(NbdCommand.Write, 2, 1, 300_000).Bytes(Pattern(1000, 8)).ToArray(),
        ["long write and read back"] = Start()
            .Write(1, 512, Pattern(300_032, 9))
            .Read(2, 512, 300_032)
            .Disconnect().ToArray(),
    };

    /// <summary>
    /// Whole conversations with clients that read chunks; the sizes of requests are those of extended headers
    /// where these are agreed. Cookies are unique in each.
    /// </summary>
    public static Dictionary<string, byte[]> ChunkSessions() => new()
    {
        ["structured: everything"] = Flags().Option(8).Contexts(10, "", "base:allocation").Go()
            .Write(1, 4096, Pattern(20_000 / 512 * 512, 1)).Read(2, 0, 100_352)
            .Request(NbdCommand.Read, 3, 512, 65_536, 4).Request(NbdCommand.BlockStatus, 4, 0, 1_048_576)
            .Request(NbdCommand.BlockStatus, 5, 512, 512, 8).Request(NbdCommand.Cache, 6, 0, 65_536)
            .Request(NbdCommand.Trim, 7, 0, 4096).Request(NbdCommand.WriteZeroes, 8, 0, 4096)
            .Request(NbdCommand.Flush, 9, 0, 0).Read(10, 0, 0).Read(11, 0, 1_048_576)
            .Disconnect().ToArray(),
        ["structured: refused"] = Flags().Option(8).Go()
            .Read(1, 1, 512).Read(2, ExportBytes, 512).Read(3, 0, 0xffff_fe00).Write(4, 3, Pattern(9000, 2))
            .Request(NbdCommand.BlockStatus, 5, 0, 512).Request((NbdCommand)99, 6, 0, 0)
            .Request(NbdCommand.Cache, 7, 0, 0x4000_0000).Request(NbdCommand.WriteZeroes, 8, 0, 512, 16)
            .Read(9, 0, 512).ToArray(),
        ["extended: everything"] = Flags().Option(11).Contexts(10, "", "base:allocation").Go()
            .Extended(NbdCommand.Write, 1, 4096, 8192, 32, Pattern(8192, 3))
            .Extended(NbdCommand.Read, 2, 0, 100_352).Extended(NbdCommand.Flush, 3, 0, 0)
            .Extended(NbdCommand.BlockStatus, 4, 0, 1_048_576)
            .Extended(NbdCommand.BlockStatus, 5, 0, 12, 32,
                new ConversationBuilder().UInt64(4096).UInt32(1).ToArray())
            .Extended(NbdCommand.WriteZeroes, 6, 0, 65_536).Extended(NbdCommand.Read, 7, 0, 1_048_576, 4)
            .Extended(NbdCommand.Disconnect, 8, 0, 0).ToArray(),
        ["extended: refused"] = Flags().Option(11).Go()
            .Extended(NbdCommand.Write, 1, 0, 512).Extended(NbdCommand.Read, 2, 0, ulong.MaxValue)
            .Extended(NbdCommand.Flush, 3, 0, 5000, 32, Pattern(5000, 4))
            .Extended(NbdCommand.BlockStatus, 4, 0, 12, 32, Pattern(12, 5))
            .Extended(NbdCommand.Trim, 5, ulong.MaxValue, ulong.MaxValue)
            .Extended(NbdCommand.Read, 6, 0, 512)
            .Extended(NbdCommand.Write, 7, 0, 0x1_0000_0000, 32).ToArray(),
    };

    public static ConversationBuilder Start() => Flags().Go("", 7, 3);

    public static byte[] Pattern(int bytes, int seed)
    {
        byte[] pattern = new byte[bytes];
        new Random(seed).NextBytes(pattern);
        return pattern;
    }

    private static ConversationBuilder Flags(uint flags = 3) => new ConversationBuilder().ClientFlags(flags);
}
