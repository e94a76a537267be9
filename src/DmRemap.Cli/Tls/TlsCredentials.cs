using System;
using System.IO;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Tls;

/// <summary>What the directory holds, with the names that nbdkit and qemu use.</summary>
internal static class TlsCredentials
{
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";

    /// <exception cref="RefusalException">DMR-TLS-FILES (exit 2).</exception>
    public static SslServerAuthenticationOptions Load(string device, string directory)
    {
        try
        {
            return Read(directory);
        }
        catch (Exception e)
            when (e is IOException or UnauthorizedAccessException or CryptographicException
                or ArgumentException or FormatException or NotSupportedException
                or InvalidOperationException)
        {
            throw new RefusalException(
                new Refusal(
                    "DMR-TLS-FILES",
                    ExitCode.Usage,
                    device,
                    $"The certificates in {directory} cannot be used: {e.Message.TrimEnd('.')}.",
                    "The directory needs server-cert.pem and server-key.pem (not encrypted), which the "
                        + "user that serves may read; ca-cert.pem is what certificates of clients are "
                        + "checked against."),
                e);
        }
    }

    public static bool DemandsCertificates(SslServerAuthenticationOptions options) =>
        options.ClientCertificateRequired;

    /// <summary>Others than its owner and group may read the key, or write to it.</summary>
    public static bool IsKeyExposed(string directory) =>
        (File.GetUnixFileMode(KeyPath(directory)) & (UnixFileMode.OtherRead | UnixFileMode.OtherWrite)) != 0;

    public static string KeyPath(string directory) => Path.Combine(directory, "server-key.pem");

    private static SslServerAuthenticationOptions Read(string directory)
    {
        if (!Directory.Exists(directory))
        {
            throw new DirectoryNotFoundException($"the directory {directory} is missing");
        }
        string certificatePath = Path.Combine(directory, "server-cert.pem");
        RequireReadable(certificatePath);
        RequireReadable(KeyPath(directory));
        X509Certificate2Collection chain = ReadCertificates(certificatePath);
        X509Certificate2 server = ReadServer(certificatePath, KeyPath(directory));
        SslServerAuthenticationOptions options = new()
        {
            ServerCertificateContext = SslStreamCertificateContext.Create(server, chain, offline: true),
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            AllowRenegotiation = false,
            // Each connection shows its certificate anew: it may have expired since the last one.
            AllowTlsResume = false,
        };
        if (IsThere(Path.Combine(directory, "ca-crl.pem")))
        {
            throw new NotSupportedException(
                "ca-crl.pem is there, and lists of revoked certificates are not read: who is to be kept out "
                    + "would be let in (use an authority of its own for the server's clients)");
        }
        string authorityPath = Path.Combine(directory, "ca-cert.pem");
        if (IsThere(authorityPath))
        {
            RequireReadable(authorityPath);
            options.ClientCertificateRequired = true;
            options.CertificateChainPolicy = ReadAuthority(authorityPath);
        }
        return options;
    }

    /// <summary>The libraries' own words for these name a part of a path, or no file at all.</summary>
    private static void RequireReadable(string path)
    {
        try
        {
            File.OpenHandle(path).Dispose();
        }
        catch (FileNotFoundException e)
        {
            throw new FileNotFoundException($"{path} is missing, or a link that leads nowhere", e);
        }
        catch (UnauthorizedAccessException e)
        {
            string why = Directory.Exists(path) ? "is a directory" : "may not be read by this user";
            throw new UnauthorizedAccessException($"{path} {why}", e);
        }
    }

    /// <summary>The certificate alone has been read before: what is wrong now is the key.</summary>
    private static X509Certificate2 ReadServer(string certificatePath, string keyPath)
    {
        try
        {
            return X509Certificate2.CreateFromPemFile(certificatePath, keyPath);
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            throw new CryptographicException(
                $"{keyPath} holds no key of the certificate in {certificatePath}: it is no PEM file, is "
                    + "encrypted, or belongs to another certificate",
                e);
        }
    }

    private static X509Certificate2Collection ReadCertificates(string path)
    {
        X509Certificate2Collection certificates = [];
        try
        {
            certificates.ImportFromPemFile(path);
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            throw new CryptographicException($"{path} holds no certificate that can be read: {e.Message}", e);
        }
        return certificates.Count > 0
            ? certificates
            : throw new CryptographicException($"{path} holds no certificate");
    }

    private static X509ChainPolicy ReadAuthority(string path)
    {
        X509ChainPolicy policy = new()
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
            DisableCertificateDownloads = true,
        };
        policy.CustomTrustStore.AddRange(ReadCertificates(path));
        policy.ApplicationPolicy.Add(new Oid(ClientAuthentication));
        return policy;
    }

    /// <summary>
    /// A link that leads nowhere, a directory, or what may not be looked at is there all the same: taking
    /// it for absent would let everybody in.
    /// </summary>
    private static bool IsThere(string path)
    {
        try
        {
            _ = File.GetAttributes(path);
            return true;
        }
        catch (FileNotFoundException)
        {
            return false;
        }
    }
}
