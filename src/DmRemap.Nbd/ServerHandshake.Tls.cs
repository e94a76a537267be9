using DmRemap.Core.Abstractions;

namespace DmRemap.Nbd;

public sealed partial class ServerHandshake
{
    /// <summary>Only STARTTLS and ABORT are answered with anything but that TLS is required.</summary>
    private bool IsTlsMissing => _mode == NbdTlsMode.Require && !_isInsideTls;

    /// <summary>The connection is TLS from here on: options follow.</summary>
    public void ContinueInsideTls()
    {
        Invariant.Check(Phase == HandshakePhase.StartingTls);
        _isInsideTls = true;
        Phase = HandshakePhase.Options;
    }

    /// <summary>
    /// A client that has not agreed to fixed newstyle may only be served as if there were no TLS. False:
    /// where TLS is required, not at all.
    /// </summary>
    private bool ChooseTls()
    {
        if ((_clientFlags & NbdClientFlags.FixedNewstyle) != 0)
        {
            return true;
        }
        _mode = NbdTlsMode.Off;
        return _tls != NbdTlsMode.Require;
    }

    /// <summary>What was agreed before is forgotten: somebody on the way may have agreed to it.</summary>
    private void StartTls(ref OptionReplyWriter writer)
    {
        if (_mode == NbdTlsMode.Off)
        {
            writer.Final(_option, NbdOptionReply.ErrorUnsupported, "TLS is not supported"u8);
        }
        else if (_isInsideTls)
        {
            writer.Final(_option, NbdOptionReply.ErrorInvalid, "TLS is in use already"u8);
        }
        else if (_hadData)
        {
            writer.Final(_option, NbdOptionReply.ErrorInvalid, "STARTTLS takes no data"u8);
        }
        else
        {
            Terms = default;
            writer.Final(_option, NbdOptionReply.Ack, default);
            Phase = HandshakePhase.StartingTls;
        }
    }
}
