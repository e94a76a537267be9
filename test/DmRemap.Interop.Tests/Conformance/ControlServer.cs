using System.IO;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests.Conformance;

/// <summary>
/// Whom the demands are put to: ourselves, and two others that show what the demands are worth.
/// </summary>
internal static class ControlServer
{
    public const string Ours = "dmremap";
    public const string NbdKit = "nbdkit";
    public const string QemuNbd = "qemu-nbd";

    /// <summary>As it names itself, and its number: "nbdkit 1.32.5".</summary>
    public static async Task<string> VersionAsync(string server)
    {
        string first = (await Command.RunAsync(server, "--version")).Expect(0).Output.Split('\n')[0];
        return string.Join(' ', first.Split(' ').Take(2));
    }

    /// <summary>Serves the tests' content, and gives the socket's path. Ends with the device.</summary>
    public static async Task<string> StartAsync(
        DeviceUnderTest device, string server, TestCertificates? certificates)
    {
        string socket = Path.Combine(device.Folder, $"{server}{(certificates is null ? "" : "-tls")}.sock");
        if (server == Ours)
        {
            await StartOursAsync(device, socket, certificates);
            return socket;
        }
        string image = Path.Combine(device.Images, Path.GetFileName(socket) + ".img");
        File.Copy(device.MainPath, image);
        RunningProgram running = device.StartBeside(
            server, server == NbdKit ? ForNbdKit(socket, image, certificates?.ServerFolder)
                : ForQemu(socket, image, certificates?.ServerFolder));
        await SlowDisk.UntilAsync(() => File.Exists(socket) || running.HasEnded);
        Assert.False(running.HasEnded, running.Said);
        return socket;
    }

    private static async Task StartOursAsync(
        DeviceUnderTest device, string socket, TestCertificates? certificates)
    {
        string[] tls = [];
        if (certificates is null)
        {
            await device.CreateAsync();
        }
        else
        {
            // One process serves a device.
            await device.StopAsync();
            tls = ["--tls", "require", "--tls-dir", certificates.ServerFolder];
        }
        await DeviceUnderTest.WaitUntilReadyAsync(device.StartServe(["--socket", socket, .. tls]));
    }

    private static string[] ForNbdKit(string socket, string image, string? certificates) =>
    [
        "-f", "-U", socket,
        .. certificates is null
            ? ["--tls=off"]
            : new[] { "--tls=require", $"--tls-certificates={certificates}", "--tls-verify-peer" },
        "file", image,
    ];

    private static string[] ForQemu(string socket, string image, string? certificates) =>
    [
        "-k", socket, "-f", "raw", "-t", "-e", "4",
        .. certificates is null
            ? []
            : new[]
            {
                "--object", $"tls-creds-x509,id=t,endpoint=server,dir={certificates},verify-peer=on",
                "--tls-creds", "t",
            },
        image,
    ];
}
