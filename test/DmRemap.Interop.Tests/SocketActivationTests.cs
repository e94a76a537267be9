using System;
using System.Collections.Generic;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>Sockets that somebody else has opened: libnbd, systemd, or a shell that gets it wrong.</summary>
public sealed class SocketActivationTests
{
    private const long MiB = DeviceUnderTest.MiB;

    [Fact]
    public async Task Libnbd_starts_the_server_with_a_socket_of_its_own_and_ends_it_cleanly()
    {
        RequiredTools.SkipUnless("nbdsh");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        await device.CreateAsync();
        (await NbdShell.RunAsync(
            device.Environment,
            $"""
            h.connect_systemd_socket_activation(['{DeviceUnderTest.Program}', 'serve', 'dev'])
            assert h.get_size() == 8 << 20
            h.pwrite(b'w' * 4096, 8192)
            h.flush()
            assert h.pread(4096, 8192) == b'w' * 4096
            h.shutdown()
            """)).Expect(0);
        Assert.False(File.Exists(device.SocketPath), "the usual socket was made too");
        await WaitUntilNotRunningAsync(device);
        byte[] image = await File.ReadAllBytesAsync(
            device.MainPath, TestContext.Current.CancellationToken);
        Assert.Equal((byte)'w', image[8192]);
    }

    [Fact]
    public async Task Nbdinfo_and_nbdcopy_run_the_server_in_brackets()
    {
        RequiredTools.SkipUnless("nbdinfo", "nbdcopy");
        byte[] content = Content.Of(8 * MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(content);
        await device.CreateAsync();
        CommandResult size = (await Command.RunAsync(
            "nbdinfo", ["--size", "[", DeviceUnderTest.Program, "serve", "dev", "]"],
            device.Environment)).Expect(0);
        Assert.Contains("8388608", size.Output, StringComparison.Ordinal);
        await WaitUntilNotRunningAsync(device);
        string target = Path.Combine(device.Images, "target");
        (await Command.RunAsync(
            "nbdcopy", ["--", "[", DeviceUnderTest.Program, "serve", "dev", "]", target],
            device.Environment)).Expect(0);
        Content.AssertFile(content, target);
    }

    /// <summary>Where libnbd starts it, standard output is its client's too.</summary>
    [Theory]
    [InlineData("", "ready nbd+unix:///dev?socket=")]
    [InlineData("--json", "\"ready\":true")]
    public async Task Standard_output_stays_the_clients_where_sockets_are_passed(string option, string ready)
    {
        RequiredTools.SkipUnless("nbdcopy");
        byte[] content = Content.Of(8 * MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(content);
        await device.CreateAsync();
        string target = Path.Combine(device.Images, "target");
        CommandResult copied = (await Command.RunAsync(
            "bash",
            ["-c", $"nbdcopy -- [ \"$0\" serve dev {option} ] - > \"$1\"", DeviceUnderTest.Program, target],
            device.Environment)).Expect(0);
        Content.AssertFile(content, target);
        Assert.Contains(ready, copied.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Systemd_passes_a_unix_socket_and_a_port_and_keeps_them_after_the_end()
    {
        RequiredTools.SkipUnless("systemd-socket-activate", "nbdinfo");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        await device.CreateAsync();
        string path = Path.Combine(device.Folder, "given");
        int port = FreePort();
        RunningProgram server = Activate(device, [path, $"127.0.0.1:{port}"]);
        await WaitForFileAsync(path);
        string unix = $"nbd+unix:///dev?socket={path}";
        (await Command.RunAsync("nbdinfo", unix)).Expect(0);
        Assert.Equal($"ready {unix}", await DeviceUnderTest.WaitUntilReadyAsync(server));
        (await Command.RunAsync("nbdinfo", $"nbd://127.0.0.1:{port}/dev")).Expect(0);
        Assert.Contains($"also nbd://127.0.0.1:{port}/dev", server.Said, StringComparison.Ordinal);
        (await device.RunAsync("stop", "dev")).Expect(0);
        Assert.Equal(0, await server.WaitForEndAsync(TimeSpan.FromSeconds(30)));
        Assert.True(File.Exists(path), "the socket of the service manager was removed");
    }

    [Fact]
    public async Task Port_that_other_machines_reach_is_refused_also_when_it_is_passed()
    {
        RequiredTools.SkipUnless("systemd-socket-activate");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        await device.CreateAsync();
        int port = FreePort();
        RunningProgram server = Activate(device, [$"0.0.0.0:{port}"]);
        await server.WaitForLineAsync(
            line => line.StartsWith("Listening on", StringComparison.Ordinal), TimeSpan.FromSeconds(30));
        using TcpClient client = new();
        await client.ConnectAsync(
            IPAddress.Loopback, port, TestContext.Current.CancellationToken);
        Assert.Equal(5, await server.WaitForEndAsync(TimeSpan.FromSeconds(30)));
        Assert.Contains("DMR-LISTEN-NOT-LOOPBACK", server.Said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Passed_port_that_other_machines_reach_needs_an_authority_inside_tls_too()
    {
        RequiredTools.SkipUnless("systemd-socket-activate");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        using TestCertificates certificates = new(device.Folder, "a");
        File.Delete(Path.Combine(certificates.ServerFolder, "ca-cert.pem"));
        await device.CreateAsync();
        int port = FreePort();
        RunningProgram server = Activate(
            device, [$"0.0.0.0:{port}"], "--tls", "require", "--tls-dir", certificates.ServerFolder);
        await server.WaitForLineAsync(
            line => line.StartsWith("Listening on", StringComparison.Ordinal), TimeSpan.FromSeconds(30));
        using TcpClient client = new();
        await client.ConnectAsync(IPAddress.Loopback, port, TestContext.Current.CancellationToken);
        Assert.Equal(5, await server.WaitForEndAsync(TimeSpan.FromSeconds(30)));
        Assert.Contains("DMR-TLS-ANY-CLIENT", server.Said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Libnbd_and_systemd_pass_sockets_on_which_tls_is_spoken()
    {
        RequiredTools.SkipUnless("systemd-socket-activate", "nbdinfo", "nbdsh");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        using TestCertificates certificates = new(device.Folder, "a");
        await device.CreateAsync();
        string[] tls = ["--tls", "require", "--tls-dir", certificates.ServerFolder];
        string command = string.Join("', '", [DeviceUnderTest.Program, "serve", "dev", .. tls]);
        (await NbdShell.RunAsync(
            device.Environment,
            $"""
            h.set_tls(nbd.TLS_REQUIRE)
            h.set_tls_certificates('{certificates.ClientFolder}')
            h.connect_systemd_socket_activation(['{command}'])
            assert h.get_tls_negotiated()
            h.pwrite(b'w' * 4096, 8192, nbd.CMD_FLAG_FUA)
            assert h.pread(4096, 8192) == b'w' * 4096
            h.shutdown()
            """)).Expect(0);
        await WaitUntilNotRunningAsync(device);
        int port = FreePort();
        RunningProgram server = Activate(device, [$"127.0.0.1:{port}"], tls);
        await server.WaitForLineAsync(
            line => line.StartsWith("Listening on", StringComparison.Ordinal), TimeSpan.FromSeconds(30));
        (await Command.RunAsync(
            "nbdinfo", $"nbds://127.0.0.1:{port}/dev?tls-certificates={certificates.ClientFolder}"))
            .Expect(0);
        Assert.NotEqual(0, (await Command.RunAsync("nbdinfo", $"nbd://127.0.0.1:{port}/dev")).ExitCode);
        (await device.RunAsync("stop", "dev")).Expect(0);
        Assert.Equal(0, await server.WaitForEndAsync(TimeSpan.FromSeconds(30)));
    }

    [Theory]
    [InlineData("exec 3</dev/null; LISTEN_FDS=1", "DMR-ACTIVATION-SOCKET")]
    [InlineData("exec 3>&-; LISTEN_FDS=1", "DMR-ACTIVATION-SOCKET")]
    [InlineData("LISTEN_FDS=many", "DMR-ACTIVATION-INVALID")]
    [InlineData("LISTEN_FDS=17", "DMR-ACTIVATION-INVALID")]
    public async Task Descriptor_that_cannot_be_served_is_refused(string prepare, string id)
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        await device.CreateAsync();
        CommandResult result = (await Command.RunAsync(
            "bash", ["-c", $"export LISTEN_FDS LISTEN_PID=$$; {prepare}; exec \"$0\" serve dev --json",
                DeviceUnderTest.Program], device.Environment)).Expect(2);
        Assert.Contains(id, result.Error, StringComparison.Ordinal);
        Assert.Equal("", result.Output);
    }

    [Fact]
    public async Task Sockets_that_are_meant_for_another_process_are_left_alone()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        await device.CreateAsync();
        RunningProgram server = device.StartBeside(
            "env", "LISTEN_FDS=1", "LISTEN_PID=1", DeviceUnderTest.Program, "serve", "dev");
        Assert.Equal($"ready {device.Uri}", await DeviceUnderTest.WaitUntilReadyAsync(server));
        (await device.RunAsync("stop", "dev")).Expect(0);
        Assert.Equal(0, await server.WaitForEndAsync(TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public async Task Socket_of_its_own_is_refused_beside_those_that_are_passed()
    {
        RequiredTools.SkipUnless("nbdinfo");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        await device.CreateAsync();
        CommandResult result = await Command.RunAsync(
            "nbdinfo", ["--", "[", DeviceUnderTest.Program, "serve", "dev", "--listen", "127.0.0.1:0", "]"],
            device.Environment);
        Assert.NotEqual(0, result.ExitCode);
        Assert.Contains("LISTEN_FDS", result.Error, StringComparison.Ordinal);
    }

    private static RunningProgram Activate(
        DeviceUnderTest device, string[] addresses, params string[] options)
    {
        List<string> arguments =
            ["-E", "DMREMAP_CONFIG_DIR", "-E", "DMREMAP_RUN_DIR"];
        foreach (string address in addresses)
        {
            arguments.Add("-l");
            arguments.Add(address);
        }
        return device.StartBeside(
            "systemd-socket-activate", [.. arguments, DeviceUnderTest.Program, "serve", "dev", .. options]);
    }

    private static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static async Task WaitForFileAsync(string path)
    {
        for (int i = 0; i < 600 && !File.Exists(path); i++)
        {
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }
        Assert.True(File.Exists(path), $"{path} never came");
    }

    /// <summary>The client does not wait for the server that it has told to end.</summary>
    private static async Task WaitUntilNotRunningAsync(DeviceUnderTest device)
    {
        CommandResult check = await device.RunAsync("check", "dev");
        for (int i = 0; i < 100 && check.ExitCode == 4; i++)
        {
            await Task.Delay(100, TestContext.Current.CancellationToken);
            check = await device.RunAsync("check", "dev");
        }
        check.Expect(0);
    }
}
