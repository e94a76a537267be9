using System;
using System.IO;
using System.Net.Security;
using DmRemap.Cli.Tls;
using DmRemap.Core.Abstractions;
using DmRemap.Interop.Tests.Support;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Tls;

/// <summary>What a directory of certificates may hold, and what must never be taken for less.</summary>
public sealed class TlsCredentialsTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly TestCertificates _certificates;

    public TlsCredentialsTests()
    {
        _certificates = new TestCertificates(_directory.Path, "a");
    }

    private string Folder => _certificates.ServerFolder;

    private string Authority => Path.Combine(Folder, "ca-cert.pem");

    public void Dispose()
    {
        _certificates.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public void Certificates_are_demanded_exactly_where_there_is_an_authority()
    {
        SslServerAuthenticationOptions options = TlsCredentials.Load("dev", Folder);
        Assert.True(TlsCredentials.DemandsCertificates(options));
        Assert.False(options.AllowTlsResume);
        Assert.False(options.AllowRenegotiation);
        File.Delete(Authority);
        Assert.False(TlsCredentials.DemandsCertificates(TlsCredentials.Load("dev", Folder)));
    }

    /// <summary>Taken for absent, each of these would let everybody in.</summary>
    [Theory]
    [InlineData("link")]
    [InlineData("folder")]
    [InlineData("empty")]
    [InlineData("noise")]
    public void Authority_that_is_there_and_cannot_be_used_is_refused(string kind)
    {
        File.Delete(Authority);
        switch (kind)
        {
            case "link":
                File.CreateSymbolicLink(Authority, Path.Combine(Folder, "nowhere"));
                break;
            case "folder":
                Directory.CreateDirectory(Authority);
                break;
            default:
                File.WriteAllText(Authority, kind == "empty" ? "" : "-----BEGIN CERTIFICATE-----\nAAAA");
                break;
        }
        AssertRefused();
    }

    [Theory]
    [InlineData("server-cert.pem", "is missing")]
    [InlineData("server-key.pem", "is missing")]
    [InlineData("server-cert.pem", "is a directory")]
    [InlineData("server-key.pem", "is a directory")]
    [InlineData("ca-cert.pem", "is a directory")]
    public void File_that_is_missing_or_none_is_named(string name, string says)
    {
        string path = Path.Combine(Folder, name);
        File.Delete(path);
        if (says == "is a directory")
        {
            Directory.CreateDirectory(path);
        }
        Assert.Contains($"{path} {says}", AssertRefused().Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Directory_that_is_missing_is_named()
    {
        string nowhere = Path.Combine(_directory.Path, "nowhere");
        RefusalException error =
            Assert.Throws<RefusalException>(() => TlsCredentials.Load("dev", nowhere));
        Assert.Equal("DMR-TLS-FILES", error.Id);
        Assert.Contains($"the directory {nowhere} is missing", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void List_of_revoked_certificates_is_refused_and_not_passed_over()
    {
        File.WriteAllText(Path.Combine(Folder, "ca-crl.pem"), "");
        RefusalException error = AssertRefused();
        Assert.Contains("ca-crl.pem", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Key_of_another_certificate_is_refused()
    {
        string key = File.ReadAllText(TlsCredentials.KeyPath(Folder));
        _certificates.WriteServer();
        File.WriteAllText(TlsCredentials.KeyPath(Folder), key);
        Assert.Contains(
            TlsCredentials.KeyPath(Folder), AssertRefused().Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("server-cert.pem", "noise")]
    [InlineData("server-cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
    [InlineData("server-key.pem", "noise")]
    [InlineData("server-key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")]
    [InlineData("ca-cert.pem", "noise")]
    [InlineData("ca-cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
    public void File_that_holds_something_else_is_named(string name, string content)
    {
        string path = Path.Combine(Folder, name);
        File.WriteAllText(path, content);
        Assert.Contains($"{path} holds no ", AssertRefused().Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(UnixFileMode.UserRead, false)]
    [InlineData(UnixFileMode.UserRead | UnixFileMode.GroupRead, false)]
    [InlineData(UnixFileMode.UserRead | UnixFileMode.OtherRead, true)]
    [InlineData(UnixFileMode.UserRead | UnixFileMode.OtherWrite, true)]
    public void Key_that_others_can_read_or_write_is_exposed_also_behind_a_link(
        UnixFileMode mode, bool isExposed)
    {
        string key = TlsCredentials.KeyPath(Folder);
        File.SetUnixFileMode(key, mode);
        Assert.Equal(isExposed, TlsCredentials.IsKeyExposed(Folder));
        string elsewhere = Path.Combine(_directory.Path, "key");
        File.Move(key, elsewhere);
        File.CreateSymbolicLink(key, elsewhere);
        Assert.Equal(isExposed, TlsCredentials.IsKeyExposed(Folder));
    }

    private RefusalException AssertRefused()
    {
        RefusalException error =
            Assert.Throws<RefusalException>(() => TlsCredentials.Load("dev", Folder));
        Assert.Equal("DMR-TLS-FILES", error.Id);
        Assert.Equal(ExitCode.Usage, error.ExitCode);
        return error;
    }
}
