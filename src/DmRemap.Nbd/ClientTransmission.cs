using System;
using System.Buffers.Binary;
using DmRemap.Core.Abstractions;

namespace DmRemap.Nbd;

/// <summary>What a reply header means.</summary>
public enum ReplyVerdict : byte
{
    /// <summary>
    /// No reply to anything we asked, and nothing tells where the next one begins: end the connection.
    /// </summary>
    Broken = 0,

    /// <summary>The command has ended, well or with the error.</summary>
    Answer = 1,

    /// <summary>The data of a READ follows, as many bytes as were asked for.</summary>
    Data = 2,
}

/// <summary>
/// A client's commands that are not answered, by slot, and what replies mean for them. A cookie holds the
/// slot and a number that is never used twice, so that an answer to something answered already, or never
/// asked, is seen.
/// </summary>
public sealed class ClientTransmission
{
    public const int HeaderBytes = TransmissionParser.HeaderBytes;

    private const int SlotBits = 16;

    private readonly ulong[] _cookies;
    private readonly NbdCommand[] _commands;
    private readonly int[] _lengths;
    private ulong _sequence;

    public ClientTransmission(int slots)
    {
        Invariant.Check(slots > 0);
        Invariant.Check(slots <= 1 << SlotBits);
        _cookies = new ulong[slots];
        _commands = new NbdCommand[slots];
        _lengths = new int[slots];
    }

    public int Outstanding { get; private set; }

    /// <summary>The connection has ended: nothing is answered any more.</summary>
    public void Clear()
    {
        Array.Clear(_cookies);
        Outstanding = 0;
    }

    /// <summary>Write the header of a command that takes this free slot.</summary>
    public void Begin(
        int slot, NbdCommand command, NbdCommandFlags flags, long offset, int length, Span<byte> header)
    {
        Invariant.Check(_cookies[slot] == 0);
        Invariant.Check(offset >= 0);
        Invariant.Check(length >= 0);
        Invariant.Check(command != NbdCommand.Disconnect);
        _sequence++;
        // Zero marks a free slot; the sequence begins at 1, so no cookie is zero.
        _cookies[slot] = unchecked(_sequence << SlotBits) | (uint)slot;
        _commands[slot] = command;
        _lengths[slot] = length;
        Outstanding++;
        Write(header, command, flags, _cookies[slot], offset, length);
    }

    /// <summary>DISC has no reply.</summary>
    public static void WriteDisconnect(Span<byte> header) =>
        Write(header, NbdCommand.Disconnect, NbdCommandFlags.None, 0, 0, 0);

    /// <summary>Judge the header of a reply.</summary>
    /// <param name="header">At least <see cref="SimpleReply.HeaderBytes"/>.</param>
    /// <param name="slot">Of the command, unless broken.</param>
    /// <param name="error">What the server says of it.</param>
    /// <param name="dataBytes">That follow.</param>
    public ReplyVerdict Take(
        ReadOnlySpan<byte> header, out int slot, out NbdError error, out int dataBytes)
    {
        Invariant.Check(header.Length >= SimpleReply.HeaderBytes);
        ulong cookie = BinaryPrimitives.ReadUInt64BigEndian(header[8..]);
        slot = (int)(cookie & ((1 << SlotBits) - 1));
        error = Known(BinaryPrimitives.ReadUInt32BigEndian(header[4..]));
        dataBytes = 0;
        bool isOurs = BinaryPrimitives.ReadUInt32BigEndian(header) == NbdMagic.SimpleReply
            && slot < _cookies.Length
            && cookie != 0
            && _cookies[slot] == cookie;
        if (!isOurs)
        {
            return ReplyVerdict.Broken;
        }
        // From here on a second reply to it is one to nothing.
        _cookies[slot] = 0;
        Outstanding--;
        if (_commands[slot] != NbdCommand.Read || error != NbdError.None)
        {
            return ReplyVerdict.Answer;
        }
        dataBytes = _lengths[slot];
        return ReplyVerdict.Data;
    }

    private static void Write(
        Span<byte> header, NbdCommand command, NbdCommandFlags flags, ulong cookie, long offset, int length)
    {
        Invariant.Check(header.Length >= HeaderBytes);
        BinaryPrimitives.WriteUInt32BigEndian(header, NbdMagic.Request);
        BinaryPrimitives.WriteUInt16BigEndian(header[4..], (ushort)flags);
        BinaryPrimitives.WriteUInt16BigEndian(header[6..], (ushort)command);
        BinaryPrimitives.WriteUInt64BigEndian(header[8..], cookie);
        BinaryPrimitives.WriteUInt64BigEndian(header[16..], (ulong)offset);
        BinaryPrimitives.WriteUInt32BigEndian(header[24..], (uint)length);
    }

    /// <summary>The protocol has eight errors; any other number is taken for EINVAL.</summary>
    private static NbdError Known(uint error) => (NbdError)error switch
    {
        NbdError.None => NbdError.None,
        NbdError.NotPermitted => NbdError.NotPermitted,
        NbdError.InputOutput => NbdError.InputOutput,
        NbdError.OutOfMemory => NbdError.OutOfMemory,
        NbdError.NoSpace => NbdError.NoSpace,
        NbdError.Overflow => NbdError.Overflow,
        NbdError.NotSupported => NbdError.NotSupported,
        NbdError.Shutdown => NbdError.Shutdown,
        _ => NbdError.Invalid,
    };
}
