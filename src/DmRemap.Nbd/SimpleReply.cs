using System;
using System.Buffers.Binary;

namespace DmRemap.Nbd;

/// <summary>The reply header; for a READ without an error its data follows.</summary>
public static class SimpleReply
{
    public const int HeaderBytes = 16;

    public static void Write(Span<byte> into, NbdError error, NbdCookie cookie)
    {
        BinaryPrimitives.WriteUInt32BigEndian(into, NbdMagic.SimpleReply);
        BinaryPrimitives.WriteUInt32BigEndian(into[4..], (uint)error);
        BinaryPrimitives.WriteUInt64BigEndian(into[8..], cookie.Value);
    }
}
