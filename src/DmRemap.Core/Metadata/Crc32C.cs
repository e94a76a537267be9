using System;
using System.Buffers.Binary;
using System.Numerics;

namespace DmRemap.Core.Metadata;

/// <summary>
/// CRC-32C (Castagnoli), as iSCSI and ext4 use it: initial value all ones, inverted at the end. Check value
/// of the ASCII digits "123456789": E3069283.
/// </summary>
public static class Crc32C
{
    /// <summary>
    /// The register before the first byte. Feed it to <see cref="Append"/>, then <see cref="Finish"/>.
    /// </summary>
    public const uint Start = uint.MaxValue;

    public static uint Compute(ReadOnlySpan<byte> bytes) => Finish(Append(Start, bytes));

    public static uint Append(uint register, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length >= sizeof(ulong))
        {
            register = BitOperations.Crc32C(register, BinaryPrimitives.ReadUInt64LittleEndian(bytes));
            bytes = bytes[sizeof(ulong)..];
        }
        foreach (byte value in bytes)
        {
            register = BitOperations.Crc32C(register, value);
        }
        return register;
    }

    public static uint Finish(uint register) => ~register;
}
