using System;
using System.IO;
using System.Text.Json;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Registry;

/// <summary>How far a device's scrub has come, as it is kept over restarts.</summary>
public sealed record ScrubProgress
{
    /// <summary>Of the set: another's progress says nothing.</summary>
    public required Guid SetUuid { get; init; }

    /// <summary>The next step, and how many there are; a device of another size has others.</summary>
    public required long Step { get; init; }

    public required long Steps { get; init; }

    /// <summary>Blocks that did not read in the steps before.</summary>
    public required long BlocksFailed { get; init; }

    public required long BytesPerSecond { get; init; }

    /// <summary>It was running, and goes on with the next start.</summary>
    public required bool IsRunning { get; init; }

    /// <summary>When the last whole pass ended.</summary>
    public DateTimeOffset? LastEnded { get; init; }
}

/// <summary>
/// NAME.scrub beside NAME.json, replaced whole. Nothing depends on it but where a scrub goes on: whatever is
/// wrong with it, the scrub begins anew.
/// </summary>
public sealed class ScrubFile(string directory, IStateFiles files, string name)
{
    private const string Suffix = ".scrub";
    private const int FileBytesMax = 4096;

    private string Path
    {
        get
        {
            DeviceName.Require(name);
            return System.IO.Path.Combine(directory, name + Suffix);
        }
    }

    /// <summary>Null when there is none, or none that can be used.</summary>
    public ScrubProgress? Load()
    {
        try
        {
            byte[]? text = DeviceRegistry.ReadBounded(Path, name, FileBytesMax);
            ScrubProgress? read =
                text is null ? null : JsonSerializer.Deserialize(text, RegistryJson.Default.ScrubProgress);
            bool isSound = read is { Step: >= 0, BlocksFailed: >= 0 } && read.Step <= read.Steps;
            return isSound ? read : null;
        }
        catch (Exception e) when (e is RefusalException or JsonException or IOException)
        {
            return null;
        }
    }

    /// <summary>Errors of the file system are IOException or UnauthorizedAccessException.</summary>
    public void Store(ScrubProgress progress) => files.Replace(
        Path, JsonSerializer.SerializeToUtf8Bytes(progress, RegistryJson.Default.ScrubProgress));

    /// <summary>False when there was none.</summary>
    /// <exception cref="RefusalException">DMR-REGISTRY-WRITE (exit 1).</exception>
    public bool Remove() => DeviceRegistry.Write(name, Path, () => files.Remove(Path));
}
