using System;
using System.Buffers.Binary;
using DmRemap.Core.Abstractions;

namespace DmRemap.Nbd;

/// <summary>Reads request headers and judges them against the export. Has no state.</summary>
public sealed class TransmissionParser(NbdExport export)
{
    public const int HeaderBytes = 28;

    private readonly NbdExport _export = export;

    public NbdRequest Parse(ReadOnlySpan<byte> header)
    {
        Invariant.Check(header.Length >= HeaderBytes);
        NbdRequest request = new(
            NbdVerdict.Execute,
            NbdError.None,
            (NbdCommand)BinaryPrimitives.ReadUInt16BigEndian(header[6..]),
            (NbdCommandFlags)BinaryPrimitives.ReadUInt16BigEndian(header[4..]),
            new NbdCookie(BinaryPrimitives.ReadUInt64BigEndian(header[8..])),
            BinaryPrimitives.ReadUInt64BigEndian(header[16..]),
            BinaryPrimitives.ReadUInt32BigEndian(header[24..]));
        if (BinaryPrimitives.ReadUInt32BigEndian(header) != NbdMagic.Request)
        {
            return request with { Verdict = NbdVerdict.Drop };
        }
        if (request.Command == NbdCommand.Disconnect)
        {
            return request with { Verdict = NbdVerdict.Disconnect };
        }
        if (request.Command == NbdCommand.Write && request.Length > NbdExport.PayloadBytesMax)
        {
            // Nothing obliges us to read gigabytes past, and without that the next header cannot be found.
            return request with { Verdict = NbdVerdict.Drop };
        }
        NbdError error = Check(in request);
        return error == NbdError.None ? request : request.Refused(error);
    }

    private NbdError Check(in NbdRequest request)
    {
        NbdCommandFlags allowed = NbdCommandFlags.ForceUnitAccess;
        if (request.Command == NbdCommand.WriteZeroes)
        {
            allowed |= NbdCommandFlags.NoHole;
        }
        if ((request.Flags & ~allowed) != 0)
        {
            return NbdError.Invalid;
        }
        switch (request.Command)
        {
            case NbdCommand.Read:
                bool isTooLong = request.Length > NbdExport.PayloadBytesMax;
                return isTooLong ? NbdError.Invalid : CheckPlace(in request, NbdError.Invalid);
            case NbdCommand.Write:
                return CheckChange(in request, true, NbdError.NoSpace);
            case NbdCommand.Trim:
                return CheckChange(in request, _export.CanTrim, NbdError.Invalid);
            case NbdCommand.WriteZeroes:
                return CheckChange(in request, _export.CanWriteZeroes, NbdError.NoSpace);
            case NbdCommand.Flush:
                return request.Offset == 0 && request.Length == 0 ? NbdError.None : NbdError.Invalid;
            case NbdCommand.Disconnect:
            case NbdCommand.Cache:
            case NbdCommand.BlockStatus:
            case NbdCommand.Resize:
            default:
                return NbdError.Invalid;
        }
    }

    private NbdError CheckChange(in NbdRequest request, bool isOffered, NbdError beyondEnd)
    {
        if (_export.IsReadOnly)
        {
            return NbdError.NotPermitted;
        }
        return isOffered ? CheckPlace(in request, beyondEnd) : NbdError.Invalid;
    }

    private NbdError CheckPlace(in NbdRequest request, NbdError beyondEnd)
    {
        ulong size = (ulong)_export.SizeBytes;
        // In this order, so that no sum can wrap.
        if (request.Offset > size || request.Length > size - request.Offset)
        {
            return beyondEnd;
        }
        bool isAligned = _export.BlockSize.IsAligned((long)request.Offset)
            && _export.BlockSize.IsAligned(request.Length);
        return isAligned ? NbdError.None : NbdError.Invalid;
    }
}
