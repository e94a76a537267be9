using System;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using DmRemap.Linux.Native;
using DmRemap.Linux.Sockets;
using Xunit;

namespace DmRemap.Tests.Linux;

[SupportedOSPlatform("linux")]
public sealed class ListeningSocketTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("dmremap-socket-").FullName;

    private string SocketPath => Path.Combine(_directory, "s");

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public void Unix_socket_is_for_its_user_only_and_goes_away()
    {
        using (ListeningSocket socket = ListeningSocket.OpenUnix(SocketPath))
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(SocketPath));
            Assert.Equal(SocketPath, socket.Path);
        }
        Assert.False(Path.Exists(SocketPath));
    }

    [Fact]
    public void Socket_of_a_dead_server_is_replaced()
    {
        using (Socket dead = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            dead.Bind(new UnixDomainSocketEndPoint(SocketPath + "x"));
            File.Move(SocketPath + "x", SocketPath);
        }
        Assert.True(Path.Exists(SocketPath));
        using ListeningSocket socket = ListeningSocket.OpenUnix(SocketPath);
        using Socket client = Connect();
    }

    [Fact]
    public void Socket_where_somebody_answers_is_in_use()
    {
        using ListeningSocket first = ListeningSocket.OpenUnix(SocketPath);
        SystemCallException exception =
            Assert.Throws<SystemCallException>(() => ListeningSocket.OpenUnix(SocketPath));
        Assert.Equal(Errno.EADDRINUSE, exception.Errno);
        using Socket client = Connect();
    }

    [Fact]
    public void Socket_of_a_server_that_hangs_is_in_use_and_nobody_waits_for_it()
    {
        using Socket hanging = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        hanging.Bind(new UnixDomainSocketEndPoint(SocketPath));
        hanging.Listen(0);
        // Never accepted: the backlog is full, and another connect would wait for as long as it is.
        using Socket waiting = Connect();
        SystemCallException exception =
            Assert.Throws<SystemCallException>(() => ListeningSocket.OpenUnix(SocketPath));
        Assert.Equal(Errno.EADDRINUSE, exception.Errno);
    }

    [Fact]
    public void Socket_whose_directory_has_gone_is_closed_all_the_same()
    {
        string directory = Path.Combine(_directory, "gone");
        Directory.CreateDirectory(directory);
        ListeningSocket socket = ListeningSocket.OpenUnix(Path.Combine(directory, "s"));
        Directory.Delete(directory, recursive: true);
        socket.Dispose();
    }

    [Fact]
    public void File_is_removed_once_so_that_a_successor_keeps_its_own()
    {
        using ListeningSocket first = ListeningSocket.OpenUnix(SocketPath);
        first.RemoveFile();
        Assert.False(Path.Exists(SocketPath));
        using ListeningSocket second = ListeningSocket.OpenUnix(SocketPath);
        first.Dispose();
        using Socket client = Connect();
    }

    [Fact]
    public void File_that_is_no_socket_is_never_removed()
    {
        File.WriteAllText(SocketPath, "precious");
        SystemCallException exception =
            Assert.Throws<SystemCallException>(() => ListeningSocket.OpenUnix(SocketPath));
        Assert.Equal(Errno.EEXIST, exception.Errno);
        Assert.Equal("precious", File.ReadAllText(SocketPath));
    }

    [Fact]
    public void Directory_that_is_missing_and_path_that_is_too_long_are_told()
    {
        SystemCallException missing = Assert.Throws<SystemCallException>(
            () => ListeningSocket.OpenUnix(Path.Combine(_directory, "no", "s")));
        Assert.Equal(Errno.ENOENT, missing.Errno);
        string path = Path.Combine(_directory, new string('x', 108));
        ArgumentException tooLong = Assert.Throws<ArgumentException>(() => ListeningSocket.OpenUnix(path));
        Assert.Contains("too long", tooLong.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Prepared_socket_is_found_only_when_it_listens()
    {
        using ListeningSocket socket = ListeningSocket.PrepareUnix(SocketPath);
        Assert.False(Path.Exists(SocketPath));
        socket.Listen();
        using Socket client = Connect();
        using ListeningSocket tcp =
            ListeningSocket.PrepareTcpLoopback(new IPEndPoint(IPAddress.Loopback, 0));
        Assert.Throws<SocketException>(() => new TcpClient("127.0.0.1", tcp.Port));
        tcp.Listen();
        using TcpClient served = new("127.0.0.1", tcp.Port);
    }

    [Fact]
    public void Prepared_socket_that_comes_second_leaves_the_file_of_the_first()
    {
        using ListeningSocket late = ListeningSocket.PrepareUnix(SocketPath);
        using ListeningSocket first = ListeningSocket.OpenUnix(SocketPath);
        Assert.Equal(Errno.EADDRINUSE, Assert.Throws<SystemCallException>(late.Listen).Errno);
        late.Dispose();
        using Socket client = Connect();
    }

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("::1")]
    public void Tcp_socket_says_its_port(string address)
    {
        IPEndPoint endPoint = new(IPAddress.Parse(address), 0);
        bool isIPv6 = endPoint.AddressFamily == AddressFamily.InterNetworkV6;
        Assert.SkipWhen(isIPv6 && !Socket.OSSupportsIPv6, "no IPv6 here");
        using ListeningSocket socket = ListeningSocket.OpenTcpLoopback(endPoint);
        Assert.InRange(socket.Port, 1, 65535);
        using TcpClient client = new(address, socket.Port);
    }

    [Fact]
    public void Tcp_socket_that_others_could_reach_is_refused() =>
        Assert.Throws<ArgumentException>(
            () => ListeningSocket.OpenTcpLoopback(new IPEndPoint(IPAddress.Any, 0)));

    private Socket Connect()
    {
        Socket client = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        client.Connect(new UnixDomainSocketEndPoint(SocketPath));
        return client;
    }
}
