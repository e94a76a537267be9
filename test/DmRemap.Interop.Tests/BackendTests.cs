using System;
using System.IO;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>Where io_uring is forbidden for real, and where it is chosen by hand.</summary>
public sealed class BackendTests
{
    private const int NotPermitted = 1;
    private const int NoSuchCall = 38;
    private const int Unit = DeviceUnderTest.UnitBytes;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(Sandbox.IoUringSetup, NotPermitted, false)]
    [InlineData(Sandbox.IoUringSetup, NoSuchCall, true)]
    [InlineData(Sandbox.IoUringEnter, NotPermitted, false)]
    [InlineData(Sandbox.IoUringRegister, NotPermitted, false)]
    public async Task Where_io_uring_is_forbidden_epoll_is_chosen_said_and_keeps_what_was_written(
        int call, int errno, bool isOld)
    {
        byte[] model = Content.Of(DeviceUnderTest.MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(model);
        device.Backend = null;
        (int Call, int Errno)[] refused =
        [
            (call, errno),
            .. isOld
                ? [(Sandbox.EpollWait2, NoSuchCall), (Sandbox.WriteVector2, NoSuchCall)]
                : Array.Empty<(int Call, int Errno)>(),
        ];
        await RunInsideAsync(
            device, refused, 0, "create", DeviceUnderTest.Name, "--main", device.MainPath, "--spare",
            device.SparePath, "--yes");
        string rules = Path.Combine(device.Folder, "faults");
        await File.WriteAllLinesAsync(rules, ["800-807 write"], TestContext.Current.CancellationToken);
        RunningProgram server = ServeInside(device, refused, "--faults", rules);
        await DeviceUnderTest.WaitUntilReadyAsync(server);
        Assert.Contains("DMR-BACKEND-EPOLL dev: ", server.Said, StringComparison.Ordinal);
        Assert.Equal("epoll", (await device.StatusAsync()).GetProperty("backend").GetString());
        CommandResult status = (await device.RunAsync("status", DeviceUnderTest.Name)).Expect(0, 7);
        Assert.Contains(", epoll, ", status.Output, StringComparison.Ordinal);
        using (NbdTestClient client = await device.ConnectAsync())
        {
            Content.Fill(model.AsSpan(800 * 512, Unit), 800 * 512, 2);
            Assert.Equal(0u, await client.WriteAsync(800 * 512, model.AsMemory(800 * 512, Unit)));
            await AssertContentAsync(client, model);
        }
        Assert.Equal(1, await device.StatusNumberAsync("remaps"));
        (await device.RunAsync("stop", DeviceUnderTest.Name)).Expect(0);
        Assert.Equal(0, await server.WaitForEndAsync(s_patience));
        await RunInsideAsync(device, refused, 0, "check", DeviceUnderTest.Name);
        // One device, whatever serves it.
        await device.ServeAsync();
        using NbdTestClient next = await device.ConnectAsync();
        await AssertContentAsync(next, model);
        await device.StopAsync();
    }

    [Fact]
    public async Task Io_uring_that_is_demanded_where_it_is_forbidden_is_refused_with_what_to_do()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(DeviceUnderTest.MiB));
        await device.CreateAsync();
        CommandResult refused = await RunInsideAsync(
            device, [(Sandbox.IoUringSetup, NotPermitted)], 9, "serve", DeviceUnderTest.Name, "--backend",
            DeviceUnderTest.Uring);
        Assert.Contains("DMR-NO-IO-URING", refused.Error, StringComparison.Ordinal);
        Assert.Contains("--backend", refused.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(DeviceUnderTest.Uring)]
    [InlineData(DeviceUnderTest.Epoll)]
    public async Task Backend_that_is_chosen_by_hand_serves_and_nothing_is_said(string backend)
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartOnAsync(backend, Content.Of(DeviceUnderTest.MiB));
        Assert.Equal(backend, (await device.StatusAsync()).GetProperty("backend").GetString());
        Assert.DoesNotContain("DMR-BACKEND", device.Server.Said, StringComparison.Ordinal);
        await device.StopAsync();
    }

    [Fact]
    public async Task Backend_that_is_none_is_refused()
    {
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        CommandResult refused = (await device.RunAsync("serve", "dev", "--backend", "aio")).Expect(2);
        Assert.Contains("expected io_uring or epoll", refused.Error, StringComparison.Ordinal);
    }

    private static RunningProgram ServeInside(
        DeviceUnderTest device, (int Call, int Errno)[] refused, params string[] more)
    {
        (string program, string[] arguments) = Sandbox.Around(
            refused, DeviceUnderTest.Program, ["serve", DeviceUnderTest.Name, .. more]);
        return device.StartBeside(program, arguments);
    }

    private static async Task<CommandResult> RunInsideAsync(
        DeviceUnderTest device, (int Call, int Errno)[] refused, int exit, params string[] arguments)
    {
        (string program, string[] all) = Sandbox.Around(refused, DeviceUnderTest.Program, arguments);
        CommandResult result = await Command.RunAsync(program, all, device.Environment);
        Assert.SkipWhen(result.Error.Contains("no seccomp here", StringComparison.Ordinal), result.Error);
        return result.Expect(exit);
    }

    private static async Task AssertContentAsync(NbdTestClient client, byte[] model)
    {
        byte[] read = new byte[model.Length];
        Assert.Equal(0u, await client.ReadAsync(0, read));
        Content.AssertEqual(model, read, "what is served");
    }
}
