using System;
using System.Buffers.Binary;

namespace DmRemap.Nbd;

/// <summary>The options that decide how requests are answered, and what BLOCK_STATUS tells.</summary>
public sealed partial class ServerHandshake
{
    /// <summary>Asking again changes nothing; there is no way back from extended headers.</summary>
    private void ChooseStyle(ref OptionReplyWriter writer)
    {
        if (_hadData)
        {
            writer.Final(_option, NbdOptionReply.ErrorInvalid, "the option takes no data"u8);
            return;
        }
        bool isStructured = _option == NbdOption.StructuredReply;
        if (isStructured && Terms.Style == NbdReplyStyle.Extended)
        {
            writer.Final(
                _option, NbdOptionReply.ErrorExtendedHeaderRequired, "extended headers are agreed already"u8);
            return;
        }
        NbdReplyStyle style = isStructured ? NbdReplyStyle.Structured : NbdReplyStyle.Extended;
        Terms = Terms with { Style = style };
        writer.Final(_option, NbdOptionReply.Ack, default);
    }

    private void AnswerContexts(ReadOnlySpan<byte> data, ref OptionReplyWriter writer)
    {
        bool isSet = _option == NbdOption.SetMetaContext;
        if (Terms.Style == NbdReplyStyle.Simple)
        {
            writer.Final(
                _option, NbdOptionReply.ErrorInvalid, "structured replies must be negotiated first"u8);
        }
        else if (!TryParseContexts(data, out ReadOnlySpan<byte> name, out NbdContexts contexts))
        {
            writer.Final(_option, NbdOptionReply.ErrorInvalid, "the option is malformed"u8);
        }
        else if (!_export.IsCalled(name))
        {
            writer.Final(_option, NbdOptionReply.ErrorUnknown, "there is no export of this name"u8);
        }
        else
        {
            contexts &= _export.Contexts;
            for (uint id = 1; MetaContext.FromId(id) is NbdContexts one and not NbdContexts.None; id++)
            {
                if ((contexts & one) != 0)
                {
                    ReadOnlySpan<byte> called = MetaContext.NameOf(one);
                    writer.Reply(_option, NbdOptionReply.MetaContext, sizeof(uint) + called.Length);
                    writer.UInt32(isSet ? id : 0);
                    writer.Bytes(called);
                }
            }
            Terms = isSet ? Terms with { Contexts = contexts } : Terms;
            writer.Final(_option, NbdOptionReply.Ack, default);
        }
    }

    /// <summary>
    /// Shape: name length (32 bits), name, count (32 bits), that many queries of a length (32 bits) and a
    /// string. No query at all means everything to LIST, and nothing to SET.
    /// </summary>
    private bool TryParseContexts(
        ReadOnlySpan<byte> data, out ReadOnlySpan<byte> name, out NbdContexts contexts)
    {
        bool isList = _option == NbdOption.ListMetaContext;
        contexts = NbdContexts.None;
        if (!TryTakeString(ref data, out name) || data.Length < sizeof(uint))
        {
            return false;
        }
        uint count = BinaryPrimitives.ReadUInt32BigEndian(data);
        data = data[sizeof(uint)..];
        if (count == 0 && isList)
        {
            contexts = NbdContexts.All;
        }
        // A count that lies ends with the data.
        for (uint i = 0; i < count; i++)
        {
            if (!TryTakeString(ref data, out ReadOnlySpan<byte> query) || !MetaContext.IsWellFormed(query))
            {
                return false;
            }
            contexts |= MetaContext.Matching(query, isList);
        }
        return data.IsEmpty;
    }

    private static bool TryTakeString(scoped ref ReadOnlySpan<byte> data, out ReadOnlySpan<byte> text)
    {
        text = default;
        if (data.Length < sizeof(uint))
        {
            return false;
        }
        uint bytes = BinaryPrimitives.ReadUInt32BigEndian(data);
        data = data[sizeof(uint)..];
        if (bytes > NbdExport.StringBytesMax || bytes > data.Length)
        {
            return false;
        }
        text = data[..(int)bytes];
        data = data[(int)bytes..];
        return true;
    }
}
