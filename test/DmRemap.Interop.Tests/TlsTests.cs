using System;
using System.IO;
using System.Net.Sockets;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>TLS as other people's clients speak it, and clients that are not to be let in.</summary>
public sealed class TlsTests
{
    private const long MiB = DeviceUnderTest.MiB;

    private static readonly TimeSpan s_lineMax = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Libnbd_and_qemu_read_and_write_inside_tls()
    {
        RequiredTools.SkipUnless("nbdsh", "nbdinfo", "nbdcopy", "qemu-img");
        byte[] content = Content.Of(8 * MiB);
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(content);
        using TestCertificates certificates = new(device.Folder, "a");
        string uri = await ServeAsync(device, certificates, "require");
        Assert.StartsWith("nbds://127.0.0.1:", uri, StringComparison.Ordinal);
        string mine = $"{uri}?tls-certificates={certificates.ClientFolder}";
        CommandResult info = (await Command.RunAsync("nbdinfo", mine)).Expect(0);
        Assert.Contains("TLS", info.Output, StringComparison.Ordinal);
        string target = Path.Combine(device.Images, "target");
        (await Command.RunAsync("nbdcopy", mine, target)).Expect(0);
        Content.AssertFile(content, target);
        string port = new Uri(uri).Port.ToString(System.Globalization.CultureInfo.InvariantCulture);
        (await Command.RunAsync(
            "qemu-img", "convert", "-O", "raw",
            "--object", $"tls-creds-x509,id=t,dir={certificates.ClientFolder},endpoint=client",
            "--image-opts", $"driver=nbd,host=127.0.0.1,port={port},export=dev,tls-creds=t",
            target)).Expect(0);
        Content.AssertFile(content, target);
        (await NbdShell.RunAsync(
            null,
            $"h.set_uri_allow_local_file(True); h.connect_uri('{mine}')",
            """
            assert h.get_tls_negotiated()
            data = bytes(range(256)) * 16384
            h.pwrite(data, 1 << 20, nbd.CMD_FLAG_FUA)
            assert h.pread(len(data), 1 << 20) == data
            h.shutdown()
            """)).Expect(0);
        await device.StopAsync();
    }

    [Fact]
    public async Task Client_is_refused_without_tls_without_a_certificate_and_with_one_of_another_authority()
    {
        RequiredTools.SkipUnless("nbdinfo", "nbdsh");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        using TestCertificates certificates = new(device.Folder, "a");
        using TestCertificates others = new(device.Folder, "b");
        string uri = await ServeAsync(device, certificates, "require");
        string plain = uri.Replace("nbds:", "nbd:", StringComparison.Ordinal);
        Assert.NotEqual(0, (await Command.RunAsync("nbdinfo", plain)).ExitCode);
        string anonymous = certificates.AnonymousFolder();
        Assert.NotEqual(0, (await Command.RunAsync(
            "nbdinfo", $"{uri}?tls-certificates={anonymous}")).ExitCode);
        // Of another authority, and yet the server is believed: only the server can refuse.
        string strange = Directory.CreateDirectory(Path.Combine(device.Folder, "strange")).FullName;
        File.Copy(Path.Combine(anonymous, "ca-cert.pem"), Path.Combine(strange, "ca-cert.pem"));
        foreach (string file in new[] { "client-cert.pem", "client-key.pem" })
        {
            File.Copy(Path.Combine(others.ClientFolder, file), Path.Combine(strange, file));
        }
        Assert.NotEqual(0, (await Command.RunAsync(
            "nbdinfo", $"{uri}?tls-certificates={strange}")).ExitCode);
        await device.Server.WaitForLineAsync(
            line => line.StartsWith("DMR-EVENT-TLS-REFUSED", StringComparison.Ordinal), s_lineMax);
        (await Command.RunAsync("nbdinfo", $"{uri}?tls-certificates={certificates.ClientFolder}")).Expect(0);
        await device.StopAsync();
    }

    [Fact]
    public async Task Allowed_tls_serves_clients_with_and_without()
    {
        RequiredTools.SkipUnless("nbdinfo");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        using TestCertificates certificates = new(device.Folder, "a");
        string uri = await ServeAsync(device, certificates, "allow");
        (await Command.RunAsync("nbdinfo", uri)).Expect(0);
        (await Command.RunAsync("nbdinfo", device.Uri)).Expect(0);
        string secured = uri.Replace("nbd:", "nbds:", StringComparison.Ordinal);
        (await Command.RunAsync("nbdinfo", $"{secured}?tls-certificates={certificates.ClientFolder}"))
            .Expect(0);
        await device.StopAsync();
    }

    [Fact]
    public async Task Hangup_reads_the_certificates_anew_and_keeps_them_when_the_new_ones_are_broken()
    {
        RequiredTools.SkipUnless("nbdinfo");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        using TestCertificates first = new(device.Folder, "a");
        using TestCertificates second = new(device.Folder, "b");
        string uri = await ServeAsync(device, first, "require");
        string key = Path.Combine(first.ServerFolder, "server-key.pem");
        string good = await File.ReadAllTextAsync(key, TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(key, "no key", TestContext.Current.CancellationToken);
        await device.Server.SignalAsync("HUP");
        await device.Server.WaitForLineAsync(
            line => line.StartsWith("DMR-EVENT-TLS-NOT-RELOADED", StringComparison.Ordinal)
                && line.Contains(key, StringComparison.Ordinal),
            s_lineMax);
        (await Command.RunAsync("nbdinfo", $"{uri}?tls-certificates={first.ClientFolder}")).Expect(0);
        Assert.NotEqual("no key", good);
        foreach (string file in Directory.GetFiles(second.ServerFolder))
        {
            File.Copy(file, Path.Combine(first.ServerFolder, Path.GetFileName(file)), overwrite: true);
        }
        await device.Server.SignalAsync("HUP");
        await device.Server.WaitForLineAsync(
            line => line.StartsWith("DMR-EVENT-TLS-RELOADED", StringComparison.Ordinal), s_lineMax);
        (await Command.RunAsync("nbdinfo", $"{uri}?tls-certificates={second.ClientFolder}")).Expect(0);
        Assert.NotEqual(
            0, (await Command.RunAsync("nbdinfo", $"{uri}?tls-certificates={first.ClientFolder}")).ExitCode);
        await device.StopAsync();
    }

    /// <summary>Half-open handshakes hold nobody up, and are ended.</summary>
    [Fact]
    public async Task Clients_that_never_finish_their_tls_handshake_are_cut_off_and_hurt_nobody()
    {
        RequiredTools.SkipUnless("nbdinfo");
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        using TestCertificates certificates = new(device.Folder, "a");
        string uri = await ServeAsync(device, certificates, "require");
        TcpClient[] slow = new TcpClient[24];
        byte[] hello = [0, 0, 0, 3, .. "IHAVEOPT"u8, 0, 0, 0, 5, 0, 0, 0, 0];
        byte[] answer = new byte[38];
        for (int i = 0; i < slow.Length; i++)
        {
            slow[i] = new TcpClient("127.0.0.1", new Uri(uri).Port);
            NetworkStream stream = slow[i].GetStream();
            await stream.WriteAsync(hello, TestContext.Current.CancellationToken);
            await stream.ReadExactlyAsync(answer, TestContext.Current.CancellationToken);
            Assert.Equal(1, answer[33]);
        }
        (await Command.RunAsync("nbdinfo", $"{uri}?tls-certificates={certificates.ClientFolder}")).Expect(0);
        foreach (TcpClient client in slow)
        {
            int last = await client.GetStream()
                .ReadAsync(answer, TestContext.Current.CancellationToken).AsTask()
                .WaitAsync(s_lineMax, TestContext.Current.CancellationToken);
            Assert.Equal(0, last);
            client.Dispose();
        }
        await device.StopAsync();
    }

    /// <summary>Otherwise whoever is on the way could add options to what the client says inside.</summary>
    [Fact]
    public async Task What_is_sent_behind_starttls_without_waiting_ends_the_connection()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        using TestCertificates certificates = new(device.Folder, "a");
        string uri = await ServeAsync(device, certificates, "require");
        using TcpClient client = new("127.0.0.1", new Uri(uri).Port);
        NetworkStream stream = client.GetStream();
        byte[] both =
        [
            0, 0, 0, 3, .. "IHAVEOPT"u8, 0, 0, 0, 5, 0, 0, 0, 0, .. "IHAVEOPT"u8, 0, 0, 0, 3, 0, 0, 0, 0,
        ];
        byte[] answer = new byte[38];
        await stream.WriteAsync(both, TestContext.Current.CancellationToken);
        await stream.ReadExactlyAsync(answer, TestContext.Current.CancellationToken);
        int last = await stream.ReadAsync(answer, TestContext.Current.CancellationToken).AsTask()
            .WaitAsync(TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken);
        Assert.Equal(0, last);
        await device.StopAsync();
    }

    [Theory]
    [InlineData("--tls require", "DMR-USAGE", 2)]
    [InlineData("--tls require --tls-dir /nowhere", "DMR-TLS-FILES", 2)]
    [InlineData("--listen 0.0.0.0:0", "DMR-LISTEN-NOT-LOOPBACK", 5)]
    [InlineData("--listen 0.0.0.0:0 --tls allow --tls-dir /nowhere", "DMR-LISTEN-NOT-LOOPBACK", 5)]
    [InlineData("--tls allow --tls-any-client --tls-dir /nowhere", "DMR-USAGE", 2)]
    [InlineData("--tls-any-client", "DMR-USAGE", 2)]
    public async Task Options_that_protect_nothing_are_refused(string options, string id, int exit)
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        await device.CreateAsync();
        CommandResult result =
            (await device.RunAsync(["serve", "dev", .. options.Split(' ')])).Expect(exit);
        Assert.Contains(id, result.Error, StringComparison.Ordinal);
    }

    /// <summary>
    /// Encrypted, and open to everybody: that is what must be said, and never happens by itself.
    /// </summary>
    [Theory]
    [InlineData("0.0.0.0:0")]
    [InlineData("[::]:0")]
    public async Task Port_that_other_machines_reach_is_refused_without_an_authority(string address)
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        using TestCertificates certificates = new(device.Folder, "a");
        File.Delete(Path.Combine(certificates.ServerFolder, "ca-cert.pem"));
        await device.CreateAsync();
        CommandResult result = (await device.RunAsync(
            "serve", "dev", "--listen", address, "--tls", "require", "--tls-dir",
            certificates.ServerFolder)).Expect(5);
        Assert.Contains("DMR-TLS-ANY-CLIENT", result.Error, StringComparison.Ordinal);
        Assert.Contains("ca-cert.pem", result.Error, StringComparison.Ordinal);
        Assert.Contains("--tls-any-client", result.Error, StringComparison.Ordinal);
        Assert.False(File.Exists(device.SocketPath));
    }

    [Fact]
    public async Task Key_for_everybody_to_read_and_a_missing_authority_are_said()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        using TestCertificates certificates = new(device.Folder, "a");
        File.SetUnixFileMode(
            Path.Combine(certificates.ServerFolder, "server-key.pem"),
            UnixFileMode.UserRead | UnixFileMode.OtherRead);
        File.Delete(Path.Combine(certificates.ServerFolder, "ca-cert.pem"));
        string uri = await ServeAsync(device, certificates, "require");
        Assert.Contains("DMR-TLS-KEY-READABLE", device.Server.Said, StringComparison.Ordinal);
        Assert.Contains("DMR-TLS-NO-CA", device.Server.Said, StringComparison.Ordinal);
        RequiredTools.SkipUnless("nbdinfo");
        (await Command.RunAsync("nbdinfo", $"{uri}?tls-certificates={certificates.AnonymousFolder()}"))
            .Expect(0);
        await device.StopAsync();
    }

    /// <summary>Gives the URI of the port.</summary>
    private static async Task<string> ServeAsync(
        DeviceUnderTest device, TestCertificates certificates, string mode)
    {
        await device.CreateAsync();
        RunningProgram server = device.StartServe(
            "--listen", "127.0.0.1:0", "--tls", mode, "--tls-dir", certificates.ServerFolder);
        string line = await server.WaitForLineAsync(
            line => line.StartsWith("also nbd", StringComparison.Ordinal), s_lineMax);
        return line["also ".Length..];
    }
}
