using System;
using System.Numerics;
using DmRemap.Cli.Output;
using DmRemap.Cli.Parsing;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Composition;

/// <summary>
/// A main device `memory:SIZE`: blocks in the memory of the process that serves it, full of zeros at its
/// start and gone at its end. For measuring and for trying things. It is served once: what a second start
/// would show in place of what was written is zeros, and zeros that nobody wrote are invented data.
/// </summary>
internal static class MemoryDisk
{
    public const string Prefix = "memory:";

    private const int BlockBytesDefault = 512;
    private const int BlockBytesMax = 4096;

    public static bool IsMeant(string text) => text.StartsWith(Prefix, StringComparison.Ordinal);

    /// <exception cref="RefusalException">DMR-USAGE (exit 2).</exception>
    public static long BytesOf(string text)
    {
        if (SizeText.TryParse(text[Prefix.Length..], out long bytes))
        {
            return bytes;
        }
        throw OfUsage(text, $"\"{text}\" gives no size of memory.", $"Write {Prefix} and {SizeText.Form}.");
    }

    public static DeviceGeometry GeometryOf(string text, MemberOptions options)
    {
        int logical = options.BlockBytes ?? BlockBytesDefault;
        if (logical is < BlockBytesDefault or > BlockBytesMax || !BitOperations.IsPow2(logical))
        {
            throw OfUsage(
                text,
                $"It cannot have blocks of {logical} bytes.",
                "Leave --block-size out, or give 512 or 4096.");
        }
        long bytes = BytesOf(text);
        long available = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (bytes > available || bytes < logical)
        {
            throw OfUsage(
                text,
                $"{bytes} bytes cannot be had: this process may use {Amounts.Bytes(available)}.",
                "Give a size that is at least a block and leaves memory for everything else.");
        }
        BlockSize size = new(logical);
        bool isWritable = options.Access == MemberAccess.ReadWrite;
        return new DeviceGeometry
        {
            LogicalBlockSize = size,
            PhysicalBlockBytes = BlockBytesMax,
            Blocks = size.WholeBlocks(new ByteCount(bytes)),
            CanDiscard = isWritable,
            CanWriteZeroes = isWritable,
            CanZeroFast = isWritable,
            IsReadOnly = !isWritable,
        };
    }

    /// <summary>As a spare it would forget the table, and with it where every remapped block is.</summary>
    /// <exception cref="RefusalException">DMR-USAGE (exit 2).</exception>
    public static void RequireNoSpare(string path)
    {
        if (IsMeant(path))
        {
            throw OfUsage(
                path,
                $"{path} cannot be a spare: the table lies on the spares, and memory forgets it.",
                "Give a file or a device as a spare; only the main device can be memory.");
        }
    }

    /// <summary>What a second start would have to say of it.</summary>
    public static Refusal Forgotten(string name, string path) => new(
        "DMR-MEMORY-FORGOTTEN",
        ExitCode.RefusedForSafety,
        name,
        $"{name} was served before, and what was written to {path} went with the process that served it. "
            + "A new one would read zeros that nobody wrote.",
        $"Nothing was changed. Make it anew: `dmremap delete {name}`, then `dmremap create`. For a disk that "
            + "outlives its server give a file.");

    private static RefusalException OfUsage(string subject, string message, string remedy) =>
        new(new Refusal(MessageIds.Usage, ExitCode.Usage, subject, message, remedy));
}
