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
                or ArgumentException)
        {
            throw new RefusalException(
                new Refusal(
                    "DMR-TLS-FILES",
                    ExitCode.Usage,
                    device,
                    $"The certificates in {directory} cannot be used: {e.Message.TrimEnd('.')}.",
                    "The directory needs server-cert.pem and server-key.pem (not encrypted); ca-cert.pem is "
                        + "what certificates of clients are checked against."),
                e);
        }
    }

    public static bool DemandsCertificates(SslServerAuthenticationOptions options) =>
        options.ClientCertificateRequired;

    /// <summary>Others than its owner and group may read the key.</summary>
    public static bool IsKeyExposed(string directory) =>
        (File.GetUnixFileMode(KeyPath(directory)) & (UnixFileMode.OtherRead | UnixFileMode.OtherWrite)) != 0;

    public static string KeyPath(string directory) => Path.Combine(directory, "server-key.pem");

    private static SslServerAuthenticationOptions Read(string directory)
    {
        string certificatePath = Path.Combine(directory, "server-cert.pem");
        X509Certificate2 server = X509Certificate2.CreateFromPemFile(certificatePath, KeyPath(directory));
        X509Certificate2Collection chain = [];
        chain.ImportFromPemFile(certificatePath);
        SslServerAuthenticationOptions options = new()
        {
            ServerCertificateContext = SslStreamCertificateContext.Create(server, chain, offline: true),
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            AllowRenegotiation = false,
        };
        string authorityPath = Path.Combine(directory, "ca-cert.pem");
        if (File.Exists(authorityPath))
        {
            X509ChainPolicy policy = new()
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                RevocationMode = X509RevocationMode.NoCheck,
                DisableCertificateDownloads = true,
            };
            policy.CustomTrustStore.ImportFromPemFile(authorityPath);
            policy.ApplicationPolicy.Add(new Oid(ClientAuthentication));
            options.ClientCertificateRequired = true;
            options.CertificateChainPolicy = policy;
        }
        return options;
    }
}
