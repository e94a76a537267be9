using System;
using System.IO;
using System.Linq;
using System.Net.Sockets;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Control.Server;
using DmRemap.Core.Abstractions;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Control;

/// <summary>Who has the path of a control socket, when several want it at the same moment.</summary>
public sealed class ControlSocketTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    private static CancellationToken Ended => TestContext.Current.CancellationToken;

    private string SocketPath => _directory["disk1.sock"];

    private string LockPath => _directory["disk1.lock"];

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Who_comes_while_another_has_found_nobody_and_not_yet_bound_is_refused()
    {
        RefusalException? second = null;
        using ControlSocket first = ControlSocket.Listen(SocketPath, "disk1", () =>
            second = Assert.Throws<RefusalException>(
                () => ControlSocket.Listen(SocketPath, "disk1").Dispose()));
        Assert.Equal(MessageIds.SocketInUse, second!.Id);
        Assert.Equal(ExitCode.InUse, second.ExitCode);
        Assert.True(IsAnswered());
    }

    [Fact]
    public async Task Of_many_that_start_at_once_one_has_the_path_and_is_reached_there()
    {
        for (int round = 0; round < 30; round++)
        {
            using Barrier together = new(4);
            ControlSocket?[] sockets = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ =>
                Task.Factory.StartNew(
                    () => TryListenWith(together), Ended, TaskCreationOptions.LongRunning,
                    TaskScheduler.Default)));
            using ControlSocket one = Assert.Single(sockets, socket => socket is not null)!;
            Assert.True(IsAnswered());
            (await one.Listener.AcceptAsync(Ended)).Dispose();
            Assert.Equal([LockPath, SocketPath], Files());
        }
        Assert.Empty(Files());
    }

    [Fact]
    public void Who_was_refused_leaves_the_socket_of_the_one_that_has_it()
    {
        using (ControlSocket first = ControlSocket.Listen(SocketPath, "disk1"))
        {
            Assert.Throws<RefusalException>(() => ControlSocket.Listen(SocketPath, "disk1"));
            Assert.True(IsAnswered());
            Assert.Equal([LockPath, SocketPath], Files());
        }
        Assert.Empty(Files());
    }

    [Fact]
    public void Who_ends_after_his_files_were_removed_and_another_came_leaves_the_others_socket()
    {
        ControlSocket first = ControlSocket.Listen(SocketPath, "disk1");
        File.Delete(LockPath);
        File.Delete(SocketPath);
        using ControlSocket second = ControlSocket.Listen(SocketPath, "disk1");
        first.Dispose();
        Assert.True(IsAnswered());
        Assert.Equal([LockPath, SocketPath], Files());
    }

    [Fact]
    public void A_socket_that_answers_without_a_lock_is_not_taken_over_and_no_lock_is_left()
    {
        using Socket former = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        former.Bind(new UnixDomainSocketEndPoint(SocketPath));
        former.Listen();
        RefusalException refused =
            Assert.Throws<RefusalException>(() => ControlSocket.Listen(SocketPath, "disk1"));
        Assert.Equal(MessageIds.SocketInUse, refused.Id);
        Assert.Equal([SocketPath], Files());
    }

    [Fact]
    public void A_lock_that_a_dead_process_left_is_taken()
    {
        File.WriteAllText(LockPath, "");
        using ControlSocket socket = ControlSocket.Listen(SocketPath, "disk1");
        Assert.True(IsAnswered());
    }

    [Fact]
    public void A_lock_file_that_was_removed_between_opening_and_locking_is_not_the_lock()
    {
        int opened = 0;
        FileStream OpenAndLose(string path)
        {
            FileStream file = PathLock.Open(path);
            if (++opened == 1)
            {
                // Who had it before removes it, and the next one makes a file of his own.
                File.Delete(path);
                File.WriteAllText(path, "");
            }
            return file;
        }
        using PathLock? first = PathLock.TryTake(LockPath, OpenAndLose);
        Assert.NotNull(first);
        Assert.Equal(2, opened);
        Assert.Null(PathLock.TryTake(LockPath));
    }

    [Fact]
    public void A_lock_that_cannot_be_made_is_no_lock_that_another_has()
    {
        RefusalException refused =
            Assert.Throws<RefusalException>(() => ControlSocket.Listen(_directory["no/disk1.sock"], "disk1"));
        Assert.Equal(MessageIds.SocketFailed, refused.Id);
        Directory.CreateDirectory(LockPath);
        refused = Assert.Throws<RefusalException>(() => ControlSocket.Listen(SocketPath, "disk1"));
        Assert.Equal(MessageIds.SocketFailed, refused.Id);
    }

    private ControlSocket? TryListenWith(Barrier together)
    {
        together.SignalAndWait();
        try
        {
            return ControlSocket.Listen(SocketPath, "disk1");
        }
        catch (RefusalException)
        {
            return null;
        }
    }

    private bool IsAnswered()
    {
        using Socket probe = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(SocketPath));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private string[] Files() =>
        [.. Directory.GetFileSystemEntries(_directory.Path).Order(StringComparer.Ordinal)];
}
