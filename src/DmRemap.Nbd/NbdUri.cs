using System;
using System.Globalization;
using System.Text;

namespace DmRemap.Nbd;

/// <summary>
/// Where an export is: `nbd+unix:///EXPORT?socket=PATH` or `nbd://HOST[:PORT]/EXPORT`, as the protocol's
/// doc/uri.md has it. Two of them are the same place when their <see cref="Text"/> is the same: it is written
/// anew from the parts.
/// </summary>
public sealed record NbdUri
{
    public const int PortDefault = 10809;

    public const string Forms = "nbd+unix:///EXPORT?socket=PATH or nbd://HOST[:PORT]/EXPORT";

    private const string UnixPrefix = "nbd+unix://";
    private const string TcpPrefix = "nbd://";
    private const string SocketQuery = "socket=";

    private NbdUri()
    {
    }

    /// <summary>Absolute, of a Unix socket; empty for TCP.</summary>
    public string SocketPath { get; private init; } = string.Empty;

    /// <summary>A name or an address without brackets; empty for a Unix socket.</summary>
    public string Host { get; private init; } = string.Empty;

    public int Port { get; private init; }

    /// <summary>May be empty: the server's default export.</summary>
    public string ExportName { get; private init; } = string.Empty;

    /// <summary>The canonical form.</summary>
    public string Text { get; private init; } = string.Empty;

    public bool IsUnix => SocketPath.Length > 0;

    /// <summary>
    /// True for what is meant as such a URI, well-formed or not; a path never is one: it would have to lie in
    /// a folder whose name ends in a colon, and can be given as "./nbd:/…" then.
    /// </summary>
    public static bool IsMeant(string text) =>
        text.StartsWith("nbd:", StringComparison.OrdinalIgnoreCase)
            || text.StartsWith("nbds:", StringComparison.OrdinalIgnoreCase)
            || text.StartsWith("nbd+", StringComparison.OrdinalIgnoreCase)
            || text.StartsWith("nbds+", StringComparison.OrdinalIgnoreCase);

    /// <summary>False, and why not, for a sentence: "it names no socket".</summary>
    public static bool TryParse(string text, out NbdUri? uri, out string problem)
    {
        uri = null;
        if (text.StartsWith("nbds", StringComparison.OrdinalIgnoreCase))
        {
            problem = "TLS is not supported";
            return false;
        }
        if (text.StartsWith(UnixPrefix, StringComparison.OrdinalIgnoreCase))
        {
            return TryParseUnix(text[UnixPrefix.Length..], out uri, out problem);
        }
        if (text.StartsWith(TcpPrefix, StringComparison.OrdinalIgnoreCase))
        {
            return TryParseTcp(text[TcpPrefix.Length..], out uri, out problem);
        }
        problem = $"it is neither {Forms}";
        return false;
    }

    private static bool TryParseUnix(string rest, out NbdUri? uri, out string problem)
    {
        uri = null;
        int query = rest.IndexOf('?', StringComparison.Ordinal);
        string path = query < 0 ? rest : rest[..query];
        string socket = string.Empty;
        foreach (string field in query < 0 ? [] : rest[(query + 1)..].Split('&'))
        {
            if (!field.StartsWith(SocketQuery, StringComparison.Ordinal) || socket.Length > 0)
            {
                problem = $"\"{field}\" is not understood";
                return false;
            }
            if (!TryUnescape(field[SocketQuery.Length..], out socket))
            {
                problem = "its socket is not well-formed";
                return false;
            }
        }
        if (!socket.StartsWith('/'))
        {
            problem = "it names no socket by an absolute path (?socket=/PATH)";
            return false;
        }
        if (path.Length > 0 && path[0] != '/')
        {
            problem = "a Unix socket has no host: three slashes begin it";
            return false;
        }
        if (!TryExportName(path, out string export, out problem))
        {
            return false;
        }
        uri = new NbdUri
        {
            SocketPath = socket,
            ExportName = export,
            Text = $"{UnixPrefix}/{Escape(export)}?{SocketQuery}{Escape(socket)}",
        };
        return true;
    }

    private static bool TryParseTcp(string rest, out NbdUri? uri, out string problem)
    {
        uri = null;
        int slash = rest.IndexOf('/', StringComparison.Ordinal);
        string authority = slash < 0 ? rest : rest[..slash];
        string path = slash < 0 ? string.Empty : rest[slash..];
        if (rest.Contains('?', StringComparison.Ordinal)
            || authority.Contains('@', StringComparison.Ordinal))
        {
            problem = "no user and no query is understood in it";
            return false;
        }
        if (!TrySplitHost(authority, out string host, out int port))
        {
            problem = $"\"{authority}\" is not HOST or HOST:PORT";
            return false;
        }
        if (!TryExportName(path, out string export, out problem))
        {
            return false;
        }
        string shownHost = host.Contains(':', StringComparison.Ordinal) ? $"[{host}]" : host;
        uri = new NbdUri
        {
            Host = host,
            Port = port,
            ExportName = export,
            Text = string.Create(
                CultureInfo.InvariantCulture, $"{TcpPrefix}{shownHost}:{port}/{Escape(export)}"),
        };
        return true;
    }

    private static bool TrySplitHost(string authority, out string host, out int port)
    {
        port = PortDefault;
        string portText = string.Empty;
        int bracket = authority.IndexOf(']', StringComparison.Ordinal);
        if (authority.StartsWith('[') && bracket > 0)
        {
            host = authority[1..bracket];
            portText = authority[(bracket + 1)..];
        }
        else
        {
            int colon = authority.IndexOf(':', StringComparison.Ordinal);
            host = colon < 0 ? authority : authority[..colon];
            portText = colon < 0 ? string.Empty : authority[colon..];
        }
        host = host.ToLowerInvariant();
        if (host.Length == 0 || host.AsSpan().ContainsAny(" /[]%"))
        {
            return false;
        }
        return portText.Length == 0
            || (portText[0] == ':'
                && int.TryParse(
                    portText.AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture, out port)
                && port is > 0 and <= ushort.MaxValue);
    }

    private static bool TryExportName(string path, out string export, out string problem)
    {
        problem = "its export's name is not well-formed, or longer than 4096 bytes";
        return TryUnescape(path.Length == 0 ? path : path[1..], out export)
            && Encoding.UTF8.GetByteCount(export) <= NbdExport.StringBytesMax;
    }

    private static bool TryUnescape(string text, out string plain)
    {
        plain = Uri.UnescapeDataString(text);
        // What is no UTF-8 stays escaped, and a zero ends a path early.
        return !plain.Contains('\0', StringComparison.Ordinal)
            && !plain.Contains('\uFFFD', StringComparison.Ordinal);
    }

    /// <summary>A slash may stand in a path and in a query as it is.</summary>
    private static string Escape(string text) =>
        Uri.EscapeDataString(text).Replace("%2F", "/", StringComparison.Ordinal);
}
