using System.IO;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>The control experiment: our test client against a server that others wrote and trust.</summary>
public sealed class TestClientTests
{
    [Fact]
    public async Task Our_client_and_nbdkit_understand_each_other()
    {
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        string socket = Path.Combine(device.Folder, "control.sock");
        device.StartBeside("nbdkit", "-f", "-U", socket, "memory", "1M");
        await SlowDisk.UntilAsync(() => File.Exists(socket));
        using NbdTestClient client = await NbdTestClient.ConnectAsync(socket);
        await client.SendAsync(NbdTestClient.ClientFlags());
        await client.SendAsync(NbdTestClient.Option(9999, new byte[10]));
        Assert.Equal(NbdTestClient.ReplyErrorUnsupported, (await client.ReadOptionReplyAsync()).Type);
        await client.SendAsync(NbdTestClient.GoOption(""));
        await client.ReadGoRepliesAsync();
        Assert.Equal(DeviceUnderTest.MiB, client.SizeBytes);
        byte[] content = Content.Of(8192);
        byte[] read = new byte[8192];
        Assert.Equal(0u, await client.WriteAsync(4096, content, NbdTestClient.FlagFua));
        Assert.Equal(0u, await client.ReadAsync(4096, read));
        Content.AssertEqual(content, read, "what was written");
        Assert.Equal(0u, await client.FlushAsync());
        Assert.NotEqual(0u, await client.ReadAsync(DeviceUnderTest.MiB, read));
    }

    [Fact]
    public async Task A_held_disk_keeps_a_write_in_the_kernel_until_it_is_released()
    {
        RequiredTools.SkipUnlessFuse();
        RequiredTools.SkipUnless("nbdkit", "dd");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        await using SlowDisk disk = await SlowDisk.StartAsync(device, DeviceUnderTest.MiB);
        string source = Path.Combine(device.Images, "source");
        byte[] content = Content.Of(4096);
        await File.WriteAllBytesAsync(source, content, TestContext.Current.CancellationToken);
        await disk.HoldAsync();
        RunningProgram write =
            device.StartBeside("dd", "if=" + source, "of=" + disk.Path, "bs=4k", "conv=notrunc,fsync");
        await Task.Delay(300, TestContext.Current.CancellationToken);
        Assert.False(write.HasEnded, write.Said);
        await disk.ReleaseAsync();
        Assert.Equal(0, await write.WaitForEndAsync(Command.TimeMax));
        using FileStream file = new(disk.Path, FileMode.Open);
        byte[] read = new byte[4096];
        await file.ReadExactlyAsync(read, TestContext.Current.CancellationToken);
        Content.AssertEqual(content, read, "what was written");
    }
}
