using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Control.Server;
using DmRemap.Tests.Control;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Lab;

/// <summary>The control socket of a disk of the lab.</summary>
public sealed class LabControlTests : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly StubLab _lab = new();
    private readonly ControlServer _server;

    public LabControlTests() => _server = ControlServer.Start(_directory["bad.sock"], _lab);

    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task Commands_reach_the_disk_with_their_arguments()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using LabClient client = (await LabClient.TryConnectAsync(
            _directory["bad.sock"], "bad", TimeSpan.FromSeconds(10), cancellation))!;
        Assert.Equal(new LabChange(1, 5), await client.AddBadAsync(["8-15 dead"], cancellation));
        Assert.Equal(new LabChange(2, 3), await client.HealAsync(new LabRange(8, 15), cancellation));
        await client.HealAsync(null, cancellation);
        await client.TroubleAsync(LabTroubles.Stall, 2.5, cancellation);
        await client.TroubleAsync(LabTroubles.Vanish, null, cancellation);
        LabDefects list = await client.ListAsync(77, cancellation);
        Assert.Equal(["100 dead"], list.Runs);
        Assert.Equal(101, list.Next);
        Assert.True((await client.StopAsync(TimeSpan.FromSeconds(1), cancellation)).Clean);
        Assert.Equal(
            ["add 8-15 dead", "heal 8-15", "heal all", "stall 2.5", "vanish ", "list 77", "stop"],
            _lab.Heard);
    }

    [Theory]
    [InlineData("lab-trouble", "{\"trouble\":\"sulk\"}")]
    [InlineData("lab-trouble", "{\"trouble\":\"stall\",\"seconds\":-1}")]
    [InlineData("lab-trouble", "{\"trouble\":\"stall\",\"seconds\":1e9}")]
    [InlineData("lab-trouble", "{\"trouble\":\"vanish\",\"seconds\":1}")]
    [InlineData("lab-trouble", "{}")]
    [InlineData("lab-heal", "{\"range\":{\"first\":-1,\"last\":1}}")]
    [InlineData("lab-heal", "{\"range\":{\"first\":2,\"last\":1}}")]
    [InlineData("lab-heal", "{\"first\":2}")]
    [InlineData("lab-add-bad", "{}")]
    [InlineData("lab-add-bad", "{\"runs\":\"8\"}")]
    public async Task Arguments_that_mean_nothing_are_refused_and_the_disk_hears_of_none(
        string command, string arguments)
    {
        using RawClient client = new(_directory["bad.sock"]);
        await client.ReadLineAsync();
        await client.SendAsync($"{{\"id\":1,\"command\":\"{command}\",\"arguments\":{arguments}}}\n");
        Assert.Contains("DMR-CONTROL-BAD-ARGUMENTS", await client.ReadLineAsync(), StringComparison.Ordinal);
        Assert.Empty(_lab.Heard);
    }

    [Theory]
    [InlineData("remap")]
    [InlineData("scrub")]
    [InlineData("suspend")]
    public async Task Commands_of_a_remapped_device_are_unknown_to_the_lab(string command)
    {
        using RawClient client = new(_directory["bad.sock"]);
        await client.ReadLineAsync();
        await client.SendAsync($"{{\"id\":1,\"command\":\"{command}\"}}\n");
        Assert.Contains(
            "DMR-CONTROL-UNKNOWN-COMMAND", await client.ReadLineAsync(), StringComparison.Ordinal);
    }

    private sealed class StubLab : ILabControl
    {
        public List<string> Heard { get; } = [];

        public string Name => "bad";

        public Task<LabStatus> GetStatusAsync() => throw new NotSupportedException();

        public Task<LabChange> AddBadAsync(IReadOnlyList<string> runs)
        {
            Heard.Add("add " + string.Join(';', runs));
            return Task.FromResult(new LabChange(1, 5));
        }

        public Task<LabChange> HealAsync(LabRange? range)
        {
            Heard.Add(range is null ? "heal all" : $"heal {range.First}-{range.Last}");
            return Task.FromResult(new LabChange(2, 3));
        }

        public Task TroubleAsync(string trouble, double? seconds)
        {
            Heard.Add(FormattableString.Invariant($"{trouble} {seconds}"));
            return Task.CompletedTask;
        }

        public Task<LabDefects> ListAsync(long from)
        {
            Heard.Add($"list {from}");
            return Task.FromResult(new LabDefects(["100 dead"], 101));
        }

        public Task<StopReport> StopAsync(TimeSpan deadline)
        {
            Heard.Add("stop");
            return Task.FromResult(new StopReport { Clean = true });
        }
    }
}
