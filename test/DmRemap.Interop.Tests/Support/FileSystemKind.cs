using System;
using System.IO;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>A file system of the kernel with its tools: how it is made and looked at.</summary>
/// <param name="Name">As mount and mkfs call it.</param>
/// <param name="Make">Options of mkfs.</param>
/// <param name="Check">Says what is wrong, and changes nothing.</param>
/// <param name="Repair">
/// Makes it fit to be mounted where blocks of its own are lost, its log too; null: it is mounted as it is.
/// </param>
internal sealed record FileSystemKind(string Name, string[] Make, string[] Check, string[]? Repair)
{
    /// <summary>
    /// What the check says of blocks of its own that read and are wrong; null: of lost ones too.
    /// </summary>
    public string? SaysWrongBytes { get; private init; }

    public static FileSystemKind Of(string name) => name switch
    {
        "ext4" => new("ext4", ["-q", "-F", "-b", "4096"], ["e2fsck", "-f", "-n"], ["e2fsck", "-f", "-y"]),
        "xfs" => new("xfs", ["-q", "-f"], ["xfs_repair", "-n"], ["xfs_repair", "-L"])
        {
            SaysWrongBytes = "CRC error|bad CRC",
        },
        "btrfs" => new("btrfs", ["-q", "-f"], ["btrfs", "check", "--readonly"], null),
        _ => throw new ArgumentException($"no file system {name} in these tests"),
    };

    /// <summary>Skips where the machine has not its tools, or the kernel does not know it.</summary>
    public void SkipUnlessKnown()
    {
        RequiredTools.SkipUnless("mkfs." + Name, Check[0]);
        string release = File.ReadAllText("/proc/sys/kernel/osrelease").Trim();
        bool isKnown = File.ReadAllText("/proc/filesystems").Contains(Name, StringComparison.Ordinal)
            || Directory.Exists($"/lib/modules/{release}");
        Assert.SkipUnless(isKnown, $"this kernel has no {Name}");
    }

    public async Task MakeAsync(string path) =>
        (await Command.RunAsync("mkfs." + Name, [.. Make, path])).Expect(0);

    public Task<CommandResult> CheckAsync(string path) =>
        Command.RunAsync(Check[0], [.. Check[1..], path]);

    public Task<CommandResult> RepairAsync(string path) => Repair is null
        ? Task.FromResult(new CommandResult("nothing", 0, "", ""))
        : Command.RunAsync(Repair[0], [.. Repair[1..], path]);
}
