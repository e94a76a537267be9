using System;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Tests.Control;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Cli;

public sealed class DeviceStartTests
{
    [Fact]
    public async Task Start_that_hangs_is_left_behind_when_it_is_interrupted()
    {
        using CancellationTokenSource interrupted = new();
        TaskCompletionSource<int> start = new();
        Task<int> waiting = DeviceStart.OrInterruptedAsync(start.Task, interrupted.Token);
        Assert.False(waiting.IsCompleted);
        await interrupted.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
    }

    [Fact]
    public async Task Start_that_has_succeeded_by_then_is_given_back_to_be_stopped()
    {
        using CancellationTokenSource interrupted = new();
        TaskCompletionSource<int> start = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await interrupted.CancelAsync();
        Task<int> waiting = DeviceStart.OrInterruptedAsync(start.Task, interrupted.Token);
        start.SetResult(7);
        Assert.Equal(7, await waiting);
    }

    [Fact]
    public async Task Start_that_is_refused_says_why_interrupted_or_not()
    {
        Refusal refusal = new("DMR-TEST", ExitCode.InUse, "disk1", "Not now.", "Later.");
        Task<int> refused = Task.FromException<int>(new RefusalException(refusal));
        RefusalException error = await Assert.ThrowsAsync<RefusalException>(
            () => DeviceStart.OrInterruptedAsync(refused, new CancellationToken(canceled: true)));
        Assert.Equal("DMR-TEST", error.Id);
    }

    [Theory]
    [InlineData("", "DMR-USAGE")]
    [InlineData("/", "DMR-USAGE")]
    [InlineData("folder/", "DMR-USAGE")]
    [InlineData("108", "DMR-SOCKET-PATH-TOO-LONG")]
    public void Socket_path_that_cannot_be_one_is_a_matter_of_usage(string path, string id)
    {
        string given = path == "108" ? new string('ä', 54) : path;
        RefusalException error =
            Assert.Throws<RefusalException>(() => NbdSocketPath.Require(given, "disk1"));
        Assert.Equal(id, error.Id);
        Assert.Equal(ExitCode.Usage, error.ExitCode);
    }

    [Fact]
    public void Socket_path_at_which_a_file_lies_is_called_no_socket_and_the_file_stays()
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeFile("notes", 10);
        RefusalException error = Assert.Throws<RefusalException>(
            () => FrontDoor.Prepare("disk1", new WaysIn { SocketPath = path }));
        Assert.Equal("DMR-NBD-SOCKET-FAILED", error.Id);
        Assert.Contains($"{path} is there and is not a socket", error.Message, StringComparison.Ordinal);
        Assert.Contains("another path with --socket", error.Refusal.Action, StringComparison.Ordinal);
        Assert.DoesNotContain("Stop whoever", error.Refusal.Action, StringComparison.Ordinal);
        Assert.True(File.Exists(path));
    }

    [Theory]
    [InlineData("main", "the main device of disk1,", "dmremap rebind disk1 --main ")]
    [InlineData("spare", "a spare of disk1,", "dmremap rebind disk1 --spare ")]
    public async Task Member_that_is_missing_is_named_with_its_device_and_role(
        string missing, string role, string way)
    {
        using TemporaryDirectory directory = new();
        DeviceRecord record = RegistrySamples.Record("disk1") with
        {
            MainPath = directory.MakeFile("main", 1 << 20),
            Spares = [new SpareRecord(directory.MakeFile("spare", 1 << 20), Guid.NewGuid())],
        };
        File.Delete(directory[missing]);
        DeviceAssembly assembly = new(record, isReadOnly: false, _ => { })
        {
            ControlSocketPath = directory["control"],
        };
        RefusalException error = await Assert.ThrowsAsync<RefusalException>(
            () => assembly.ClaimAsync(CancellationToken.None));
        Assert.Equal("DMR-MEMBER-MISSING", error.Id);
        Assert.Equal(directory[missing], error.Device);
        Assert.StartsWith($"{directory[missing]}, {role}", error.Message, StringComparison.Ordinal);
        Assert.Contains(way, error.Refusal.Action, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Main_that_was_only_now_given_is_not_said_to_be_one_that_has_gone()
    {
        using TemporaryDirectory directory = new();
        DeviceRecord record = RegistrySamples.Record("disk1") with { MainPath = directory["copy"] };
        DeviceAssembly assembly = new(record, isReadOnly: true, _ => { })
        {
            ControlSocketPath = directory["control"],
            IsMainNew = true,
        };
        RefusalException error = await Assert.ThrowsAsync<RefusalException>(
            () => assembly.ClaimAsync(CancellationToken.None));
        Assert.Equal($"{directory["copy"]} does not exist.", error.Message);
    }

    [Theory]
    [InlineData("s")]
    [InlineData("/run/dmremap/disk1.nbd")]
    public void Socket_path_is_taken_as_it_is(string path) => NbdSocketPath.Require(path, "disk1");
}
