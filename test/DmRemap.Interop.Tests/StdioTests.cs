using System;
using System.IO;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>One client on standard input and output, as libnbd's connect_command makes it.</summary>
public sealed class StdioTests
{
    private const long MiB = DeviceUnderTest.MiB;

    [Fact]
    public async Task Client_on_standard_input_is_served_and_its_end_is_a_clean_stop()
    {
        RequiredTools.SkipUnless("nbdsh");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        await device.CreateAsync();
        string code = Path.Combine(device.Folder, "code");
        // The shell between the two writes down how the server ended; its own output is the socket.
        string script = $"'{DeviceUnderTest.Program}' serve dev --stdio; echo $? > '{code}'";
        (await NbdShell.RunAsync(
            device.Environment,
            $"""
            h.connect_command(['bash', '-c', "{script}"])
            assert h.get_size() == 8 << 20
            h.pwrite(b'w' * 4096, 8192)
            assert h.pread(4096, 8192) == b'w' * 4096
            h.shutdown()
            """)).Expect(0);
        Assert.Equal("0", await WaitForLineAsync(code));
        Assert.False(File.Exists(device.SocketPath), "the usual socket was made too");
        (await device.RunAsync("check", "dev")).Expect(0);
        byte[] image = await File.ReadAllBytesAsync(
            device.MainPath, TestContext.Current.CancellationToken);
        Assert.Equal((byte)'w', image[8192]);
    }

    /// <summary>The last reply is inside TLS when the client's connection ends, and it has it.</summary>
    [Fact]
    public async Task Client_on_standard_input_is_served_inside_tls()
    {
        RequiredTools.SkipUnless("nbdsh");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        using TestCertificates certificates = new(device.Folder, "a");
        await device.CreateAsync();
        string code = Path.Combine(device.Folder, "code");
        string script = $"'{DeviceUnderTest.Program}' serve dev --stdio --tls require "
            + $"--tls-dir '{certificates.ServerFolder}'; echo $? > '{code}'";
        (await NbdShell.RunAsync(
            device.Environment,
            $"""
            h.set_tls(nbd.TLS_REQUIRE)
            h.set_tls_certificates('{certificates.ClientFolder}')
            h.connect_command(['bash', '-c', "{script}"])
            assert h.get_tls_negotiated()
            h.pwrite(b'w' * (2 << 20), 8192)
            assert h.pread(2 << 20, 8192) == b'w' * (2 << 20)
            h.shutdown()
            """)).Expect(0);
        Assert.Equal("0", await WaitForLineAsync(code));
        (await device.RunAsync("check", "dev")).Expect(0);
    }

    [Fact]
    public async Task Client_that_vanishes_is_a_clean_stop_too()
    {
        RequiredTools.SkipUnless("nbdsh");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        await device.CreateAsync();
        string code = Path.Combine(device.Folder, "code");
        string script = $"'{DeviceUnderTest.Program}' serve dev --stdio; echo $? > '{code}'";
        CommandResult killed = await NbdShell.RunAsync(
            device.Environment,
            $"""
            import os
            h.connect_command(['bash', '-c', "{script}"])
            h.pread(4096, 0)
            os.kill(os.getpid(), 9)
            """);
        Assert.NotEqual(0, killed.ExitCode);
        Assert.Equal("0", await WaitForLineAsync(code));
        (await device.RunAsync("check", "dev")).Expect(0);
    }

    /// <summary>The message is on standard error, and the client sees an end.</summary>
    [Fact]
    public async Task Start_that_is_refused_says_nothing_to_the_client()
    {
        RequiredTools.SkipUnless("nbdsh");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        CommandResult result = await NbdShell.RunAsync(
            device.Environment,
            $"h.connect_command(['{DeviceUnderTest.Program}', 'serve', 'dev', '--stdio', '--json'])");
        Assert.NotEqual(0, result.ExitCode);
        Assert.Contains("DMR-USAGE", result.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("magic", result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--stdio")]
    [InlineData("--stdio </dev/null")]
    public async Task Standard_input_that_is_no_socket_is_refused(string arguments)
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        await device.CreateAsync();
        CommandResult result = (await Command.RunAsync(
            "bash", ["-c", $"\"$0\" serve dev {arguments}", DeviceUnderTest.Program],
            device.Environment)).Expect(2);
        Assert.Contains("DMR-STDIO-NO-SOCKET", result.Error, StringComparison.Ordinal);
        Assert.Equal("", result.Output);
    }

    private static async Task<string> WaitForLineAsync(string path)
    {
        string text = "";
        for (int i = 0; i < 300 && !text.EndsWith('\n'); i++)
        {
            await Task.Delay(100, TestContext.Current.CancellationToken);
            text = File.Exists(path)
                ? await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken)
                : "";
        }
        return text.Trim();
    }
}
