using System;
using System.Collections.Generic;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Control.Server;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Control;

/// <summary>Spares over the control socket, and in the registry while they are neither in nor out.</summary>
public sealed class SpareCommandTests : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly StubDevice _device = new();
    private ControlServer? _server;

    private string SocketPath => _directory["disk1.sock"];

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }
        _directory.Dispose();
    }

    [Fact]
    public async Task A_spare_is_added_with_its_arguments_as_given()
    {
        using ControlClient client = await ConnectAsync();
        SpareAddReport plain = await client.AddSpareAsync("/dev/sdd", null, false, Token);
        Assert.Equal(("/dev/sdd", 1, 100L), (plain.Path, plain.Index, plain.Units));
        SpareAddReport made = await client.AddSpareAsync("/s.img", 1 << 24, true, Token);
        Assert.Equal(("/s.img", 2, 1L << 24), (made.Path, made.Index, made.Units));
    }

    [Fact]
    public async Task A_removal_tells_how_far_it_is_and_what_became_of_it()
    {
        _device.RemovalSteps = [new RemapProgress(1, 3), new RemapProgress(2, 3)];
        using ControlClient client = await ConnectAsync();
        List<RemapProgress> seen = [];
        SpareRemoveReport kept = await client.RemoveSpareAsync("1", false, seen.Add, Token);
        Assert.NotEmpty(seen);
        Assert.All(seen, step => Assert.Equal(3, step.UnitsTotal));
        Assert.Equal((false, 1L), (kept.Removed, kept.UnitsUnread));
        Assert.NotNull(kept.Failure);
        SpareRemoveReport left = await client.RemoveSpareAsync("1", true, null, Token);
        Assert.Equal((true, 3L, 1L), (left.Removed, left.UnitsMoved, left.UnitsLetGo));
        Assert.True((await client.StopSpareRemovalAsync(Token)).WasRunning);
    }

    [Theory]
    [InlineData("{\"id\":1,\"command\":\"spare-add\",\"arguments\":{}}")]
    [InlineData("{\"id\":1,\"command\":\"spare-add\",\"arguments\":{\"path\":\"\"}}")]
    [InlineData("{\"id\":1,\"command\":\"spare-add\",\"arguments\":{\"path\":\"/a\",\"sizeBytes\":0}}")]
    [InlineData("{\"id\":1,\"command\":\"spare-add\",\"arguments\":{\"path\":null}}")]
    [InlineData("{\"id\":1,\"command\":\"spare-add\",\"arguments\":{\"path\":\"/a\\u0000b\"}}")]
    [InlineData("{\"id\":1,\"command\":\"spare-add\",\"arguments\":{\"path\":\"/a\",\"more\":1}}")]
    [InlineData("{\"id\":1,\"command\":\"spare-remove\"}")]
    [InlineData("{\"id\":1,\"command\":\"spare-remove\",\"arguments\":{\"spare\":3}}")]
    [InlineData("{\"id\":1,\"command\":\"spare-stop\",\"arguments\":{\"spare\":\"1\"}}")]
    public async Task Arguments_that_are_wrong_are_refused(string line)
    {
        Start();
        using RawClient client = new(SocketPath);
        _ = await client.ReadLineAsync();
        JsonElement reply = await client.CallAsync(line);
        Assert.Equal(MessageIds.BadArguments, reply.GetProperty("error").GetProperty("id").GetString());
    }

    [Theory]
    [InlineData(SpareTransit.None)]
    [InlineData(SpareTransit.Adding)]
    [InlineData(SpareTransit.Removing)]
    public void A_record_keeps_what_is_being_done_to_a_spare(SpareTransit transit)
    {
        DeviceRecord record = RegistrySamples.Record("disk1");
        record = record with { Spares = [record.Spares[0], record.Spares[1] with { Transit = transit }] };
        byte[] text = RegistryCodec.Encode(record);
        Assert.Equal(
            RegistryParse.Ok, RegistryCodec.Decode(text, record.Name, out DeviceRecord? read, out _));
        Assert.Equal([SpareTransit.None, transit], [read!.Spares[0].Transit, read.Spares[1].Transit]);
        string json = System.Text.Encoding.UTF8.GetString(text);
        Assert.Equal(transit != SpareTransit.None, json.Contains("transit", StringComparison.Ordinal));
    }

    [Fact]
    public void A_record_with_another_transit_is_damaged()
    {
        DeviceRecord record = RegistrySamples.Record("disk1");
        record = record with
        {
            Spares = [record.Spares[0] with { Transit = SpareTransit.Adding }, record.Spares[1]],
        };
        string text = System.Text.Encoding.UTF8.GetString(RegistryCodec.Encode(record))
            .Replace("adding", "lending", StringComparison.Ordinal);
        Assert.Equal(
            RegistryParse.Damaged,
            RegistryCodec.Decode(System.Text.Encoding.UTF8.GetBytes(text), record.Name, out _, out _));
    }

    private static System.Threading.CancellationToken Token => TestContext.Current.CancellationToken;

    private void Start() => _server = ControlServer.Start(SocketPath, _device);

    private async Task<ControlClient> ConnectAsync()
    {
        Start();
        ControlClient? client =
            await ControlClient.TryConnectAsync(SocketPath, "disk1", TimeSpan.FromSeconds(10), Token);
        Assert.NotNull(client);
        return client;
    }
}
