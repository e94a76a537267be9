using System;

namespace DmRemap.Nbd;

/// <summary>How the server answers during transmission.</summary>
public enum NbdReplyStyle : byte
{
    /// <summary>One header, and the data of a READ that succeeded as a whole.</summary>
    Simple = 0,

    /// <summary>Chunks: a READ can fail in part, and errors have a text.</summary>
    Structured = 1,

    /// <summary>As Structured, with 64-bit lengths in requests and replies.</summary>
    Extended = 2,
}

/// <summary>
/// The metadata contexts that there are. A context's id on the wire is its bit's number plus 1.
/// </summary>
[Flags]
public enum NbdContexts : byte
{
    None = 0,

    /// <summary>base:allocation</summary>
    Allocation = 1,

    /// <summary>x-dmremap:state</summary>
    State = 2,

    All = Allocation | State,
}

/// <summary>What a client has negotiated. The default is what one has that negotiated nothing.</summary>
public readonly record struct NbdTerms(NbdReplyStyle Style, NbdContexts Contexts)
{
    /// <summary>BLOCK_STATUS has something to say.</summary>
    public bool CanAskStatus => Style != NbdReplyStyle.Simple && Contexts != NbdContexts.None;

    public int RequestHeaderBytes => Style == NbdReplyStyle.Extended
        ? TransmissionParser.ExtendedHeaderBytes
        : TransmissionParser.HeaderBytes;
}
