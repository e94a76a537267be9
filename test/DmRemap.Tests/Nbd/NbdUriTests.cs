using DmRemap.Nbd;
using Xunit;

namespace DmRemap.Tests.Nbd;

public sealed class NbdUriTests
{
    [Theory]
    [InlineData("nbd+unix:///?socket=/run/s", "/run/s", "", "nbd+unix:///?socket=/run/s")]
    [InlineData("NBD+UNIX:///disk?socket=/run/s", "/run/s", "disk", "nbd+unix:///disk?socket=/run/s")]
    [InlineData("nbd+unix:///a%20b?socket=/x%3Fy", "/x?y", "a b", "nbd+unix:///a%20b?socket=/x%3Fy")]
    [InlineData("nbd+unix://?socket=/run/s", "/run/s", "", "nbd+unix:///?socket=/run/s")]
    public void Unix_uri_gives_socket_and_export_and_one_canonical_form(
        string text, string socket, string export, string canonical)
    {
        Assert.True(NbdUri.TryParse(text, out NbdUri? uri, out string problem), problem);
        Assert.Equal(socket, uri!.SocketPath);
        Assert.Equal(export, uri.ExportName);
        Assert.Equal(canonical, uri.Text);
        Assert.True(uri.IsUnix);
        Assert.True(NbdUri.TryParse(uri.Text, out NbdUri? again, out _));
        Assert.Equal(uri, again);
    }

    [Theory]
    [InlineData("nbd://localhost", "localhost", 10809, "", "nbd://localhost:10809/")]
    [InlineData("nbd://LocalHost:10810/disk", "localhost", 10810, "disk", "nbd://localhost:10810/disk")]
    [InlineData("nbd://[::1]:1/a/b", "::1", 1, "a/b", "nbd://[::1]:1/a/b")]
    [InlineData("nbd://127.0.0.1/", "127.0.0.1", 10809, "", "nbd://127.0.0.1:10809/")]
    public void Tcp_uri_gives_host_port_and_export(
        string text, string host, int port, string export, string canonical)
    {
        Assert.True(NbdUri.TryParse(text, out NbdUri? uri, out string problem), problem);
        Assert.Equal(host, uri!.Host);
        Assert.Equal(port, uri.Port);
        Assert.Equal(export, uri.ExportName);
        Assert.Equal(canonical, uri.Text);
        Assert.False(uri.IsUnix);
    }

    [Theory]
    [InlineData("nbds://host/disk")]
    [InlineData("nbds+unix:///?socket=/run/s")]
    [InlineData("nbd+unix:///disk")]
    [InlineData("nbd+unix:///disk?socket=relative")]
    [InlineData("nbd+unix:///disk?socket=/a&socket=/b")]
    [InlineData("nbd+unix:///disk?socket=/a&tls=1")]
    [InlineData("nbd+unix://host/disk?socket=/a")]
    [InlineData("nbd+unix:///disk?socket=/a%00b")]
    [InlineData("nbd+vsock://2/disk")]
    [InlineData("nbd:unix:/run/s")]
    [InlineData("nbd://")]
    [InlineData("nbd://user@host/")]
    [InlineData("nbd://host:0/")]
    [InlineData("nbd://host:65536/")]
    [InlineData("nbd://host:x/")]
    [InlineData("nbd://[::1/")]
    [InlineData("nbd://host/disk?x=y")]
    public void What_cannot_be_used_is_meant_as_a_uri_and_refused_with_a_reason(string text)
    {
        Assert.True(NbdUri.IsMeant(text));
        Assert.False(NbdUri.TryParse(text, out NbdUri? uri, out string problem));
        Assert.Null(uri);
        Assert.NotEmpty(problem);
    }

    [Theory]
    [InlineData("/dev/nbd0")]
    [InlineData("nbd0.img")]
    [InlineData("./nbd:/x")]
    public void A_path_is_no_uri(string text) => Assert.False(NbdUri.IsMeant(text));
}
