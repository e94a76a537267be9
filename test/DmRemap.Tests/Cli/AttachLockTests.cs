using System;
using System.IO;
using System.Threading.Tasks;
using DmRemap.Cli.Attaching;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Cli;

public sealed class AttachLockTests
{
    [Fact]
    public async Task A_file_that_was_removed_between_opening_and_locking_is_not_the_lock()
    {
        using TemporaryDirectory directory = new();
        string path = directory["disk1.attach"];
        int opened = 0;
        FileStream OpenAndLose(string wanted)
        {
            FileStream file = AttachLock.Open(wanted);
            if (++opened == 1)
            {
                // Who had it before deletes it, and the next one makes a file of his own.
                File.Delete(wanted);
                File.WriteAllText(wanted, "");
            }
            return file;
        }
        using AttachLock at = await AttachLock.TakeAsync(
            path, "disk1", TimeProvider.System, OpenAndLose, TestContext.Current.CancellationToken);
        Assert.Equal(2, opened);
        Assert.Throws<IOException>(() => AttachLock.Open(path).Dispose());
    }

    [Fact]
    public async Task A_lock_that_deleted_its_file_leaves_none_and_the_next_one_makes_it_anew()
    {
        using TemporaryDirectory directory = new();
        string path = directory["disk1.attach"];
        using (AttachLock at = await AttachLock.TakeAsync(
            path, "disk1", TimeProvider.System, TestContext.Current.CancellationToken))
        {
            at.StartedProcess = 4711;
            at.Delete();
            Assert.False(File.Exists(path));
        }
        using AttachLock next = await AttachLock.TakeAsync(
            path, "disk1", TimeProvider.System, TestContext.Current.CancellationToken);
        Assert.Null(next.StartedProcess);
        Assert.True(File.Exists(path));
    }
}
