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

    public static ConversationBuilder Start() => Flags().Go("", 7, 3);

    public static byte[] Pattern(int bytes, int seed)
    {
        byte[] pattern = new byte[bytes];
        new Random(seed).NextBytes(pattern);
        return pattern;
    }

    private static ConversationBuilder Flags(uint flags = 3) => new ConversationBuilder().ClientFlags(flags);
}
