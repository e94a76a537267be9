using System;
using System.Collections.Generic;
using System.IO;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>The clients that people have, on a disk with bad sectors.</summary>
public sealed class ClientTests
{
    private const long MiB = DeviceUnderTest.MiB;

    // In 512-byte sectors: the first unit, a cluster, one 512-byte sector in the middle of a unit, the last
    // unit.
    private static readonly string[] s_badWrites =
        ["0-7 write", "2000-2063 write", "4003-4003 write", "16376-16383 write"];

    [Fact]
    public async Task Nbdinfo_finds_the_export_by_name_and_by_default_with_size_and_abilities()
    {
        RequiredTools.SkipUnless("nbdinfo");
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(8 * MiB));
        string unnamed = $"nbd+unix:///?socket={device.SocketPath}";
        (await Command.RunAsync("nbdinfo", "--json", unnamed)).Expect(0);
        CommandResult result = (await Command.RunAsync("nbdinfo", "--list", "--json", unnamed)).Expect(0);
        using JsonDocument document = JsonDocument.Parse(result.Output);
        Assert.Equal("newstyle-fixed", document.RootElement.GetProperty("protocol").GetString());
        List<string?> names = [];
        foreach (JsonElement export in document.RootElement.GetProperty("exports").EnumerateArray())
        {
            names.Add(export.GetProperty("export-name").GetString());
            Assert.Equal(8 * MiB, export.GetProperty("export-size").GetInt64());
            Assert.False(export.GetProperty("is_read_only").GetBoolean());
            Assert.True(export.GetProperty("can_flush").GetBoolean());
            Assert.True(export.GetProperty("can_fua").GetBoolean());
            Assert.True(export.GetProperty("can_trim").GetBoolean());
            Assert.True(export.GetProperty("can_zero").GetBoolean());
            Assert.True(export.GetProperty("can_multi_conn").GetBoolean());
            Assert.Equal(512, export.GetProperty("block_size_minimum").GetInt64());
        }

        Assert.Equal([DeviceUnderTest.Name], names);
    }

    [Theory]
    [InlineData(DeviceUnderTest.Uring)]
    [InlineData(DeviceUnderTest.Epoll)]
    public async Task Nbdcopy_writes_over_bad_sectors_and_reads_back_every_byte(string backend)
    {
        RequiredTools.SkipUnless("nbdcopy");
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartOnAsync(backend, Content.Of(8 * MiB), s_badWrites);
        byte[] content = Content.Of(8 * MiB, version: 2);
        string source = Path.Combine(device.Images, "source");
        string target = Path.Combine(device.Images, "target");
        await File.WriteAllBytesAsync(source, content, TestContext.Current.CancellationToken);
        (await Command.RunAsync("nbdcopy", "--flush", source, device.Uri)).Expect(0);
        (await Command.RunAsync("nbdcopy", device.Uri, target)).Expect(0);
        Content.AssertFile(content, target);
        // Units: 1 + 8 + 1 + 1.
        Assert.Equal(11, await device.StatusNumberAsync("remaps"));
        Assert.Equal(0, await device.StatusNumberAsync("counters", "clientErrors"));
        Assert.Equal(0, await device.StatusNumberAsync("lostBlocks"));
        await device.StopAsync();
        await device.ServeAsync(s_badWrites);
        File.Delete(target);
        (await Command.RunAsync("nbdcopy", device.Uri, target)).Expect(0);
        Content.AssertFile(content, target);
    }

    [Theory]
    [InlineData(DeviceUnderTest.Uring)]
    [InlineData(DeviceUnderTest.Epoll)]
    public async Task Qemu_img_converts_onto_bad_sectors_and_finds_no_difference(string backend)
    {
        RequiredTools.SkipUnless("qemu-img");
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartOnAsync(backend, Content.Of(8 * MiB), s_badWrites);
        byte[] content = Content.Of(8 * MiB, version: 3);
        // A quarter of zeros: qemu-img turns them into WRITE_ZEROES, across the cluster's end.
        content.AsSpan((int)MiB, 2 * (int)MiB).Clear();
        string source = Path.Combine(device.Images, "source");
        string target = Path.Combine(device.Images, "target");
        await File.WriteAllBytesAsync(source, content, TestContext.Current.CancellationToken);
        (await Command.RunAsync(
            "qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, device.Uri)).Expect(0);
        (await Command.RunAsync("qemu-img", "compare", "-f", "raw", "-F", "raw", source,
            device.Uri)).Expect(0);
        (await Command.RunAsync(
            "qemu-img", "convert", "-f", "raw", "-O", "raw", device.Uri, target)).Expect(0);
        Content.AssertFile(content, target);
        Assert.Equal(0, await device.StatusNumberAsync("counters", "clientErrors"));
    }

    [Theory]
    [InlineData(DeviceUnderTest.Uring)]
    [InlineData(DeviceUnderTest.Epoll)]
    public async Task Qemu_io_patterns_read_back_across_remapped_units(string backend)
    {
        RequiredTools.SkipUnless("qemu-io");
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartOnAsync(backend, Content.Of(8 * MiB), s_badWrites);
        string[] patterns =
        [
            "write -P 0x11 0 64k", "write -P 0x22 1000k 128k", "write -P 0x33 2001k 512", "write -z 1020k 8k",
            "flush", "read -P 0x11 0 64k", "read -P 0x22 1000k 20k", "read -P 0x00 1020k 8k",
            "read -P 0x22 1028k 100k", "read -P 0x33 2001k 512", "write -f -P 0x44 8188k 4k",
            "read -P 0x44 8188k 4k",
            "discard 1004k 8k", "read 1000k 128k",
        ];
        List<string> arguments = ["-f", "raw"];
        foreach (string pattern in patterns)
        {
            arguments.AddRange(["-c", pattern]);
        }

        CommandResult result = (await Command.RunAsync("qemu-io", [.. arguments, device.Uri])).Expect(0);
        Assert.DoesNotContain("failed", result.Output + result.Error, StringComparison.OrdinalIgnoreCase);
        Assert.Equal(0, await device.StatusNumberAsync("counters", "clientErrors"));
    }

    [Theory]
    [InlineData(DeviceUnderTest.Uring)]
    [InlineData(DeviceUnderTest.Epoll)]
    public async Task Fio_sees_no_error_while_sectors_go_bad_under_it(string backend)
    {
        RequiredTools.SkipUnless("fio");
        const int Seed = 20260101;
        await using DeviceUnderTest device = await DeviceUnderTest.StartOnAsync(backend, new byte[32 * MiB]);
        RunningProgram fio = device.StartBeside(
            "fio", "--name=verify", "--ioengine=nbd", "--uri=" + device.Uri, "--rw=randrw", "--bs=4k",
            "--size=32m",
            "--iodepth=32", "--verify=crc32c", "--verify_fatal=1", "--rate_iops=2000,2000", "--randseed=7",
            "--output-format=json", "--output=" + Path.Combine(device.Images, "fio.json"));
        Random random = new(Seed);
        int added = 0;
        for (; added < 400 && !fio.HasEnded; added++)
        {
            // A small cluster anywhere: sectors that still read, but no longer take a write.
            long first = random.Next(0, 65_536 - 32);
            await device.AddFaultAsync($"{first}-{first + random.Next(1, 32)} write");
        }

        Assert.True(await fio.WaitForEndAsync(Command.TimeMax) == 0, $"seed {Seed}: {fio.Said}");
        Assert.True(added >= 3, $"only {added} rules were added while fio ran");
        string report = await File.ReadAllTextAsync(
            Path.Combine(device.Images, "fio.json"), TestContext.Current.CancellationToken);
        // fio puts notes before the report.
        using JsonDocument document =
            JsonDocument.Parse(report[report.IndexOf('{', StringComparison.Ordinal)..]);
        JsonElement job = document.RootElement.GetProperty("jobs")[0];
        Assert.Equal(0, job.GetProperty("error").GetInt32());
        Assert.NotEqual(0, job.GetProperty("write").GetProperty("total_ios").GetInt64());
        Assert.NotEqual(0, await device.StatusNumberAsync("remaps"));
        Assert.Equal(0, await device.StatusNumberAsync("lostBlocks"));
        Assert.Equal(0, await device.StatusNumberAsync("counters", "clientErrors"));
    }
}
