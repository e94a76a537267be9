using System;
using System.Collections.Generic;
using System.IO;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Registry;

/// <summary>One name in the registry: its record, or why it cannot be read.</summary>
public sealed record RegistryEntry(string Name, DeviceRecord? Record, Refusal? Problem);

/// <summary>
/// The devices of this machine, one NAME.json each. A file that cannot be read is an error that names it,
/// never an absent device. Replaced whole, so a crash leaves the old or the new record.
/// </summary>
public sealed class DeviceRegistry
{
    private const string Suffix = ".json";

    private readonly string _directory;
    private readonly IStateFiles _files;

    /// <summary>
    /// The directory has been prepared, or only reading is meant; a missing one is an empty registry.
    /// </summary>
    public DeviceRegistry(string directory, IStateFiles files)
    {
        _directory = directory;
        _files = files;
    }

    public string PathOf(string name)
    {
        DeviceName.Require(name);
        return Path.Combine(_directory, name + Suffix);
    }

    /// <exception cref="RefusalException">
    /// DMR-NAME-INVALID, DMR-REGISTRY-NO-SUCH-DEVICE (exit 3), DMR-REGISTRY-DAMAGED or DMR-REGISTRY-NEWER
    /// (exit 6), DMR-REGISTRY-UNREADABLE (exit 8).
    /// </exception>
    public DeviceRecord Load(string name)
    {
        string path = PathOf(name);
        byte[]? text = ReadBounded(path, name, RegistryCodec.FileBytesMax);
        if (text is null)
        {
            throw new RefusalException(new Refusal(
                "DMR-REGISTRY-NO-SUCH-DEVICE",
                ExitCode.NoSuchDevice,
                name,
                $"There is no device \"{name}\": {path} does not exist.",
                "`dmremap list` shows the devices of this machine; `dmremap create` makes one."));
        }
        return RegistryCodec.Decode(text, name, out DeviceRecord? record, out string problem) switch
        {
            RegistryParse.Ok => record!,
            RegistryParse.Newer => throw new RefusalException(Newer(name, path, problem)),
            _ => throw new RefusalException(Damaged(name, path, problem)),
        };
    }

    /// <summary>Register a new device. Never overwrites.</summary>
    /// <exception cref="RefusalException">DMR-REGISTRY-NAME-TAKEN (exit 5), DMR-REGISTRY-WRITE (exit
    /// 1).</exception>
    public void Add(DeviceRecord record)
    {
        string path = PathOf(record.Name);
        byte[] text = RegistryCodec.Encode(record);
        bool created = Write(record.Name, path, () => _files.TryCreate(path, text));
        if (!created)
        {
            throw new RefusalException(NameTaken(record.Name, path));
        }
    }

    /// <summary>Before the work of `create` begins: Add decides, this only says it early.</summary>
    /// <exception cref="RefusalException">DMR-REGISTRY-NAME-TAKEN (exit 5).</exception>
    public void RequireFree(string name)
    {
        string path = PathOf(name);
        if (File.Exists(path) || Directory.Exists(path))
        {
            throw new RefusalException(NameTaken(name, path));
        }
    }

    /// <summary>Replace the record of a registered device.</summary>
    public void Replace(DeviceRecord record)
    {
        string path = PathOf(record.Name);
        byte[] text = RegistryCodec.Encode(record);
        Write(record.Name, path, () =>
        {
            _files.Replace(path, text);
            return true;
        });
    }

    /// <summary>Forget a device; its members are not touched. False when it was not registered.</summary>
    public bool Remove(string name)
    {
        string path = PathOf(name);
        return Write(name, path, () => _files.Remove(path));
    }

    /// <summary>Every name, sorted; also those whose record cannot be read.</summary>
    public IReadOnlyList<RegistryEntry> List()
    {
        List<RegistryEntry> entries = [];
        foreach (string name in Names())
        {
            try
            {
                entries.Add(new RegistryEntry(name, Load(name), null));
            }
            catch (RefusalException refusal)
            {
                entries.Add(new RegistryEntry(name, null, refusal.Refusal));
            }
        }
        return entries;
    }

    private List<string> Names()
    {
        List<string> names = [];
        try
        {
            foreach (string path in Directory.EnumerateFileSystemEntries(_directory, "*" + Suffix))
            {
                string name = Path.GetFileName(path)[..^Suffix.Length];
                if (DeviceName.IsValid(name))
                {
                    names.Add(name);
                }
            }
        }
        catch (DirectoryNotFoundException) when (!File.Exists(_directory))
        {
            return names; // Nothing has been registered yet.
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new RefusalException(Unreadable("-", _directory, error), error);
        }
        names.Sort(StringComparer.Ordinal);
        return names;
    }

    /// <summary>
    /// Null when there is no such file. One byte more than allowed is read, so that the codec sees it.
    /// </summary>
    internal static byte[]? ReadBounded(string path, string name, int bytesMax)
    {
        try
        {
            using FileStream stream =
                new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
            byte[] text = new byte[bytesMax + 1];
            int length = stream.ReadAtLeast(text, text.Length, throwOnEndOfStream: false);
            return text[..length];
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new RefusalException(Unreadable(name, path, error), error);
        }
    }

    internal static bool Write(string name, string path, Func<bool> write)
    {
        try
        {
            return write();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new RefusalException(
                new Refusal(
                    "DMR-REGISTRY-WRITE",
                    ExitCode.Failed,
                    name,
                    $"The record of \"{name}\" could not be stored in {path}: {error.Message.TrimEnd('.')}."
                        + " The file holds what it held before, or all of the new record.",
                    "Make the directory writable and give it room, or set DMREMAP_CONFIG_DIR; then run this"
                        + " again."),
                error);
        }
    }

    private static Refusal NameTaken(string name, string path) => new(
        "DMR-REGISTRY-NAME-TAKEN",
        ExitCode.RefusedForSafety,
        name,
        $"There is a device \"{name}\" already ({path}); its record is what leads to its remapped data.",
        "Choose another name.");

    private static Refusal Damaged(string name, string path, string problem) => new(
        "DMR-REGISTRY-DAMAGED",
        ExitCode.MetadataUnreadable,
        name,
        $"The record of \"{name}\" in {path} cannot be used: {problem}. The device itself has not been"
            + " touched.",
        "Restore the file from a backup, or correct it by hand; do not create the device anew over its"
            + " spares.");

    private static Refusal Newer(string name, string path, string problem) => new(
        "DMR-REGISTRY-NEWER",
        ExitCode.MetadataUnreadable,
        name,
        $"The record of \"{name}\" in {path} was written by a newer version ({problem}; this one reads format"
            + $" {RegistryCodec.Format}).",
        "Use that version of dmremap or a later one.");

    private static Refusal Unreadable(string name, string path, Exception error) => new(
        "DMR-REGISTRY-UNREADABLE",
        ExitCode.NotPermitted,
        name,
        $"{path} cannot be read: {error.Message.TrimEnd('.')}.",
        "Run this as the user that made the device, or make the file readable.");
}
