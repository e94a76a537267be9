using System;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;

namespace DmRemap.FrontEnds.Nbd;

/// <summary>What a reply looks like, by what the client has negotiated.</summary>
internal sealed partial class NbdConnection
{
    private Span<byte> FreeOutput => _output.Span[_headersEnd..];

    private ReplyChunk ChunkOf(ClientRequest reply) =>
        new(ReplyStyle, reply.Cookie, reply.RequestOffset);

    /// <summary>Room for its header, the headers gathered so far, and some of its data.</summary>
    private bool HasRoomFor(ClientRequest reply)
    {
        int bytes = reply.Contexts == NbdContexts.None ? ReplyChunk.BytesMax : s_statusReplyBytesMax;
        return FreeOutput.Length >= bytes && _parts.Count + 2 <= Limits.SendPartsMax;
    }

    /// <summary>All but the data, and but the chunks of a READ that failed in part.</summary>
    private void AddHeader(ClientRequest reply)
    {
        bool canBeSimple = ReplyStyle == NbdReplyStyle.Simple
            || (ReplyStyle == NbdReplyStyle.Structured && reply.Error == NbdError.None && !reply.IsRead
                && reply.Contexts == NbdContexts.None && !reply.HasFailedInPart);
        if (canBeSimple)
        {
            SimpleReply.Write(FreeOutput, reply.Error, reply.Cookie);
            _headersEnd += SimpleReply.HeaderBytes;
            return;
        }
        ReplyChunk chunk = ChunkOf(reply);
        if (reply.Error != NbdError.None)
        {
            _headersEnd += chunk.Error(FreeOutput, reply.Error, reply.Reason);
        }
        else if (reply.HasFailedInPart)
        {
            // AddParts says all there is to say.
        }
        else if (reply.HasReplyData)
        {
            // All of it has been read, so nothing can go wrong any more: the one chunk is the last.
            _headersEnd +=
                chunk.Data(FreeOutput, NbdReplyFlags.Done, reply.RequestOffset, (uint)reply.Length);
        }
        else if (reply.Contexts != NbdContexts.None)
        {
            AddStatus(reply, chunk);
        }
        else
        {
            _headersEnd += chunk.None(FreeOutput);
        }
    }

    private void AddStatus(ClientRequest reply, ReplyChunk chunk)
    {
        Extent blocks = new(
            BlockSize.BlockAt(new ByteOffset(reply.Offset)),
            BlockSize.WholeBlocks(new ByteCount(reply.Length)));
        int runsMax = reply.IsRequestOne ? 1 : NbdServer.StatusRunsMax;
        NbdContexts left = reply.Contexts;
        while (left != NbdContexts.None)
        {
            // The lowest bit: contexts are answered in the order of their ids.
            NbdContexts one = (NbdContexts)((int)left & -(int)left);
            left &= ~one;
            NbdReplyFlags flags = left == NbdContexts.None ? NbdReplyFlags.Done : NbdReplyFlags.None;
            ReadOnlySpan<HealthRun> runs = _server.StatusOf(one, blocks, runsMax);
            _headersEnd += chunk.Status(FreeOutput, flags, one, runs, BlockSize.Bytes);
        }
    }

    /// <summary>
    /// What was read of a READ as data, what was not as errors with their place, in order. False when there
    /// is no more room: the rest follows with the next Send.
    /// </summary>
    private bool AddParts(ClientRequest read)
    {
        ReadParts parts = new(read, _queue.PieceBytes, BlockSize);
        ReplyChunk chunk = ChunkOf(read);
        while (read.Sent < read.Length)
        {
            if (read.ChunkEnd > read.Sent)
            {
                CloseHeaders();
                AddData(read, read.ChunkEnd);
                if (read.Sent < read.ChunkEnd)
                {
                    return false;
                }
                continue;
            }
            if (!HasRoomFor(read))
            {
                return false;
            }
            ReadPart part = parts.PartAt(read.Sent);
            ulong offset = read.RequestOffset + (ulong)part.Start;
            if (part.HasFailed)
            {
                _headersEnd += chunk.ErrorAt(
                    FreeOutput, NbdError.InputOutput, part.Failure, offset, (ulong)part.Bytes);
                read.SkipReplyData(_queue.PieceBytes, part.End);
            }
            else if (read.MaySendChunk)
            {
                _headersEnd += chunk.Data(FreeOutput, NbdReplyFlags.None, offset, (uint)part.Bytes);
                read.BeginChunk(part.End);
            }
            else
            {
                read.SkipReplyData(_queue.PieceBytes, part.End);
            }
        }
        if (!HasRoomFor(read))
        {
            return false;
        }
        _headersEnd += chunk.None(FreeOutput);
        return true;
    }
}
