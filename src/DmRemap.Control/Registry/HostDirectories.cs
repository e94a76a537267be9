using System;
using System.IO;
using System.Text;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Registry;

/// <summary>
/// Where this user's devices are registered and where their sockets are. Configuration: $DMREMAP_CONFIG_DIR,
/// else /etc/dmremap for root, else ${XDG_CONFIG_HOME:-~/.config}/dmremap. Run time: $DMREMAP_RUN_DIR, else
/// /run/dmremap for root, else $XDG_RUNTIME_DIR/dmremap, else /tmp/dmremap-UID. As XDG has it, a relative XDG
/// path counts as unset.
/// </summary>
public sealed class HostDirectories
{
    /// <summary>sockaddr_un holds 108 bytes with the final zero.</summary>
    private const int SocketPathBytesMax = 107;

    private readonly IStateFiles _files;
    private readonly DirectoryRule _runRule;

    private HostDirectories(IStateFiles files, string configuration, string run, DirectoryRule runRule)
    {
        _files = files;
        _runRule = runRule;
        ConfigurationPath = configuration;
        RunPath = run;
    }

    public string ConfigurationPath { get; }

    public string RunPath { get; }

    /// <summary>
    /// Decide the paths; nothing is created. The lookup is that of an environment variable, null if unset.
    /// </summary>
    /// <exception cref="RefusalException">DMR-DIRECTORY-UNKNOWN, DMR-DIRECTORY-RELATIVE.</exception>
    public static HostDirectories Find(IStateFiles files, Func<string, string?> environment)
    {
        string configuration = Chosen(environment, "DMREMAP_CONFIG_DIR")
            ?? (files.UserId == 0 ? "/etc/dmremap" : UserConfiguration(environment));
        string? run = Chosen(environment, "DMREMAP_RUN_DIR")
            ?? (files.UserId == 0 ? "/run/dmremap" : Below(environment("XDG_RUNTIME_DIR"), "dmremap"));
        return run is not null
            ? new HostDirectories(files, configuration, run, DirectoryRule.Chosen)
            : new HostDirectories(
                files, configuration, $"/tmp/dmremap-{files.UserId}", DirectoryRule.InSharedPlace);
    }

    /// <summary>Create what is missing (0700) and refuse what others could tamper with.</summary>
    /// <exception cref="RefusalException">DMR-DIRECTORY-UNSAFE (exit 5), DMR-DIRECTORY-NOT-WRITABLE (exit
    /// 8).</exception>
    public void PrepareConfiguration() =>
        Prepare(ConfigurationPath, DirectoryRule.Chosen, "DMREMAP_CONFIG_DIR");

    /// <inheritdoc cref="PrepareConfiguration"/>
    public void PrepareRun() => Prepare(RunPath, _runRule, "DMREMAP_RUN_DIR");

    /// <summary>The NBD socket of a device: RUN/NAME.nbd.</summary>
    public string NbdSocketPath(string name) => SocketPath(name, ".nbd");

    /// <summary>The control socket of a device: RUN/NAME.sock.</summary>
    public string ControlSocketPath(string name) => SocketPath(name, ".sock");

    /// <summary>The device as a file, while it is attached: RUN/NAME.disk.</summary>
    public string DiskPath(string name) => SocketPath(name, ".disk");

    /// <summary>Held by the attach or detach that is at work; says which daemon was started for it.</summary>
    public string AttachPath(string name) => SocketPath(name, ".attach");

    /// <summary>What a daemon that was started by `attach` has to say.</summary>
    public string LogPath(string name) => SocketPath(name, ".log");

    /// <summary>Disks of the lab have a folder of their own: their names are not those of devices.</summary>
    public string LabPath => Path.Combine(RunPath, "lab");

    /// <inheritdoc cref="PrepareConfiguration"/>
    public void PrepareLab()
    {
        PrepareRun();
        Prepare(LabPath, DirectoryRule.Chosen, "DMREMAP_RUN_DIR");
    }

    public string LabNbdSocketPath(string name) => SocketPath(name, ".nbd", LabPath);

    public string LabControlSocketPath(string name) => SocketPath(name, ".sock", LabPath);

    /// <summary>The content of a disk of the lab that goes with its process.</summary>
    public string LabDiskPath(string name) => SocketPath(name, ".img", LabPath);

    private string SocketPath(string name, string suffix) => SocketPath(name, suffix, RunPath);

    private static string SocketPath(string name, string suffix, string folder)
    {
        DeviceName.Require(name);
        string path = Path.Combine(folder, name + suffix);
        if (Encoding.UTF8.GetByteCount(path) > SocketPathBytesMax)
        {
            throw new RefusalException(new Refusal(
                "DMR-SOCKET-PATH-TOO-LONG",
                ExitCode.Usage,
                name,
                $"The socket path {path} is longer than the {SocketPathBytesMax} bytes that Linux allows.",
                "Set DMREMAP_RUN_DIR to a shorter directory, or choose a shorter name."));
        }
        return path;
    }

    private static string? Chosen(Func<string, string?> environment, string variable)
    {
        string? path = environment(variable);
        if (string.IsNullOrEmpty(path))
        {
            return null;
        }
        if (path[0] != '/')
        {
            throw new RefusalException(new Refusal(
                "DMR-DIRECTORY-RELATIVE",
                ExitCode.Usage,
                path,
                $"{variable} is the relative path \"{path}\": it would mean another place in every"
                    + " directory.",
                $"Set {variable} to an absolute path."));
        }
        return path;
    }

    private static string UserConfiguration(Func<string, string?> environment)
    {
        string? path =
            Below(environment("XDG_CONFIG_HOME"), "dmremap") ?? Below(environment("HOME"), ".config/dmremap");
        return path ?? throw new RefusalException(new Refusal(
            "DMR-DIRECTORY-UNKNOWN",
            ExitCode.Usage,
            "-",
            "There is no directory to register devices in: HOME, XDG_CONFIG_HOME and DMREMAP_CONFIG_DIR are"
                + " unset.",
            "Set DMREMAP_CONFIG_DIR to an absolute path."));
    }

    private static string? Below(string? directory, string name) =>
        directory is not null && directory.StartsWith('/') ? Path.Combine(directory, name) : null;

    private void Prepare(string path, DirectoryRule rule, string variable)
    {
        DirectoryTrust trust;
        try
        {
            trust = _files.PrepareDirectory(path, rule);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new RefusalException(
                new Refusal(
                    "DMR-DIRECTORY-NOT-WRITABLE",
                    ExitCode.NotPermitted,
                    path,
                    $"The directory {path} cannot be created or opened: {error.Message.TrimEnd('.')}.",
                    $"Make it accessible, or set {variable} to a directory of yours."),
                error);
        }
        if (trust != DirectoryTrust.Usable)
        {
            throw new RefusalException(new Refusal(
                "DMR-DIRECTORY-UNSAFE",
                ExitCode.RefusedForSafety,
                path,
                $"The directory {path} {Describe(trust)}: others could change what is read there.",
                $"Remove it or make it yours with mode 0700, or set {variable} to a directory of yours."));
        }
    }

    private static string Describe(DirectoryTrust trust) => trust switch
    {
        DirectoryTrust.SymbolicLink => "is a symbolic link",
        DirectoryTrust.NotADirectory => "is not a directory",
        DirectoryTrust.OwnedByAnother => "belongs to another user",
        DirectoryTrust.OpenToOthers => "is open to other users",
        _ => "cannot be trusted",
    };
}
