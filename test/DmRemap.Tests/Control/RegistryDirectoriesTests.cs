using System;
using System.Collections.Generic;
using System.IO;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Control;

public sealed class RegistryDirectoriesTests
{
    [Theory]
    [InlineData(0U, "", "/etc/dmremap", "/run/dmremap")]
    [InlineData(0U, "XDG_CONFIG_HOME=/x,XDG_RUNTIME_DIR=/y,HOME=/r", "/etc/dmremap", "/run/dmremap")]
    [InlineData(0U, "DMREMAP_CONFIG_DIR=/a,DMREMAP_RUN_DIR=/b", "/a", "/b")]
    [InlineData(1000U, "HOME=/h", "/h/.config/dmremap", "/tmp/dmremap-1000")]
    [InlineData(1000U, "HOME=/h,XDG_CONFIG_HOME=/c", "/c/dmremap", "/tmp/dmremap-1000")]
    [InlineData(1000U, "HOME=/h,XDG_CONFIG_HOME=c", "/h/.config/dmremap", "/tmp/dmremap-1000")]
    [InlineData(
        1000U, "HOME=/h,XDG_RUNTIME_DIR=/run/user/1000", "/h/.config/dmremap", "/run/user/1000/dmremap")]
    [InlineData(1000U, "HOME=/h,XDG_RUNTIME_DIR=", "/h/.config/dmremap", "/tmp/dmremap-1000")]
    [InlineData(1000U, "DMREMAP_CONFIG_DIR=/a,DMREMAP_RUN_DIR=/b", "/a", "/b")]
    [InlineData(
        1000U, "DMREMAP_CONFIG_DIR=,HOME=/h,DMREMAP_RUN_DIR=", "/h/.config/dmremap", "/tmp/dmremap-1000")]
    public void Directories_follow_environment_then_user(
        uint user, string environment, string configuration, string run)
    {
        HostDirectories directories = Find(user, environment);
        Assert.Equal(configuration, directories.ConfigurationPath);
        Assert.Equal(run, directories.RunPath);
    }

    [Theory]
    [InlineData("DMREMAP_CONFIG_DIR=here,HOME=/h", "DMR-DIRECTORY-RELATIVE")]
    [InlineData("DMREMAP_RUN_DIR=./here,HOME=/h", "DMR-DIRECTORY-RELATIVE")]
    [InlineData("", "DMR-DIRECTORY-UNKNOWN")]
    [InlineData("HOME=", "DMR-DIRECTORY-UNKNOWN")]
    public void Directory_that_means_nothing_is_refused(string environment, string id)
    {
        RefusalException refusal = Assert.Throws<RefusalException>(() => Find(1000, environment));
        Assert.Equal(id, refusal.Id);
        Assert.Equal(ExitCode.Usage, refusal.ExitCode);
    }

    [Fact]
    public void Sockets_are_named_after_the_device_and_fit_into_an_address()
    {
        HostDirectories directories = Find(0, "DMREMAP_RUN_DIR=/b");
        Assert.Equal("/b/disk1.nbd", directories.NbdSocketPath("disk1"));
        Assert.Equal("/b/disk1.sock", directories.ControlSocketPath("disk1"));
        Assert.Throws<RefusalException>(() => directories.NbdSocketPath("../x"));

        // 107 bytes are the longest path of a socket.
        string place = "/" + new string('r', 107 - "//a.sock".Length);
        Assert.Equal(107, Find(0, $"DMREMAP_RUN_DIR={place}").ControlSocketPath("a").Length);
        RefusalException refusal = Assert.Throws<RefusalException>(
            () => Find(0, $"DMREMAP_RUN_DIR={place}r").ControlSocketPath("a"));
        Assert.Equal("DMR-SOCKET-PATH-TOO-LONG", refusal.Id);
    }

    [Fact]
    public void Prepared_directories_exist()
    {
        using TemporaryDirectory directory = new();
        HostDirectories directories = HostDirectories.Find(
            new StateFiles(),
            Environment($"DMREMAP_CONFIG_DIR={directory["etc/dmremap"]},DMREMAP_RUN_DIR={directory["run"]}"));
        directories.PrepareConfiguration();
        directories.PrepareRun();
        Assert.True(Directory.Exists(directory["etc/dmremap"]));
        Assert.True(Directory.Exists(directory["run"]));
    }

    [Fact]
    public void Directory_in_a_file_is_refused()
    {
        using TemporaryDirectory directory = new();
        string file = directory.MakeFile("file", 1);
        HostDirectories directories = HostDirectories.Find(
            new StateFiles(), Environment($"DMREMAP_CONFIG_DIR={file}/below,DMREMAP_RUN_DIR={file}"));
        Assert.Equal(
            "DMR-DIRECTORY-NOT-WRITABLE",
            Assert.Throws<RefusalException>(directories.PrepareConfiguration).Id);
        Assert.Equal("DMR-DIRECTORY-UNSAFE", Assert.Throws<RefusalException>(directories.PrepareRun).Id);
    }

    [Theory]
    [InlineData(DirectoryTrust.SymbolicLink)]
    [InlineData(DirectoryTrust.NotADirectory)]
    [InlineData(DirectoryTrust.OwnedByAnother)]
    [InlineData(DirectoryTrust.OpenToOthers)]
    [InlineData(DirectoryTrust.None)]
    public void Directory_that_others_control_is_refused(DirectoryTrust trust)
    {
        PretendFiles files = new(1000) { Trust = trust };
        HostDirectories directories = HostDirectories.Find(files, Environment("HOME=/h"));
        RefusalException refusal = Assert.Throws<RefusalException>(directories.PrepareRun);
        Assert.Equal("DMR-DIRECTORY-UNSAFE", refusal.Id);
        Assert.Equal(ExitCode.RefusedForSafety, refusal.ExitCode);
        Assert.Equal("/tmp/dmremap-1000", refusal.Device);
    }

    [Fact]
    public void Only_the_place_below_tmp_must_prove_itself()
    {
        PretendFiles files = new(1000);
        HostDirectories.Find(files, Environment("HOME=/h")).PrepareRun();
        HostDirectories.Find(files, Environment("HOME=/h")).PrepareConfiguration();
        HostDirectories.Find(files, Environment("HOME=/h,XDG_RUNTIME_DIR=/run/user/1000")).PrepareRun();
        HostDirectories.Find(files, Environment("HOME=/h,DMREMAP_RUN_DIR=/tmp/x")).PrepareRun();
        Assert.Equal(
            [
                ("/tmp/dmremap-1000", DirectoryRule.InSharedPlace),
                ("/h/.config/dmremap", DirectoryRule.Chosen),
                ("/run/user/1000/dmremap", DirectoryRule.Chosen),
                ("/tmp/x", DirectoryRule.Chosen),
            ],
            files.Prepared);
    }

    private static HostDirectories Find(uint user, string environment) =>
        HostDirectories.Find(new PretendFiles(user), Environment(environment));

    private static Func<string, string?> Environment(string settings)
    {
        Dictionary<string, string> variables = [];
        foreach (string setting in settings.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] parts = setting.Split('=', 2);
            variables.Add(parts[0], parts[1]);
        }
        return name => variables.GetValueOrDefault(name);
    }

    private sealed class PretendFiles(uint user) : IStateFiles
    {
        public uint UserId => user;

        public DirectoryTrust Trust { get; init; } = DirectoryTrust.Usable;

        public List<(string Path, DirectoryRule Rule)> Prepared { get; } = [];

        public DirectoryTrust PrepareDirectory(string path, DirectoryRule rule)
        {
            Prepared.Add((path, rule));
            return Trust;
        }

        public bool TryCreate(string path, ReadOnlySpan<byte> content) =>
            throw new InvalidOperationException(path);

        public void Replace(string path, ReadOnlySpan<byte> content) =>
            throw new InvalidOperationException(path);

        public bool Remove(string path) => throw new InvalidOperationException(path);
    }
}
