using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Tls;
using DmRemap.Interop.Tests.Support;
using DmRemap.Nbd;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Tls;

/// <summary>
/// Reading the certificates anew, with what an operator or a script can do to them meanwhile.
/// </summary>
public sealed class TlsDoorTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly TestCertificates _certificates;
    private readonly List<string> _said = [];

    public TlsDoorTests()
    {
        _certificates = new TestCertificates(_directory.Path, "a");
    }

    private string Folder => _certificates.ServerFolder;

    public void Dispose()
    {
        _certificates.Dispose();
        _directory.Dispose();
    }

    /// <summary>In the middle of an exchange of files, or by mistake: nobody may get in for that.</summary>
    [Fact]
    public void Authority_that_has_gone_does_not_let_everybody_in_after_a_hangup()
    {
        using TlsDoor door = Open();
        Assert.True(door.DemandsCertificates);
        File.Delete(Path.Combine(Folder, "ca-cert.pem"));
        door.Reload();
        Assert.StartsWith("DMR-EVENT-TLS-NOT-RELOADED", _said.Last(), StringComparison.Ordinal);
        Assert.Contains("ca-cert.pem", _said.Last(), StringComparison.Ordinal);
        Assert.True(door.DemandsCertificates);
    }

    [Fact]
    public void Authority_that_has_come_is_asked_for_after_a_hangup()
    {
        string authority = Path.Combine(Folder, "ca-cert.pem");
        string text = File.ReadAllText(authority);
        File.Delete(authority);
        using TlsDoor door = Open();
        Assert.False(door.DemandsCertificates);
        Assert.Contains(_said, line => line.StartsWith("DMR-TLS-NO-CA", StringComparison.Ordinal));
        File.WriteAllText(authority, text);
        door.Reload();
        Assert.StartsWith("DMR-EVENT-TLS-RELOADED", _said.Last(), StringComparison.Ordinal);
        Assert.True(door.DemandsCertificates);
    }

    [Theory]
    [InlineData("server-key.pem", null)]
    [InlineData("server-key.pem", "no key")]
    [InlineData("server-cert.pem", null)]
    [InlineData("server-cert.pem", "no certificate")]
    [InlineData("ca-cert.pem", "no authority")]
    public void File_that_is_broken_or_gone_keeps_the_former_ones_and_is_said(string file, string? content)
    {
        using TlsDoor door = Open();
        string path = Path.Combine(Folder, file);
        File.Delete(path);
        if (content is not null)
        {
            File.WriteAllText(path, content);
        }
        door.Reload();
        Assert.Contains(
            _said, line => line.StartsWith("DMR-EVENT-TLS-NOT-RELOADED dev: ", StringComparison.Ordinal));
        Assert.DoesNotContain(
            _said, line => line.StartsWith("DMR-EVENT-TLS-RELOADED", StringComparison.Ordinal));
    }

    private TlsDoor Open() =>
        TlsDoor.Open(
            new ServeOptions { Name = "dev", Tls = NbdTlsMode.Require, TlsDirectory = Folder },
            TimeProvider.System, _said.Add)!;
}
