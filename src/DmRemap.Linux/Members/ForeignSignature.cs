using System;
using System.Collections.Generic;
using System.ComponentModel;
using System.Diagnostics;
using System.IO;

namespace DmRemap.Linux.Members;

public enum SignatureFinding
{
    None = 0,

    /// <summary>Looked, and nothing known is there.</summary>
    Nothing = 1,

    /// <summary>Somebody's data: a file system, partition table, LUKS, LVM, md ….</summary>
    Found = 2,

    /// <summary>Could not look; says why.</summary>
    Unknown = 3,
}

/// <summary>What `blkid` recognises at the beginning of a device or file.</summary>
/// <param name="Finding">Whether anything was recognised.</param>
/// <param name="Description">"ext4 file system \"home\"", or why it is unknown; empty for nothing.</param>
public sealed record SignatureReport(SignatureFinding Finding, string Description);

/// <summary>Asks `blkid -p` whether a device or file carries somebody's data. Read-only.</summary>
public static class ForeignSignature
{
    private const int NothingFound = 2;
    private const int SeveralFound = 8;

    // A dying disk may take minutes for one sector; whoever asks wants an answer, and "unknown" is one.
    private const int TimeoutMs = 30_000;

    private static readonly string[] s_places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

    public static SignatureReport Probe(string path) => Probe(path, FindProgram());

    internal static SignatureReport Probe(string path, string? program)
    {
        if (program is null)
        {
            return new SignatureReport(SignatureFinding.Unknown, "blkid is not installed");
        }
        ProcessStartInfo start = new(program)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        foreach (string argument in (string[])["-p", "-o", "export", "--", Path.GetFullPath(path)])
        {
            start.ArgumentList.Add(argument);
        }
        start.Environment["LC_ALL"] = "C";
        List<string> lines = [];
        List<string> complaints = [];
        try
        {
            using Process process = new() { StartInfo = start };
            process.OutputDataReceived += (_, line) => Collect(lines, line.Data);
            process.ErrorDataReceived += (_, line) => Collect(complaints, line.Data);
            process.Start();
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
            if (!process.WaitForExit(TimeoutMs))
            {
                process.Kill();
                return new SignatureReport(
                    SignatureFinding.Unknown, $"blkid gave no answer in {TimeoutMs / 1000} s");
            }
            process.WaitForExit();
            return Interpret(process.ExitCode, lines, complaints);
        }
        catch (Win32Exception error)
        {
            return new SignatureReport(SignatureFinding.Unknown, $"blkid cannot be run: {error.Message}");
        }
    }

    internal static SignatureReport Interpret(
        int exitCode, IReadOnlyList<string> lines, IReadOnlyList<string> complaints)
    {
        if (exitCode == NothingFound && complaints.Count > 0)
        {
            // Also what it ends with when it could not read.
            return new SignatureReport(SignatureFinding.Unknown, complaints[0]);
        }
        if (exitCode == NothingFound)
        {
            return new SignatureReport(SignatureFinding.Nothing, string.Empty);
        }
        if (exitCode == SeveralFound)
        {
            return new SignatureReport(SignatureFinding.Found, "signatures of several kinds");
        }
        if (exitCode != 0)
        {
            return new SignatureReport(SignatureFinding.Unknown, $"blkid ended with {exitCode}");
        }
        string type = Value(lines, "TYPE");
        string table = Value(lines, "PTTYPE");
        string label = Value(lines, "LABEL");
        if (type.Length == 0 && table.Length == 0)
        {
            // A partition's place in its disk's table (PART_ENTRY_…) is reported, and says nothing about its
            // content.
            return new SignatureReport(SignatureFinding.Nothing, string.Empty);
        }
        string what = (type, Value(lines, "USAGE")) switch
        {
            ("", _) => $"{table} partition table",
            ("crypto_LUKS", _) => "LUKS encrypted volume",
            ("LVM2_member", _) => "LVM physical volume",
            ("linux_raid_member", _) => "member of a Linux RAID array",
            ("swap", _) => "swap area",
            (_, "filesystem") => $"{type} file system",
            _ => $"signature of {type}",
        };
        return new SignatureReport(SignatureFinding.Found, label.Length == 0 ? what : $"{what} \"{label}\"");
    }

    private static void Collect(List<string> lines, string? line)
    {
        if (!string.IsNullOrWhiteSpace(line))
        {
            lines.Add(line);
        }
    }

    private static string Value(IReadOnlyList<string> lines, string key)
    {
        foreach (string line in lines)
        {
            if (line.StartsWith(key, StringComparison.Ordinal)
                && line.Length > key.Length && line[key.Length] == '=')
            {
                return line[(key.Length + 1)..].Replace("\\", string.Empty, StringComparison.Ordinal);
            }
        }
        return string.Empty;
    }

    private static string? FindProgram()
    {
        string[] search = (Environment.GetEnvironmentVariable("PATH") ?? string.Empty).Split(':');
        foreach (string directory in (string[])[.. search, .. s_places])
        {
            string program = Path.Combine(directory, "blkid");
            if (directory.StartsWith('/') && File.Exists(program))
            {
                return program;
            }
        }
        return null;
    }
}
