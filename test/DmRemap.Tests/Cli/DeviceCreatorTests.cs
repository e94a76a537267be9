using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Cli.Devices;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>`create` where the registry's own disk fails, and where a main device has odd bytes.</summary>
public sealed class DeviceCreatorTests : IDisposable
{
    private const int MebiByte = 1024 * 1024;

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(MebiByte + 100, "the last 100 bytes of ")]
    [InlineData(MebiByte + 512 + 1, "the last byte of ")]
    [InlineData(MebiByte, null)]
    public async Task Bytes_that_fill_no_block_are_said(int bytes, string? says)
    {
        CliServices services = ServicesWith(new StateFiles());
        CreateReport report = await new DeviceCreator(services).CreateAsync(
            new CreateOptions
            {
                Name = "disk1",
                MainPath = _directory.MakeFile("main", bytes),
                SparePaths = [_directory["spare"]],
                SpareBytes = Limits.SpareBytesMin,
            },
            new CommandOutput(services.Terminal, "disk1", isJson: false, assumeYes: true),
            CancellationToken.None);
        Assert.Equal(bytes / 512 * 512, report.SizeBytes);
        Assert.Equal(says is not null, report.Warnings.Any(warning =>
            warning.StartsWith(says + _directory["main"], StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Spares_are_kept_exactly_when_the_record_that_names_them_exists(bool isNamed)
    {
        CliServices services = ServicesWith(new FailingFiles(isNamed));
        CreateOptions options = new()
        {
            Name = "disk1",
            MainPath = _directory.MakeFile("main", MebiByte),
            SparePaths = [_directory["spare"]],
            SpareBytes = Limits.SpareBytesMin,
        };
        RefusalException refusal = await Assert.ThrowsAsync<RefusalException>(
            () => new DeviceCreator(services).CreateAsync(
                options,
                new CommandOutput(services.Terminal, "disk1", isJson: false, assumeYes: true),
                CancellationToken.None));
        Assert.Equal("DMR-REGISTRY-WRITE", refusal.Id);
        DeviceRegistry registry = new(_directory["config"], new StateFiles());
        Assert.Equal(isNamed, registry.List().Count == 1);
        Assert.Equal(isNamed, File.Exists(_directory["spare"]));
    }

    private CliServices ServicesWith(IStateFiles files)
    {
        Dictionary<string, string> environment = new()
        {
            ["DMREMAP_CONFIG_DIR"] = _directory["config"],
            ["DMREMAP_RUN_DIR"] = _directory["run"],
        };
        return new CliServices
        {
            Terminal = new Terminal
            {
                Output = TextWriter.Null,
                Error = TextWriter.Null,
                Input = TextReader.Null,
            },
            Files = files,
            Environment = environment.GetValueOrDefault,
        };
    }

    /// <summary>Fails to store a record, before it has its name or right after.</summary>
    private sealed class FailingFiles(bool isNamed) : IStateFiles
    {
        private readonly StateFiles _files = new();

        public uint UserId => _files.UserId;

        public DirectoryTrust PrepareDirectory(string path, DirectoryRule rule) =>
            _files.PrepareDirectory(path, rule);

        public bool TryCreate(string path, ReadOnlySpan<byte> content)
        {
            if (isNamed)
            {
                Assert.True(_files.TryCreate(path, content));
            }
            throw new IOException("the disk of the registry has failed");
        }

        public void Replace(string path, ReadOnlySpan<byte> content) => _files.Replace(path, content);

        public bool Remove(string path) => _files.Remove(path);
    }
}
