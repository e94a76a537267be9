using System.IO;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// An address that other machines could reach, in a network of its own in which there are none: nothing
/// leaves this machine.
/// </summary>
public sealed class TlsNetworkTests
{
    private const long MiB = DeviceUnderTest.MiB;

    [Fact]
    public async Task Address_beyond_loopback_is_served_to_whom_the_authority_knows()
    {
        await using DeviceUnderTest device = await PrepareAsync();
        using TestCertificates certificates = new(device.Folder, "a");
        using TestCertificates others = new(device.Folder, "b");
        string target = Path.Combine(device.Images, "target");
        await RunAsync(
            device, certificates, "",
            $"""
            nbdinfo "$uri?tls-certificates={certificates.ClientFolder}"
            nbdcopy "$uri?tls-certificates={certificates.ClientFolder}" {target}
            ! nbdinfo "$uri?tls-certificates={certificates.AnonymousFolder()}"
            ! nbdinfo "$uri?tls-certificates={others.ClientFolder}"
            ! nbdinfo "nbd://{TestCertificates.OtherAddress}:10809/dev"
            """);
        Content.AssertFile(Content.Of(8 * MiB), target);
    }

    [Fact]
    public async Task Every_client_is_served_beyond_loopback_only_when_told_so()
    {
        await using DeviceUnderTest device = await PrepareAsync();
        using TestCertificates certificates = new(device.Folder, "a");
        string anonymous = certificates.AnonymousFolder();
        File.Delete(Path.Combine(certificates.ServerFolder, "ca-cert.pem"));
        await RunAsync(
            device, certificates, "--tls-any-client",
            $"""
            nbdinfo "$uri?tls-certificates={anonymous}"
            ! nbdinfo "nbd://{TestCertificates.OtherAddress}:10809/dev"
            grep -q DMR-TLS-NO-CA {device.Folder}/said
            """);
    }

    private static async Task<DeviceUnderTest> PrepareAsync()
    {
        RequiredTools.SkipUnless("unshare", "ip", "nbdinfo", "nbdcopy");
        CommandResult permitted = await Command.RunAsync("unshare", "-n", "ip", "link", "set", "lo", "up");
        Assert.SkipUnless(
            permitted.ExitCode == 0, "no network namespace can be made here: " + permitted.Error.Trim());
        DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(8 * MiB));
        await device.CreateAsync();
        return device;
    }

    /// <summary>The server, these commands and its stop, in one network.</summary>
    private static async Task RunAsync(
        DeviceUnderTest device, TestCertificates certificates, string more, string commands)
    {
        string script = $"""
            set -ex
            ip link set lo up
            ip address add {TestCertificates.OtherAddress}/32 dev lo
            said={device.Folder}/said
            "$0" serve dev --listen {TestCertificates.OtherAddress}:10809 --tls require {more} \
                --tls-dir {certificates.ServerFolder} >"$said" 2>&1 &
            for i in $(seq 300); do grep -q '^also nbds:' "$said" && break; sleep 0.1; done
            uri=$(sed -n 's/^also //p' "$said")
            {commands}
            "$0" stop dev
            wait $!
            """;
        (await Command.RunAsync(
            "unshare", ["-n", "bash", "-c", script, DeviceUnderTest.Program], device.Environment)).Expect(0);
    }
}
