namespace DmRemap.Nbd;

/// <summary>What to do with a request.</summary>
public enum NbdVerdict : byte
{
    /// <summary>There is more of it to come: nothing is known yet.</summary>
    None = 0,

    /// <summary>It is well-formed, aligned, inside the export and allowed.</summary>
    Execute = 1,

    /// <summary>Answer with the error; nothing follows the header.</summary>
    Refuse = 2,

    /// <summary>Read past PayloadBytes of payload, then answer with the error.</summary>
    RefuseAfterPayload = 3,

    /// <summary>DISC: answer what is in flight, then close. There is no reply.</summary>
    Disconnect = 4,

    /// <summary>
    /// The protocol is broken beyond repair (no magic, a payload too long to read past): close.
    /// </summary>
    Drop = 5,
}

/// <summary>
/// A request header and its verdict. Offset and Length are bytes as the client sent them: only with the
/// verdict Execute are they known to be inside the export.
/// </summary>
public readonly record struct NbdRequest(
    NbdVerdict Verdict,
    NbdError Error,
    NbdCommand Command,
    NbdCommandFlags Flags,
    NbdCookie Cookie,
    ulong Offset,
    ulong Length)
{
    /// <summary>Of the payload that follows.</summary>
    public uint PayloadBytes { get; init; }

    /// <summary>Why it is refused.</summary>
    public NbdReason Reason { get; init; }

    /// <summary>BLOCK_STATUS: the contexts to describe.</summary>
    public NbdContexts Contexts { get; init; }

    public bool IsForceUnitAccess => (Flags & NbdCommandFlags.ForceUnitAccess) != 0;

    /// <summary>The same request, refused.</summary>
    public NbdRequest Refused(NbdError error, NbdReason reason) => this with
    {
        Error = error,
        Reason = reason,
        Verdict = PayloadBytes > 0 ? NbdVerdict.RefuseAfterPayload : NbdVerdict.Refuse,
    };
}
