using System;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Cli.Devices;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Lab;

/// <summary>
/// The file that holds the content of a disk of the lab: sparse, so that a large disk takes the room of what
/// is written to it. Without a path of the user's it has no name any more once it is open, and goes with the
/// process however that ends.
/// </summary>
internal sealed class LabBacking(OpenedMember member, string path, bool isTemporary)
{
    public OpenedMember Member { get; } = member;

    public string Path { get; } = path;

    public bool IsTemporary { get; } = isTemporary;

    /// <exception cref="RefusalException">It cannot be had.</exception>
    public static async Task<LabBacking> OpenAsync(
        LabOptions options, HostDirectories directories, Action<string> say, CancellationToken cancellation)
    {
        bool isTemporary = options.FilePath is null;
        string path = isTemporary ? TemporaryPath(options, directories) : options.FilePath!;
        bool isOurs = false;
        try
        {
            if (!isTemporary && System.IO.Path.Exists(path) && !IsRegularFile(path))
            {
                throw LabRefusals.NotAFile(path);
            }
            if (isTemporary || !File.Exists(path))
            {
                FileStreamOptions creation = new()
                {
                    Mode = FileMode.CreateNew,
                    Access = FileAccess.Write,
                    UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
                };
                await using FileStream file = new(path, creation);
                isOurs = true;
                file.SetLength(SizeOf(options));
            }
            MemberOptions how = new()
            {
                BlockBytes = options.BlockBytes,
                FilePhysicalBlockBytes = options.PhysicalBytes,
            };
            OpenedMember member = await OpenedMember.ClaimAsync(path, how, say, cancellation);
            return new LabBacking(Checked(member, options), path, isTemporary);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw LabRefusals.Unreadable(path, e.Message);
        }
        finally
        {
            if (isTemporary && isOurs)
            {
                File.Delete(path);
            }
        }
    }

    private static OpenedMember Checked(OpenedMember member, LabOptions options)
    {
        bool isFile = member.Kind == MemberKind.File;
        bool isSize = options.SizeBytes is null || options.SizeBytes == member.SizeBytes;
        if (isFile && isSize)
        {
            return member;
        }
        member.Dispose();
        throw isFile
            ? LabRefusals.OfUsage(
                options.Name,
                $"{options.FilePath} has {member.SizeBytes} bytes, and --size says {options.SizeBytes}.",
                "Leave --size out where the file is there already.")
            : LabRefusals.NotAFile(member.Path);
    }

    private static bool IsRegularFile(string path) =>
        (File.GetAttributes(path) & (FileAttributes.Directory | FileAttributes.Device)) == 0;

    private static long SizeOf(LabOptions options)
    {
        if (options.SizeBytes is not long bytes)
        {
            throw LabRefusals.OfUsage(
                options.Name,
                "How large the disk is to be is not said.",
                "Give --size, as in --size 1G; or --file with a file that is there.");
        }
        if (bytes < options.PhysicalBytes || bytes % options.PhysicalBytes != 0)
        {
            throw LabRefusals.OfUsage(
                options.Name,
                $"{bytes} bytes are not a whole number of physical sectors of {options.PhysicalBytes} bytes.",
                "Give another --size.");
        }
        return bytes;
    }

    private static string TemporaryPath(LabOptions options, HostDirectories directories)
    {
        _ = SizeOf(options);
        string name = $"{options.Name}-{System.IO.Path.GetRandomFileName()}";
        return System.IO.Path.Combine(options.Folder ?? directories.LabPath, name);
    }
}
