using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Registry;

/// <summary>
/// NAME.state beside NAME.json, replaced whole. It only ever names what was durable on the spares, so that an
/// old one is true as well, and a later one that could not be stored costs no more than some of what it would
/// have noticed.
/// </summary>
public sealed class HostWitnessFile(string directory, IStateFiles files, string name)
{
    private const string Suffix = ".state";

    public string Path
    {
        get
        {
            DeviceName.Require(name);
            return System.IO.Path.Combine(directory, name + Suffix);
        }
    }

    /// <summary>Null when there is none: another machine, or a device of an earlier version.</summary>
    /// <exception cref="RefusalException">
    /// DMR-WITNESS-DAMAGED (exit 6), DMR-REGISTRY-UNREADABLE (exit 8): it may be there and newer than the
    /// spares, so it does not count as missing.
    /// </exception>
    public HostWitness? Load()
    {
        byte[]? text = DeviceRegistry.ReadBounded(Path, name, HostWitnessCodec.FileBytesMax);
        if (text is null)
        {
            return null;
        }
        RegistryParse parse = HostWitnessCodec.Decode(
            text, name, out HostWitness? witness, out string problem);
        if (parse != RegistryParse.Ok)
        {
            string what = parse == RegistryParse.Newer ? $"a newer version wrote it ({problem})" : problem;
            throw new RefusalException(new Refusal(
                "DMR-WITNESS-DAMAGED",
                ExitCode.MetadataUnreadable,
                name,
                $"{Path}, which says how far \"{name}\" had come on this machine, cannot be used: {what}. "
                    + "Whether the spares are the newest ones is not known.",
                $"If no old copy of a spare was put back: `dmremap serve {name} --accept-rollback` goes on "
                    + "and writes the file anew."));
        }
        return witness;
    }

    /// <summary>Errors of the file system are IOException or UnauthorizedAccessException.</summary>
    public void Store(HostWitness witness) => files.Replace(Path, HostWitnessCodec.Encode(witness));

    /// <summary>False when there was none.</summary>
    /// <exception cref="RefusalException">DMR-REGISTRY-WRITE (exit 1).</exception>
    public bool Remove() => DeviceRegistry.Write(name, Path, () => files.Remove(Path));
}
