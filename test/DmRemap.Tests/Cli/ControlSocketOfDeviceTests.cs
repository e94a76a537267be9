using System;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Tests.Control;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>Two processes that start one device: who gets the claims gets the socket.</summary>
public sealed class ControlSocketOfDeviceTests : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private readonly TemporaryDirectory _directory = new();
    private readonly DeviceLife _firstLife = new(RegistrySamples.Record("disk1"), TimeProvider.System);
    private readonly DeviceLife _secondLife = new(RegistrySamples.Record("disk1"), TimeProvider.System);

    private static CancellationToken Ended => TestContext.Current.CancellationToken;

    private string SocketPath => _directory["disk1.sock"];

    public void Dispose()
    {
        _firstLife.Dispose();
        _secondLife.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task Claims_go_to_the_one_without_the_socket_and_he_gets_it_when_the_other_gives_up()
    {
        ControlSocketOfDevice refused = new(SocketPath, _firstLife, TimeProvider.System);
        await using ControlSocketOfDevice served = new(SocketPath, _secondLife, TimeProvider.System);
        refused.TryOpen();
        served.TryOpen();
        Assert.True(refused.IsOpen);
        Assert.False(served.IsOpen);
        Task opening = served.OpenAfterClaimsAsync();
        Assert.False(opening.IsCompleted);
        await refused.DisposeAsync();
        await opening.WaitAsync(s_patience, Ended);
        Assert.True(served.IsOpen);
        await RequireAnsweredAsync();
    }

    [Fact]
    public async Task Claims_go_to_the_one_with_the_socket_and_the_other_takes_nothing_with_him()
    {
        await using ControlSocketOfDevice served = new(SocketPath, _firstLife, TimeProvider.System);
        ControlSocketOfDevice refused = new(SocketPath, _secondLife, TimeProvider.System);
        served.TryOpen();
        refused.TryOpen();
        await served.OpenAfterClaimsAsync();
        await refused.DisposeAsync();
        await RequireAnsweredAsync();
    }

    [Fact]
    public async Task Socket_of_one_that_does_not_give_up_is_refused_after_the_claims()
    {
        await using ControlSocketOfDevice first = new(SocketPath, _firstLife, TimeProvider.System);
        await using ControlSocketOfDevice second = new(SocketPath, _secondLife, TimeProvider.System);
        first.TryOpen();
        RefusalException error = await Assert.ThrowsAsync<RefusalException>(
            () => second.OpenAfterClaimsAsync().WaitAsync(s_patience, Ended));
        Assert.Equal(MessageIds.SocketInUse, error.Id);
        await RequireAnsweredAsync();
    }

    private async Task RequireAnsweredAsync()
    {
        using ControlClient? client = await ControlClient.TryConnectAsync(
            SocketPath, "disk1", s_patience, Ended);
        Assert.NotNull(client);
    }
}
