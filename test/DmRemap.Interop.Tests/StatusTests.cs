using System;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>What the program says about a device, running and stopped.</summary>
public sealed class StatusTests
{
    private static readonly string[] s_fields =
    [
        "name", "uuid", "state", "conditions", "backend", "primary", "spares", "remaps", "lostBlocks",
        "counters",
    ];

    [Fact]
    public async Task Status_as_json_has_the_fields_that_scripts_rely_on()
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(DeviceUnderTest.MiB));
        JsonElement running = await device.StatusAsync();
        foreach (string field in s_fields)
        {
            Assert.True(running.TryGetProperty(field, out _), field);
        }

        Assert.Equal("running", running.GetProperty("state").GetString());
        await device.StopAsync();
        JsonElement stopped = await device.StatusAsync();
        Assert.Equal("stopped", stopped.GetProperty("state").GetString());
        Assert.Equal(running.GetProperty("uuid").GetString(), stopped.GetProperty("uuid").GetString());
    }

    [Fact]
    public async Task Serve_with_json_says_that_it_is_ready_in_one_line_of_json()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(DeviceUnderTest.MiB));
        await device.CreateAsync();
        RunningProgram server = device.StartServe("--json");
        string line = await server.WaitForLineAsync(
            said => said.StartsWith('{'), TimeSpan.FromSeconds(30));
        using JsonDocument ready = JsonDocument.Parse(line);
        Assert.True(ready.RootElement.GetProperty("ready").GetBoolean());
        Assert.Equal(DeviceUnderTest.Name, ready.RootElement.GetProperty("name").GetString());
        Assert.Equal(device.Uri, ready.RootElement.GetProperty("exports")[0].GetString());
        Assert.Equal(server.Id, ready.RootElement.GetProperty("pid").GetInt32());
        Assert.DoesNotContain("ready nbd", server.Said, StringComparison.Ordinal);
        JsonElement metadata = (await device.StatusAsync()).GetProperty("metadata");
        Assert.True(metadata.GetProperty("firstStart").GetBoolean());
        await device.StopAsync();
    }

    [Fact]
    public async Task Lost_blocks_are_listed_in_status_where_they_are()
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(DeviceUnderTest.MiB));
        await device.AddFaultAsync("800-802 read");
        using (NbdTestClient client = await device.ConnectAsync())
        {
            // Given up at the third failure; the retries in between are 1 and 2 seconds apart.
            DateTime end = TimeProvider.System.GetUtcNow().UtcDateTime + TimeSpan.FromSeconds(30);
            while (await device.StatusNumberAsync("lostBlocks") == 0)
            {
                Assert.True(TimeProvider.System.GetUtcNow().UtcDateTime < end,
                    "the blocks were never given up");
                Assert.Equal(5u, await client.ReadAsync(800 * 512, new byte[4096]));
                await Task.Delay(500, TestContext.Current.CancellationToken);
            }
        }

        // The physical sector is what one bad spot costs: eight blocks.
        JsonElement status = await device.StatusAsync();
        Assert.Equal(8, status.GetProperty("lostBlocks").GetInt64());
        JsonElement lost = Assert.Single(status.GetProperty("lostExtents").EnumerateArray());
        Assert.Equal(800, lost.GetProperty("firstBlock").GetInt64());
        Assert.Equal(8, lost.GetProperty("blocks").GetInt64());
    }

    [Fact]
    public async Task List_names_the_device_and_version_is_a_number()
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(DeviceUnderTest.MiB));
        Assert.Contains(DeviceUnderTest.Name, (await device.RunAsync("list")).Expect(0).Output,
            StringComparison.Ordinal);
        Assert.Matches(
            @"^dmremap [0-9]+\.[0-9]+\.[0-9]+\n$", (await device.RunAsync("--version")).Expect(0).Output);
    }

    [Fact]
    public async Task Commands_answer_while_clients_write()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(
            Content.Of(DeviceUnderTest.MiB), "800-900 write");
        using NbdTestClient client = await device.ConnectAsync();
        Task load = WriteAsync(client);
        for (int i = 0; i < 5; i++)
        {
            await device.StatusAsync();
        }

        await load;
        await device.StopAsync();
    }

    private static async Task WriteAsync(NbdTestClient client)
    {
        byte[] content = Content.Of(DeviceUnderTest.UnitBytes, version: 2);
        for (int i = 0; i < 2000; i++)
        {
            Assert.Equal(0u, await client.WriteAsync(i % 256 * DeviceUnderTest.UnitBytes, content));
        }
    }
}
