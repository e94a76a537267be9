using System;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>What the protocol has beyond reading and writing, seen through other people's clients.</summary>
public sealed class ProtocolTests
{
    private const long MiB = DeviceUnderTest.MiB;
    private const string State = "x-dmremap:state";

    // One sector in the middle of a unit cannot be read; it is sector 4003.
    private const string BadSector = "4003-4003 read";

    [Fact]
    public async Task Nbdinfo_shows_description_contexts_and_what_structured_replies_bring()
    {
        RequiredTools.SkipUnless("nbdinfo");
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(8 * MiB));
        CommandResult result = (await Command.RunAsync("nbdinfo", "--json", device.Uri)).Expect(0);
        using JsonDocument document = JsonDocument.Parse(result.Output);
        Assert.True(document.RootElement.GetProperty("structured").GetBoolean());
        JsonElement export = document.RootElement.GetProperty("exports")[0];
        Assert.Equal(
            $"dm-remap device {DeviceUnderTest.Name}", export.GetProperty("description").GetString());
        Assert.Equal(
            ["base:allocation", State],
            export.GetProperty("contexts").EnumerateArray().Select(context => context.GetString()));
        Assert.True(export.GetProperty("can_df").GetBoolean());
        Assert.True(export.GetProperty("can_cache").GetBoolean());
        Assert.True(export.GetProperty("can_fast_zero").GetBoolean());
        Assert.Equal(131_072, export.GetProperty("block_size_preferred").GetInt64());
        Assert.Equal(33_554_432, export.GetProperty("block_size_maximum").GetInt64());
    }

    [Fact]
    public async Task Nbdinfo_maps_remapped_and_lost_blocks_and_qemu_img_finds_all_allocated()
    {
        RequiredTools.SkipUnless("nbdinfo", "qemu-img", "nbdsh");
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(8 * MiB), "2000-2015 write", BadSector);
        // Two units are moved; one sector fails until it is given up.
        (await ShellAsync(device, "h.pwrite(b'\\1' * 8192, 2000 * 512)")).Expect(0);
        (await ShellAsync(
            device,
            $$"""
            import time
            for attempt in range(60):
                try:
                    h.pread(512, 4003 * 512)
                except nbd.Error as e:
                    assert e.errno == 'EIO', e
                found = []
                h.block_status(512, 4003 * 512, lambda c, o, e, err: found.append((c, e)), 0)
                if found == [('{{State}}', [512, 2])]:
                    break
                assert found == [('{{State}}', [512, 3])], found
                time.sleep(0.5)
            else:
                raise Exception('never lost: %s' % found)
            """, context: State)).Expect(0);
        CommandResult map =
            (await Command.RunAsync("nbdinfo", "--json", $"--map={State}", device.Uri)).Expect(0);
        using JsonDocument document = JsonDocument.Parse(map.Output);
        Assert.Equal(
            [(0L, 1_024_000L, 0), (1_024_000, 8192, 1), (1_032_192, 1_017_344, 0), (2_049_536, 512, 2),
                (2_050_048, (8 * MiB) - 2_050_048, 0)],
            document.RootElement.EnumerateArray().Select(extent => (
                extent.GetProperty("offset").GetInt64(),
                extent.GetProperty("length").GetInt64(),
                extent.GetProperty("type").GetInt32())));
        CommandResult qemu = (await Command.RunAsync(
            "qemu-img", "map", "--output=json", "-f", "raw", device.Uri)).Expect(0);
        using JsonDocument allocated = JsonDocument.Parse(qemu.Output);
        JsonElement whole = Assert.Single(allocated.RootElement.EnumerateArray());
        Assert.Equal(8 * MiB, whole.GetProperty("length").GetInt64());
        Assert.True(whole.GetProperty("data").GetBoolean());
        Assert.False(whole.GetProperty("zero").GetBoolean());
    }

    [Fact]
    public async Task Nbdsh_gets_the_good_chunks_around_a_bad_sector_and_its_offset()
    {
        RequiredTools.SkipUnless("nbdsh");
        byte[] content = Content.Of(8 * MiB);
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(content, BadSector);
        string chunks = Path.Combine(device.Folder, "chunks");
        (await ShellAsync(
            device,
            $$"""
            seen = []
            def chunk(data, offset, status, error):
                seen.append((offset, len(data), status))
                with open('{{chunks}}', 'ab') as f:
                    f.write(data)
                return 0
            try:
                h.pread_structured(1024 * 1024, 1536 * 1024, chunk)
                raise Exception('no error')
            except nbd.Error as e:
                assert e.errno == 'EIO', e
            # The physical block around the sector.
            bad = 4000 * 512
            end = 2560 * 1024
            assert seen == [(1536 * 1024, bad - 1536 * 1024, nbd.READ_DATA), (bad, 0, nbd.READ_ERROR),
                (bad + 4096, end - bad - 4096, nbd.READ_DATA)], seen
            assert h.pread(512, bad - 512)
            h.set_strict_mode(0)
            seen.clear()
            try:
                h.pread_structured(16384, bad - 1024, chunk, nbd.CMD_FLAG_DF)
                raise Exception('no error')
            except nbd.Error as e:
                assert e.errno == 'EIO', e
            assert seen == [(bad - 1024, 1024, nbd.READ_DATA), (bad, 0, nbd.READ_ERROR)], seen
            """)).Expect(0);
        byte[] got = await File.ReadAllBytesAsync(chunks, TestContext.Current.CancellationToken);
        int start = 1536 * 1024;
        int bad = 4000 * 512;
        byte[] expected =
        [
            .. content.AsSpan(start, bad - start), .. content.AsSpan(bad + 4096, (2560 * 1024) - bad - 4096),
            .. content.AsSpan(bad - 1024, 1024),
        ];
        Content.AssertEqual(expected, got, "the chunks");
    }

    /// <summary>
    /// Requests that a client must not send, with the strict mode of libnbd switched off: each has its error,
    /// none costs the connection, and the last one is served.
    /// </summary>
    [Fact]
    public async Task Illegal_requests_of_nbdsh_get_their_exact_errors()
    {
        RequiredTools.SkipUnless("nbdsh");
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(8 * MiB));
        (await ShellAsync(
            device,
            """
            h.set_strict_mode(0)
            size = 8 << 20
            def fails(errno, f, *a):
                try:
                    f(*a)
                except nbd.Error as e:
                    assert e.errno == errno, (e.errno, f, a)
                else:
                    raise Exception(('no error', f, a))
            cb = lambda *a: 0
            fails('EINVAL', h.pread, 512, 1)
            fails('EINVAL', h.pread, 100, 0)
            fails('EINVAL', h.pread, 1024, size - 512)
            fails('EINVAL', h.pread, 512, (1 << 63) - 512)
            fails('ENOSPC', h.pwrite, b'x' * 1024, size - 512)
            fails('EINVAL', h.pwrite, b'x' * 100, 0)
            fails('EINVAL', h.trim, 512, size)
            fails('ENOSPC', h.zero, 1024, size - 512)
            fails('EINVAL', h.zero, 511, 0)
            fails('EINVAL', h.cache, 512, size)
            fails('EINVAL', h.pread, 512, 0, 1 << 5)
            fails('EINVAL', h.pread, 512, 0, nbd.CMD_FLAG_REQ_ONE)
            fails('EINVAL', h.pwrite, b'x' * 512, 0, nbd.CMD_FLAG_DF)
            fails('EINVAL', h.flush, nbd.CMD_FLAG_NO_HOLE)
            fails('EINVAL', h.block_status, 512, 1, cb)
            fails('EINVAL', h.block_status, 1024, size - 512, cb)
            fails('EINVAL', h.block_status, 512, 0, cb, nbd.CMD_FLAG_DF)
            h.pread(512, 0, nbd.CMD_FLAG_FUA)
            h.flush(nbd.CMD_FLAG_FUA)
            h.cache(65536, 0)
            h.zero(4096, 0, nbd.CMD_FLAG_FAST_ZERO)
            assert h.pread(4096, 0) == bytearray(4096)
            one = []
            h.block_status(8192, 0, lambda c, o, e, err: one.append(e), nbd.CMD_FLAG_REQ_ONE)
            assert one == [[8192, 0]], one
            """, context: "base:allocation")).Expect(0);
        (await ShellAsync(
            device,
            """
            h.set_strict_mode(0)
            try:
                h.block_status(512, 0, lambda *a: 0)
                raise Exception('no error')
            except nbd.Error as e:
                assert e.errno in ('EINVAL', 'ENOTSUP'), e.errno
            assert len(h.pread(512, 0)) == 512
            """)).Expect(0);
    }

    [Fact]
    public async Task Read_only_device_is_shown_so_and_refuses_every_change_with_eperm()
    {
        RequiredTools.SkipUnless("nbdsh");
        byte[] content = Content.Of(8 * MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(content);
        await device.CreateAsync();
        await DeviceUnderTest.WaitUntilReadyAsync(device.StartServe("--read-only"));
        (await ShellAsync(
            device,
            """
            assert h.is_read_only()
            assert not h.can_trim() and not h.can_zero()
            h.set_strict_mode(0)
            for change in (lambda: h.pwrite(b'x' * 4096, 0), lambda: h.trim(4096, 0),
                    lambda: h.zero(4096, 0)):
                try:
                    change()
                    raise Exception('no error')
                except nbd.Error as e:
                    assert e.errno == 'EPERM', e.errno
            assert len(h.pread(4096, 0)) == 4096
            """)).Expect(0);
        await device.StopAsync();
        Content.AssertFile(content, device.MainPath);
    }

    /// <summary>
    /// Of a disk with a bad sector nbdcopy gets nothing but an error; without it, every byte.
    /// </summary>
    [Fact]
    public async Task Nbdcopy_and_qemu_img_copy_with_block_status_and_chunks()
    {
        RequiredTools.SkipUnless("nbdcopy", "qemu-img");
        byte[] content = Content.Of(8 * MiB);
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(content);
        string target = Path.Combine(device.Images, "target");
        (await Command.RunAsync("nbdcopy", "--request-size=1048576", device.Uri, target)).Expect(0);
        Content.AssertFile(content, target);
        (await Command.RunAsync(
            "qemu-img", "convert", "-f", "raw", "-O", "raw", "-S", "4k", device.Uri, target)).Expect(0);
        Content.AssertFile(content, target);
        await device.AddFaultAsync(BadSector);
        CommandResult failed = await Command.RunAsync("nbdcopy", device.Uri, target);
        Assert.NotEqual(0, failed.ExitCode);
        Assert.Contains("Input/output error", failed.Error, StringComparison.Ordinal);
    }

    /// <summary>
    /// Runs by itself where the installed libnbd speaks extended headers; elsewhere the conversations written
    /// from the protocol's text are the test.
    /// </summary>
    [Fact]
    public async Task Nbdsh_agrees_on_extended_headers_and_asks_for_all_at_once()
    {
        RequiredTools.SkipUnless("nbdsh");
        CommandResult version = (await NbdshAsync(
            "-c", "print(hasattr(h, 'get_extended_headers_negotiated'))")).Expect(0);
        Assert.SkipUnless(
            version.Output.Trim() == "True", "the installed libnbd does not speak extended headers");
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(Content.Of(8 * MiB));
        (await ShellAsync(
            device,
            """
            assert h.get_extended_headers_negotiated()
            found = []
            h.block_status_64(8 << 20, 0, lambda c, o, e, err: found.append(e))
            assert found == [[(8 << 20, 0)]], found
            assert len(h.pread(1 << 20, 0)) == 1 << 20
            """, context: "base:allocation")).Expect(0);
    }

    private static Task<CommandResult> ShellAsync(
        DeviceUnderTest device, string script, string? context = null)
    {
        string prepare = context is null ? "pass" : $"h.add_meta_context('{context}')";
        return NbdshAsync("-c", prepare, "-c", $"h.connect_uri('{device.Uri}')", "-c", script);
    }

    /// <summary>With the distribution's Python, which is the one that has the module.</summary>
    private static Task<CommandResult> NbdshAsync(params string[] arguments) =>
        Command.RunAsync("env", ["PATH=/usr/bin:/bin", "nbdsh", .. arguments]);
}
