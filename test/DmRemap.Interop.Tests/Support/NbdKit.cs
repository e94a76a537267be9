using System.IO;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>
/// An nbdkit that serves a file of the test's (what it acknowledged outlives it), to be killed, stopped and
/// started again at the same place.
/// </summary>
internal sealed class NbdKit
{
    private readonly DeviceUnderTest _device;
    private string[] _arguments;
    private RunningProgram _process;

    private NbdKit(DeviceUnderTest device, string name, string[] arguments)
    {
        _device = device;
        _arguments = arguments;
        SocketPath = Path.Combine(device.Folder, name + ".sock");
        FilePath = Path.Combine(device.Images, name + ".served");
        _process = null!;
    }

    public int ProcessId => _process.Id;

    public string SocketPath { get; }

    public string FilePath { get; }

    public string Uri => $"nbd+unix:///?socket={SocketPath}";

    /// <param name="device">Ends it.</param>
    /// <param name="name">Of its socket and file.</param>
    /// <param name="content">Of the export.</param>
    /// <param name="arguments">More of nbdkit's: filters, and their parameters.</param>
    public static async Task<NbdKit> StartAsync(
        DeviceUnderTest device, string name, byte[] content, params string[] arguments)
    {
        NbdKit kit = new(device, name, arguments);
        await File.WriteAllBytesAsync(kit.FilePath, content);
        await kit.StartAgainAsync();
        return kit;
    }

    public Task StartAgainAsync(params string[] arguments)
    {
        _arguments = arguments;
        return StartAgainAsync();
    }

    public async Task StartAgainAsync()
    {
        File.Delete(SocketPath);
        string[] options = [.. System.Array.FindAll(_arguments, argument => argument.StartsWith('-'))];
        string[] parameters = [.. System.Array.FindAll(_arguments, argument => !argument.StartsWith('-'))];
        _process = _device.StartBeside(
            "nbdkit", ["-f", "-U", SocketPath, .. options, "file", FilePath, .. parameters]);
        await SlowDisk.UntilAsync(() => File.Exists(SocketPath) || _process.HasEnded);
        Assert.False(_process.HasEnded, _process.Said);
    }

    /// <summary>
    /// For a server that was stopped and woken with clients gone meanwhile: now and then it ends by itself,
    /// a moment later. What it had taken is in its file.
    /// </summary>
    public async Task EndAndStartAgainAsync()
    {
        await KillAsync();
        await StartAgainAsync();
    }

    /// <summary>Does not wait.</summary>
    public void KillNow() => _process.KillNow();

    /// <summary>And waits for the end; it may have been killed before.</summary>
    public async Task KillAsync()
    {
        _process.KillNow();
        await _process.WaitForEndAsync(Command.TimeMax);
    }

    public Task HoldAsync() => _process.SignalAsync("STOP");

    public Task ReleaseAsync() => _process.SignalAsync("CONT");
}
