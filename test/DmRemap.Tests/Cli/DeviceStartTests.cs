using System;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Core.Abstractions;
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

    [Theory]
    [InlineData("s")]
    [InlineData("/run/dmremap/disk1.nbd")]
    public void Socket_path_is_taken_as_it_is(string path) => NbdSocketPath.Require(path, "disk1");
}
