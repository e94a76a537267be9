using System;
using System.Globalization;
using System.Net;

namespace DmRemap.Cli.Parsing;

/// <summary>HOST:PORT, where HOST is an address or "localhost": "127.0.0.1:10809", "[::1]:0".</summary>
internal static class ListenText
{
    public const string Form = "ADDRESS:PORT, as in 127.0.0.1:10809 or [::1]:10809";

    public static bool TryParse(string text, out IPEndPoint? address)
    {
        address = null;
        int colon = text.LastIndexOf(':');
        if (colon <= 0)
        {
            return false;
        }
        string host = text[..colon];
        bool isPort = ushort.TryParse(
            text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort port);
        bool isBracketed = host.Length > 2 && host[0] == '[' && host[^1] == ']';
        bool hasBareColon = !isBracketed && host.Contains(':', StringComparison.Ordinal);
        if (!isPort || hasBareColon)
        {
            return false;
        }
        if (host == "localhost")
        {
            address = new IPEndPoint(IPAddress.Loopback, port);
            return true;
        }
        // IPAddress takes "1" for 0.0.0.1; people mean something else.
        bool isDotted = host.Split('.').Length == 4;
        string bare = isBracketed ? host[1..^1] : host;
        if ((!isBracketed && !isDotted) || !IPAddress.TryParse(bare, out IPAddress? ip))
        {
            return false;
        }
        address = new IPEndPoint(ip, port);
        return true;
    }
}
