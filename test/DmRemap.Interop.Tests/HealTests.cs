using System;
using System.IO;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>Places that failed are used again once the disk keeps what is written there (P8, F-4).</summary>
public sealed class HealTests
{
    private const long MiB = DeviceUnderTest.MiB;
    private const int Unit = DeviceUnderTest.UnitBytes;

    /// <summary>Twelve passes of a second, and whatever the machine does meanwhile.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(120);

    private static CancellationToken Ended => TestContext.Current.CancellationToken;

    private static readonly string[] s_healing = ["--heal=on:1"];

    /// <summary>Also: writes in probation, a kill in it, and a place that stays bad.</summary>
    [Fact]
    public async Task Places_that_the_disk_repaired_are_in_use_again_after_a_kill_and_the_bad_one_is_not()
    {
        byte[] model = Content.Of(2 * MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(model);
        await device.CreateAsync();
        string[] faults = ["1024-1087 write", "2048-2055 write"];
        await device.ServeAsync(s_healing, faults);
        await WriteAsync(device, model, 1024 * 512, 8, version: 2);
        await WriteAsync(device, model, 2048 * 512, 1, version: 2);
        Assert.Equal(9, await device.StatusNumberAsync("remaps"));
        (await device.RunAsync("faults", DeviceUnderTest.Name, "clear", "1024-1087 write")).Expect(0);
        await WaitAsync(device, "inProbation", 8);
        await WriteAsync(device, model, 1024 * 512, 3, version: 3);
        await device.KillAsync();
        await device.ServeAsync(s_healing, "2048-2055 write");
        Assert.Equal(8, await device.StatusNumberAsync("healing", "inProbation"));
        await WriteAsync(device, model, (1024 * 512) + (4 * Unit), 1, version: 4);
        await WaitAsync(device, "healed", 8);
        await WaitAsync(device, "inProbation", 0);
        Assert.Equal(1, await device.StatusNumberAsync("remaps"));
        await AssertContentAsync(device, model);
        string text = (await device.RunAsync("status", DeviceUnderTest.Name)).Expect(0).Output;
        Assert.Contains("healing: 0 units rewritten on the main device and watched, 8 back there", text,
            StringComparison.Ordinal);
        await device.StopAsync();
        byte[] image = await File.ReadAllBytesAsync(device.MainPath, Ended);
        Content.AssertEqual(
            model.AsSpan(1024 * 512, 8 * Unit), image.AsSpan(1024 * 512, 8 * Unit), "the main device");
    }

    [Fact]
    public async Task Nothing_is_rewritten_where_healing_is_off()
    {
        byte[] model = Content.Of(MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(model);
        await device.CreateAsync();
        await device.ServeAsync(["--heal=off"], "1024-1031 write");
        await WriteAsync(device, model, 1024 * 512, 1, version: 2);
        JsonElement healing = (await device.StatusAsync()).GetProperty("healing");
        Assert.False(healing.GetProperty("on").GetBoolean());
        (await device.RunAsync("faults", DeviceUnderTest.Name, "clear", "1024-1031 write")).Expect(0);
        await Task.Delay(TimeSpan.FromSeconds(2.5), Ended);
        Assert.Equal(0, await device.StatusNumberAsync("healing", "rewritten"));
        Assert.Equal(1, await device.StatusNumberAsync("remaps"));
    }

    /// <summary>While the disk is read, as it is by whoever uses it: else its cache could answer.</summary>
    private static async Task WaitAsync(DeviceUnderTest device, string count, long wanted)
    {
        using CancellationTokenSource end = new(s_patience);
        using NbdTestClient client = await device.ConnectAsync();
        byte[] read = new byte[256 * 1024];
        while (await device.StatusNumberAsync("healing", count) != wanted)
        {
            for (int i = 0; i < 8; i++)
            {
                Assert.Equal(0u, await client.ReadAsync(0, read));
            }
            await Task.Delay(100, end.Token);
        }
    }

    private static async Task WriteAsync(
        DeviceUnderTest device, byte[] model, int offset, int units, int version)
    {
        using NbdTestClient client = await device.ConnectAsync();
        for (int at = offset; at < offset + (units * Unit); at += Unit)
        {
            Content.Fill(model.AsSpan(at, Unit), at, version);
            Assert.Equal(0u, await client.WriteAsync(at, model.AsMemory(at, Unit)));
        }
    }

    private static async Task AssertContentAsync(DeviceUnderTest device, byte[] model)
    {
        using NbdTestClient client = await device.ConnectAsync();
        byte[] read = new byte[128 * 1024];
        for (int at = 0; at < model.Length; at += read.Length)
        {
            Assert.Equal(0u, await client.ReadAsync(at, read));
            Content.AssertEqual(model.AsSpan(at, read.Length), read, $"what is at {at}");
        }
    }
}
