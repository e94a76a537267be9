using System;
using System.Text;
using DmRemap.Core.Abstractions;

namespace DmRemap.Nbd;

public enum NbdAccess : byte
{
    ReadWrite = 0,
    ReadOnly = 1,
}

/// <summary>
/// One device as NBD clients see it: under its name and, as the default export, under the empty name. Fixed
/// while it is served, so that INFO and GO always give the same answers.
/// </summary>
public sealed class NbdExport
{
    /// <summary>Of a name or a string in the protocol, in bytes.</summary>
    public const int StringBytesMax = 4096;

    public const int NameBytesMax = 256;

    public const int DescriptionBytesMax = 1024;

    /// <summary>The size at which transfers are efficient: one buffer slice.</summary>
    public const int PreferredBlockBytes = Limits.SliceBytes;

    /// <summary>The longest READ or WRITE.</summary>
    public const int PayloadBytesMax = Limits.ClientPayloadBytesMax;

    private readonly byte[] _name;
    private readonly byte[] _description;

    public NbdExport(string name, string description, DeviceGeometry geometry, NbdAccess access)
    {
        _name = Encoding.UTF8.GetBytes(name);
        _description = Encoding.UTF8.GetBytes(description);
        Invariant.Check(_name.Length <= NameBytesMax);
        Invariant.Check(_description.Length <= DescriptionBytesMax);
        SizeBytes = geometry.Bytes.Value;
        BlockSize = geometry.LogicalBlockSize;
        IsReadOnly = access == NbdAccess.ReadOnly || geometry.IsReadOnly;
        CanTrim = geometry.CanDiscard && !IsReadOnly;
        CanWriteZeroes = geometry.CanWriteZeroes && !IsReadOnly;
        CanZeroFast = geometry.CanZeroFast && CanWriteZeroes;
        Flags = FlagsOf(geometry);
    }

    /// <summary>UTF-8.</summary>
    public ReadOnlySpan<byte> Name => _name;

    /// <summary>UTF-8, for people.</summary>
    public ReadOnlySpan<byte> Description => _description;

    public long SizeBytes { get; }

    /// <summary>The minimum block size: requests are multiples of it, or answered EINVAL.</summary>
    public BlockSize BlockSize { get; }

    public bool IsReadOnly { get; }

    public bool CanTrim { get; }

    public bool CanWriteZeroes { get; }

    /// <summary>WRITE_ZEROES costs less than writing as many zeros: FAST_ZERO is offered.</summary>
    public bool CanZeroFast { get; }

    /// <summary>The metadata contexts that a client can choose.</summary>
    public NbdContexts Contexts { get; init; } = NbdContexts.Allocation;

    /// <summary>What every client is told; <see cref="FlagsFor"/> adds what it has negotiated.</summary>
    public NbdTransmissionFlags Flags { get; }

    /// <summary>True for the export's name and for the empty one.</summary>
    public bool IsCalled(ReadOnlySpan<byte> name) => name.IsEmpty || name.SequenceEqual(_name);

    /// <summary>DF and the payload of BLOCK_STATUS exist only for who can read chunks.</summary>
    public NbdTransmissionFlags FlagsFor(NbdTerms terms)
    {
        NbdTransmissionFlags flags = Flags;
        if (terms.Style != NbdReplyStyle.Simple)
        {
            flags |= NbdTransmissionFlags.SendDontFragment;
        }
        if (terms.Style == NbdReplyStyle.Extended && terms.Contexts != NbdContexts.None)
        {
            flags |= NbdTransmissionFlags.BlockStatusPayload;
        }
        return flags;
    }

    private NbdTransmissionFlags FlagsOf(DeviceGeometry geometry)
    {
        // CanMultiConn is true of one device behind all connections whose flush covers all of them.
        NbdTransmissionFlags flags = NbdTransmissionFlags.HasFlags
            | NbdTransmissionFlags.SendFlush
            | NbdTransmissionFlags.SendFua
            | NbdTransmissionFlags.CanMultiConn
            | NbdTransmissionFlags.SendCache;
        if (IsReadOnly)
        {
            flags |= NbdTransmissionFlags.ReadOnly;
        }
        if (geometry.IsRotational)
        {
            flags |= NbdTransmissionFlags.Rotational;
        }
        if (CanTrim)
        {
            flags |= NbdTransmissionFlags.SendTrim;
        }
        if (CanWriteZeroes)
        {
            flags |= NbdTransmissionFlags.SendWriteZeroes;
        }
        if (CanZeroFast)
        {
            flags |= NbdTransmissionFlags.SendFastZero;
        }
        return flags;
    }
}
