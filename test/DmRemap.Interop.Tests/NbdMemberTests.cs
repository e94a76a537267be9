using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>NBD exports as main device and spare, behind the real nbdkit.</summary>
public sealed class NbdMemberTests
{
    private const string Name = DeviceUnderTest.Name;
    private const long MiB = DeviceUnderTest.MiB;
    private const int Unit = DeviceUnderTest.UnitBytes;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task A_spare_that_is_an_export_takes_remaps_and_has_them_after_a_restart()
    {
        RequiredTools.SkipUnless("nbdkit");
        byte[] model = Content.Of(4 * MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(model);
        NbdKit spare = await NbdKit.StartAsync(
            device, "spare", new byte[DeviceUnderTest.SpareBytesDefault], "--filter=delay", "wdelay=2ms");
        await CreateAsync(device, device.MainPath, spare.Uri);
        await device.ServeAsync("1024-1279 write", "4096-4103 write");
        using (NbdTestClient client = await device.ConnectAsync())
        {
            await OverwriteAsync(client, model, 2);
            Assert.Equal(33, await device.SpareUnitsUsedAsync());
            await AssertContentAsync(client, model);
        }
        JsonElement status = (await device.StatusAsync()).GetProperty("spares")[0];
        Assert.Equal("nbd", status.GetProperty("mode").GetString());
        Assert.Equal("connected", status.GetProperty("connection").GetString());
        Assert.Equal(spare.Uri, status.GetProperty("path").GetString());
        string open = Path.Combine(device.RunFolder, Name + ".nbd-open");
        Assert.True(File.Exists(open));
        await device.KillAsync();
        // No claim tells when a killed instance's last write has landed: the next one waits.
        Stopwatch elapsed = Stopwatch.StartNew();
        await device.ServeAsync("1024-1279 write", "4096-4103 write");
        Assert.True(elapsed.Elapsed > TimeSpan.FromSeconds(5), device.Server.Said);
        using NbdTestClient again = await device.ConnectAsync();
        await AssertContentAsync(again, model);
        await device.StopAsync();
        Assert.False(File.Exists(open));
        // What was remapped is not on the main device: it lies behind the export.
        byte[] main = await File.ReadAllBytesAsync(
            device.MainPath, TestContext.Current.CancellationToken);
        Assert.False(main.AsSpan(4096 * 512, Unit).SequenceEqual(model.AsSpan(4096 * 512, Unit)));
        byte[] behind = await File.ReadAllBytesAsync(
            spare.FilePath, TestContext.Current.CancellationToken);
        Assert.True(behind.AsSpan().IndexOf(model.AsSpan(4096 * 512, Unit)) > 0);
    }

    [Fact]
    public async Task A_main_device_that_is_an_export_whose_writes_fail_now_and_then_is_served_whole()
    {
        RequiredTools.SkipUnless("nbdkit");
        byte[] model = Content.Of(4 * MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[MiB]);
        NbdKit main = await NbdKit.StartAsync(
            device, "main", model, "--filter=error", "error-pwrite=EIO", "error-pwrite-rate=10%");
        await CreateAsync(device, main.Uri, device.SparePath);
        await device.ServeAsync("2048-2079 write");
        using (NbdTestClient client = await device.ConnectAsync())
        {
            await AssertContentAsync(client, model);
            await OverwriteAsync(client, model, 2);
            await AssertContentAsync(client, model);
            Assert.True(await device.SpareUnitsUsedAsync() >= 4);
        }
        await device.StopAsync();
        await device.ServeAsync("2048-2079 write");
        using NbdTestClient again = await device.ConnectAsync();
        await AssertContentAsync(again, model);
        await device.StopAsync();
    }

    [Fact]
    public async Task A_main_device_whose_server_dies_is_gone_remaps_nothing_and_comes_back()
    {
        RequiredTools.SkipUnless("nbdkit");
        byte[] model = Content.Of(MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[MiB]);
        NbdKit main = await NbdKit.StartAsync(device, "main", model);
        await CreateAsync(device, main.Uri, device.SparePath);
        await DeviceUnderTest.WaitUntilReadyAsync(device.StartServe("--on-gone=fail"));
        using NbdTestClient client = await device.ConnectAsync();
        Assert.Equal(0u, await client.FlushAsync());
        await main.KillAsync();
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(NbdTestClient.ErrorIo, await client.WriteAsync(i * Unit, new byte[Unit]));
            Assert.Equal(NbdTestClient.ErrorIo, await client.ReadAsync(i * Unit, new byte[Unit]));
        }
        JsonElement status = await device.StatusAsync();
        Assert.Contains("gone", status.GetProperty("conditions").EnumerateArray().Select(c => c.GetString()));
        Assert.Equal("disconnected", status.GetProperty("primary").GetProperty("connection").GetString());
        Assert.Equal(0, status.GetProperty("remaps").GetInt64());
        Assert.Equal(0, status.GetProperty("lostBlocks").GetInt64());
        await main.StartAgainAsync();
        await SaidAsync(device, "DMR-EVENT-MEMBER-BACK");
        // No write was acknowledged that was not flushed: nothing is uncertain.
        Assert.Equal(0u, await client.WriteAsync(40 * Unit, model.AsMemory(0, Unit)));
        Assert.Equal(0u, await client.FlushAsync());
        Assert.Equal(0, await device.StatusNumberAsync("remaps"));
        await device.StopAsync();
    }

    [Fact]
    public async Task A_server_that_dies_with_unflushed_writes_fails_one_flush_of_each_client()
    {
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[MiB]);
        NbdKit main = await NbdKit.StartAsync(device, "main", Content.Of(MiB));
        await CreateAsync(device, main.Uri, device.SparePath);
        await device.ServeAsync();
        using NbdTestClient client = await device.ConnectAsync();
        Assert.Equal(0u, await client.FlushAsync());
        Assert.Equal(0u, await client.WriteAsync(0, new byte[Unit]));
        await main.KillAsync();
        await SaidAsync(device, "DMR-EVENT-MEMBER-GONE");
        await main.StartAgainAsync();
        await SaidAsync(device, "DMR-EVENT-MEMBER-BACK");
        Assert.Equal(NbdTestClient.ErrorIo, await client.FlushAsync());
        Assert.Equal(0u, await client.WriteAsync(40 * Unit, new byte[Unit]));
        Assert.Equal(0u, await client.FlushAsync());
        JsonElement status = await device.StatusAsync();
        Assert.Contains(
            "volatile-lost", status.GetProperty("conditions").EnumerateArray().Select(c => c.GetString()));
        Assert.Equal(8, status.GetProperty("uncertainBlocks").GetInt64());
        using (NbdTestClient late = await device.ConnectAsync())
        {
            Assert.Equal(NbdTestClient.ErrorIo, await late.FlushAsync());
        }
        (await device.RunAsync("clear", Name, "volatile-lost")).Expect(0);
        using (NbdTestClient late = await device.ConnectAsync())
        {
            Assert.Equal(0u, await late.FlushAsync());
        }
        await device.StopAsync();
    }

    [Fact]
    public async Task A_spare_whose_server_dies_is_missing_and_lends_units_again_when_it_is_back()
    {
        RequiredTools.SkipUnless("nbdkit");
        byte[] model = Content.Of(MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(model);
        NbdKit spare = await NbdKit.StartAsync(
            device, "spare", new byte[DeviceUnderTest.SpareBytesDefault]);
        using NbdTestClient client = await ServeWithUnitOnSpareAsync(device, spare, model);
        await spare.KillAsync();
        await SaidAsync(device, "DMR-EVENT-MEMBER-GONE");
        Assert.Equal(NbdTestClient.ErrorIo, await client.WriteAsync(1600 * 512, new byte[Unit]));
        Assert.Equal(NbdTestClient.ErrorIo, await client.ReadAsync(800 * 512, new byte[Unit]));
        byte[] healthy = new byte[Unit];
        Assert.Equal(0u, await client.ReadAsync(0, healthy));
        Content.AssertEqual(model.AsSpan(0, Unit), healthy, "a healthy unit");
        JsonElement status = await device.StatusAsync();
        Assert.Equal("missing", status.GetProperty("spares")[0].GetProperty("state").GetString());
        Assert.Equal(1, status.GetProperty("remaps").GetInt64());
        await spare.StartAgainAsync();
        await SaidAsync(device, "DMR-EVENT-MEMBER-BACK");
        Content.Fill(model.AsSpan(1600 * 512, Unit), 1600 * 512, 3);
        Assert.Equal(0u, await client.WriteAsync(1600 * 512, model.AsMemory(1600 * 512, Unit)));
        Assert.Equal(2, await device.StatusNumberAsync("remaps"));
        // A place that failed as gone is suspect for a moment.
        await EventuallyReadsAsync(client, model);
    }

    /// <summary>A server that was set up anew, say. Nothing is under way when its connection ends.</summary>
    [Fact]
    public async Task Another_export_at_the_address_of_a_spare_gets_nothing_and_gives_nothing()
    {
        RequiredTools.SkipUnless("nbdkit");
        byte[] model = Content.Of(MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(model);
        NbdKit spare = await NbdKit.StartAsync(
            device, "spare", new byte[DeviceUnderTest.SpareBytesDefault]);
        using NbdTestClient client = await ServeWithUnitOnSpareAsync(device, spare, model);
        await spare.KillAsync();
        byte[] right = await File.ReadAllBytesAsync(spare.FilePath, TestContext.Current.CancellationToken);
        byte[] other = Content.Of(DeviceUnderTest.SpareBytesDefault, version: 7);
        await File.WriteAllBytesAsync(spare.FilePath, other, TestContext.Current.CancellationToken);
        await spare.StartAgainAsync();
        await SaidAsync(device, "DMR-EVENT-STRANGER");
        Assert.Equal(NbdTestClient.ErrorIo, await client.ReadAsync(800 * 512, new byte[Unit]));
        Assert.Equal(NbdTestClient.ErrorIo, await client.WriteAsync(800 * 512, new byte[512]));
        Assert.Equal(NbdTestClient.ErrorIo, await client.WriteAsync(1600 * 512, new byte[Unit]));
        await spare.KillAsync();
        byte[] found = await File.ReadAllBytesAsync(spare.FilePath, TestContext.Current.CancellationToken);
        Content.AssertEqual(other, found, "the other export");
        await File.WriteAllBytesAsync(spare.FilePath, right, TestContext.Current.CancellationToken);
        await spare.StartAgainAsync();
        await SaidAsync(device, "DMR-EVENT-MEMBER-BACK");
        await EventuallyReadsAsync(client, model);
    }

    [Fact]
    public async Task A_spare_whose_server_is_stopped_delays_nothing_else_and_stop_keeps_its_deadline()
    {
        RequiredTools.SkipUnless("nbdkit");
        byte[] model = Content.Of(MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(model);
        NbdKit spare = await NbdKit.StartAsync(
            device, "spare", new byte[DeviceUnderTest.SpareBytesDefault]);
        await CreateAsync(device, device.MainPath, spare.Uri);
        await device.ServeAsync("800-807 write");
        using NbdTestClient client = await device.ConnectAsync();
        using NbdTestClient other = await device.ConnectAsync();
        await spare.HoldAsync();
        try
        {
            Task<uint> stuck = client.WriteAsync(800 * 512, new byte[Unit]);
            for (int i = 0; i < 50; i++)
            {
                Assert.Equal(0u, await other.ReadAsync(i * Unit, new byte[Unit]));
            }
            Assert.False(stuck.IsCompleted);
            Stopwatch elapsed = Stopwatch.StartNew();
            CommandResult stop = (await device.RunAsync("stop", Name, "--deadline", "1")).Expect(7);
            Assert.True(elapsed.Elapsed < TimeSpan.FromSeconds(10), stop.ToString());
            Assert.Equal(7, await device.Server.WaitForEndAsync(s_patience));
            await Assert.ThrowsAnyAsync<Exception>(() => stuck);
        }
        finally
        {
            await spare.ReleaseAsync();
        }
        await device.ServeAsync("800-807 write");
        await device.StopAsync();
    }

    [Fact]
    public async Task Exports_that_cannot_be_members_are_refused_by_name_and_nothing_is_left()
    {
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(MiB));
        NbdKit spare = await NbdKit.StartAsync(
            device, "spare", new byte[DeviceUnderTest.SpareBytesDefault]);
        NbdKit used = await NbdKit.StartAsync(
            device, "used", Content.Of(DeviceUnderTest.SpareBytesDefault));
        NbdKit small = await NbdKit.StartAsync(device, "small", new byte[MiB]);
        NbdKit readOnly = await NbdKit.StartAsync(
            device, "ro", new byte[DeviceUnderTest.SpareBytesDefault], "-r");
        string none = $"nbd+unix:///?socket={Path.Combine(device.Folder, "none")}";
        await RefusedAsync(device, device.MainPath, none, 3, "DMR-NBD-UNREACHABLE");
        await RefusedAsync(device, none, device.SparePath, 3, "DMR-NBD-UNREACHABLE");
        await RefusedAsync(device, device.MainPath, "nbds://localhost/x", 2, "DMR-NBD-URI");
        await RefusedAsync(device, spare.Uri, spare.Uri, 5, "DMR-MEMBER-SAME");
        await RefusedAsync(device, device.MainPath, used.Uri, 5, "DMR-SPARE-FOREIGN-DATA");
        await RefusedAsync(device, device.MainPath, small.Uri, 2, "DMR-SPARE-TOO-SMALL");
        await RefusedAsync(device, device.MainPath, readOnly.Uri, 2, "DMR-NBD-UNSUITABLE");
        await CreateAsync(device, device.MainPath, spare.Uri);
        (await device.RunAsync("delete", Name, "--yes")).Expect(0);
        // Its superblocks say whose it is, also when no record does.
        await RefusedAsync(device, device.MainPath, spare.Uri, 5, "DMR-META-WRONG-SET");
    }

    [Fact]
    public async Task Serve_without_the_server_of_a_member_ends_with_3_and_says_where_it_looked()
    {
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(MiB));
        NbdKit spare = await NbdKit.StartAsync(
            device, "spare", new byte[DeviceUnderTest.SpareBytesDefault]);
        await CreateAsync(device, device.MainPath, spare.Uri);
        await spare.KillAsync();
        RunningProgram server = device.StartServe();
        Assert.Equal(3, await server.WaitForEndAsync(s_patience));
        Assert.Contains("DMR-NBD-UNREACHABLE", server.Said, StringComparison.Ordinal);
        Assert.Contains(spare.Uri, server.Said, StringComparison.Ordinal);
        await File.WriteAllBytesAsync(
            spare.FilePath, new byte[DeviceUnderTest.SpareBytesDefault],
            TestContext.Current.CancellationToken);
        await spare.StartAgainAsync();
        server = device.StartServe();
        Assert.Equal(6, await server.WaitForEndAsync(s_patience));
        Assert.Contains("DMR-META-NONE", server.Said, StringComparison.Ordinal);
    }

    private static async Task CreateAsync(DeviceUnderTest device, string main, string spare) =>
        (await device.RunAsync("create", Name, "--main", main, "--spare", spare, "--yes")).Expect(0);

    /// <summary>
    /// Block 800 on, flushed; 1600 on would go there, too. What needs a spare that is away fails at once.
    /// </summary>
    private static async Task<NbdTestClient> ServeWithUnitOnSpareAsync(
        DeviceUnderTest device, NbdKit spare, byte[] model)
    {
        await CreateAsync(device, device.MainPath, spare.Uri);
        await device.ServeAsync(["--on-gone=fail"], "800-807 write", "1600-1607 write");
        NbdTestClient client = await device.ConnectAsync();
        Content.Fill(model.AsSpan(800 * 512, Unit), 800 * 512, 2);
        Assert.Equal(0u, await client.WriteAsync(800 * 512, model.AsMemory(800 * 512, Unit)));
        Assert.Equal(0u, await client.FlushAsync());
        return client;
    }

    private static async Task RefusedAsync(
        DeviceUnderTest device, string main, string spare, int exitCode, string id)
    {
        CommandResult result =
            (await device.RunAsync("create", Name, "--main", main, "--spare", spare, "--yes"))
            .Expect(exitCode);
        Assert.Contains(id, result.Error, StringComparison.Ordinal);
        (await device.RunAsync("status", Name)).Expect(3);
    }

    private static Task<string> SaidAsync(DeviceUnderTest device, string id) =>
        device.Server.WaitForLineAsync(line => line.StartsWith(id, StringComparison.Ordinal), s_patience);

    private static async Task OverwriteAsync(NbdTestClient client, byte[] model, long version)
    {
        const int piece = 64 * 1024;
        Content.Fill(model, 0, version);
        for (int at = 0; at < model.Length; at += piece)
        {
            Assert.Equal(0u, await client.WriteAsync(at, model.AsMemory(at, piece)));
        }
        Assert.Equal(0u, await client.FlushAsync());
    }

    private static async Task AssertContentAsync(NbdTestClient client, byte[] model)
    {
        byte[] found = new byte[model.Length];
        Assert.Equal(0u, await client.ReadAsync(0, found));
        Content.AssertEqual(model, found, "the device");
    }

    private static async Task EventuallyReadsAsync(NbdTestClient client, byte[] model)
    {
        byte[] found = new byte[model.Length];
        Stopwatch elapsed = Stopwatch.StartNew();
        while (await client.ReadAsync(0, found) != 0)
        {
            Assert.True(elapsed.Elapsed < s_patience, "the device does not read again");
            await Task.Delay(100);
        }
        Content.AssertEqual(model, found, "the device");
    }
}
