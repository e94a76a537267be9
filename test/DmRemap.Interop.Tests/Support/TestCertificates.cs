using System;
using System.IO;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace DmRemap.Interop.Tests.Support;

/// <summary>
/// An authority of its own, and the directories that a server and a client of it have, with the names that
/// nbdkit, libnbd and qemu use.
/// </summary>
internal sealed class TestCertificates : IDisposable
{
    /// <summary>Of no machine (RFC 5737); the server's certificate is for it too.</summary>
    public const string OtherAddress = "192.0.2.1";

    private const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";

    private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly X509Certificate2 _authority;
    private readonly string _folder;
    private int _serial;

    public TestCertificates(string folder, string name)
    {
        _folder = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
        CertificateRequest request = new($"CN=authority {name}", _key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(
            X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(
            new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        _authority = request.CreateSelfSigned(
            TimeProvider.System.GetUtcNow().AddDays(-1), TimeProvider.System.GetUtcNow().AddDays(30));
        ServerFolder = Path.Combine(_folder, "server");
        ClientFolder = Path.Combine(_folder, "client");
        WriteServer();
        Write(ClientFolder, "client", ClientAuthentication);
    }

    public string ServerFolder { get; }

    public string ClientFolder { get; }

    /// <summary>A folder of a client that trusts the server and has no certificate.</summary>
    public string AnonymousFolder()
    {
        string folder = Directory.CreateDirectory(Path.Combine(_folder, "anonymous")).FullName;
        File.WriteAllText(Path.Combine(folder, "ca-cert.pem"), _authority.ExportCertificatePem());
        return folder;
    }

    /// <summary>A new key and certificate for the server.</summary>
    public void WriteServer() => Write(ServerFolder, "server", ServerAuthentication);

    /// <summary>Of a client whose certificate has ended.</summary>
    public string ExpiredClientFolder()
    {
        string folder = Path.Combine(_folder, "expired");
        Write(folder, "client", ClientAuthentication, days: -0.5);
        return folder;
    }

    /// <summary>Of a client that shows a certificate which was made for servers.</summary>
    public string WrongPurposeFolder()
    {
        string folder = Path.Combine(_folder, "purpose");
        Write(folder, "client", ServerAuthentication);
        return folder;
    }

    /// <summary>Of a client whose issuer has only the name of the authority.</summary>
    public string NamesakeFolder()
    {
        string folder = Path.Combine(_folder, "namesake");
        using TestCertificates namesake = new(folder, Path.GetFileName(_folder));
        File.Copy(
            Path.Combine(ClientFolder, "ca-cert.pem"), Path.Combine(namesake.ClientFolder, "ca-cert.pem"),
            overwrite: true);
        return namesake.ClientFolder;
    }

    public void Dispose()
    {
        _authority.Dispose();
        _key.Dispose();
    }

    private void Write(string folder, string role, string usage, double days = 20)
    {
        Directory.CreateDirectory(folder);
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = new($"CN={role}", key, HashAlgorithmName.SHA256);
        SubjectAlternativeNameBuilder names = new();
        names.AddDnsName("localhost");
        names.AddIpAddress(IPAddress.Loopback);
        names.AddIpAddress(IPAddress.Parse(OtherAddress));
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(
            X509KeyUsageFlags.DigitalSignature, true));
        request.CertificateExtensions.Add(
            new X509EnhancedKeyUsageExtension([new Oid(usage)], false));
        _serial++;
        byte[] serial = [1, (byte)_serial];
        using X509Certificate2 certificate = request.Create(
            _authority, TimeProvider.System.GetUtcNow().AddDays(-1),
            TimeProvider.System.GetUtcNow().AddDays(days), serial);
        File.WriteAllText(Path.Combine(folder, "ca-cert.pem"), _authority.ExportCertificatePem());
        File.WriteAllText(
            Path.Combine(folder, $"{role}-cert.pem"),
            certificate.ExportCertificatePem());
        string keyPath = Path.Combine(folder, $"{role}-key.pem");
        File.WriteAllText(keyPath, key.ExportPkcs8PrivateKeyPem());
        File.SetUnixFileMode(keyPath, UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }
}
