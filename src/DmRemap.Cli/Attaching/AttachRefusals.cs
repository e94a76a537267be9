using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;
using DmRemap.Linux.Native;

namespace DmRemap.Cli.Attaching;

/// <summary>Why a device cannot be attached or detached, one message each.</summary>
internal static class AttachRefusals
{
    private const int UsersMax = 8;

    public static Refusal NeedsRoot(string name) => new(
        "DMR-ATTACH-NEEDS-ROOT",
        ExitCode.NotPermitted,
        name,
        "A block device can only be made by root.",
        $"Run it as root, or use the disk as a file: dmremap attach {name} --file");

    public static Refusal NoFuse(string name) => new(
        "DMR-ATTACH-NO-FUSE",
        ExitCode.MissingHere,
        name,
        "This machine has no /dev/fuse, through which the kernel would reach the device.",
        "Load the module (modprobe fuse); in a container, pass the device (--device /dev/fuse). NBD works "
            + $"without it: dmremap serve {name}");

    public static Refusal NoProgram(string name) => new(
        "DMR-ATTACH-NO-FUSERMOUNT",
        ExitCode.MissingHere,
        name,
        "Without being root, mounting needs the program fusermount3, and there is none here.",
        "Install the package fuse3, or run this as root.");

    public static Refusal NoLoop(string name) => new(
        "DMR-ATTACH-NO-LOOP",
        ExitCode.MissingHere,
        name,
        "This machine has no loop devices (/dev/loop-control, /dev/loopN).",
        "Load the module (modprobe loop); in a container, pass the devices. Without them the disk can be "
            + $"used as a file: dmremap attach {name} --file");

    public static Refusal NotPermitted(string name, SystemCallException error) => new(
        "DMR-ATTACH-NOT-PERMITTED",
        ExitCode.NotPermitted,
        name,
        $"The kernel does not allow it: {error.Message.TrimEnd('.')}.",
        "Root needs CAP_SYS_ADMIN, which a container must be given. Others need fusermount3 (setuid root) "
            + "and a /dev/fuse that they may open.");

    public static Refusal Failed(string name, string what) => new(
        "DMR-ATTACH-FAILED",
        ExitCode.Failed,
        name,
        $"It could not be attached: {what}.",
        $"Look at the kernel's log (dmesg) and at dmremap status {name}; nothing was left attached.");

    public static Refusal Unsafe(string name, string what) => new(
        "DMR-ATTACH-UNSAFE",
        ExitCode.RefusedForSafety,
        name,
        $"{what}: a write that failed could look successful to whoever uses the device.",
        $"Use NBD (dmremap serve {name}), or a newer kernel. A loop device that somebody else has made of "
            + "it: let it go (losetup -d).");

    public static Refusal InUse(string name, IEnumerable<string> users) => new(
        "DMR-ATTACH-IN-USE",
        ExitCode.InUse,
        name,
        $"It is in use: {string.Join("; ", users.Take(UsersMax))}.",
        $"Unmount it, or end what uses it; then: dmremap detach {name}");

    public static Refusal NameTaken(string name, string link, string device, string file) => new(
        "DMR-ATTACH-NAME-TAKEN",
        ExitCode.InUse,
        name,
        $"{link} leads to {device}, which stands on {file}: another device of this name is attached.",
        "Detach that one first, with the DMREMAP_CONFIG_DIR and DMREMAP_RUN_DIR it was attached with, or "
            + $"give one of them another name. A link that was only left behind: rm {link}");

    public static Refusal Leftovers(string name) => new(
        "DMR-ATTACH-SERVER-GONE",
        ExitCode.InUse,
        name,
        "It is attached, but the process that served it has gone: what uses it gets I/O errors.",
        $"Unmount what is on it, then: dmremap detach {name}");

    public static Refusal AtWork(string name) => new(
        "DMR-ATTACH-AT-WORK",
        ExitCode.InUse,
        name,
        "Another attach or detach of it is at work.",
        "Wait until it has ended, then try again.");

    public static Refusal NotReady(string name, double seconds, string log) => new(
        "DMR-ATTACH-NOT-READY",
        ExitCode.Failed,
        name,
        $"Its server was started, and was not ready within {seconds:0.#} s; it was ended again.",
        $"See what it waited for in {log}; --wait gives it more time.");

    public static Refusal NotReleased(string name, string loop) => new(
        "DMR-ATTACH-IN-USE",
        ExitCode.InUse,
        name,
        $"{loop} is still open by somebody who cannot be seen from here; it goes when he closes it.",
        $"End what uses it; then: dmremap detach {name}");

    public static Refusal StillServing(string name, int pieces) => new(
        "DMR-ATTACH-NOT-ENDED",
        ExitCode.InUse,
        name,
        Amounts.Plural(
            pieces,
            "request of the last time it was attached is still with the disks.",
            "requests of the last time it was attached are still with the disks."),
        $"Look at dmremap status {name}; try again when they have ended.");

    public static Refusal Attached(string name, string what) => new(
        "DMR-DEVICE-ATTACHED",
        ExitCode.InUse,
        name,
        $"\"{name}\" is attached as {what}, which would fail with it.",
        $"Let it go first: dmremap detach {name}");

    public static Refusal Running(string name, string what) => new(
        MessageIds.Running,
        ExitCode.InUse,
        name,
        $"\"{name}\" is running, and attached as {what}.",
        $"Let it go first: dmremap detach {name}; then, if it still runs: dmremap stop {name}");

    /// <summary>Of the system call that failed.</summary>
    public static Refusal Of(string name, SystemCallException error) => error.Errno switch
    {
        Errno.EPERM or Errno.EACCES => NotPermitted(name, error),
        Errno.ENOENT when error.Message.Contains("posix_spawn") => NoProgram(name),
        Errno.ENOENT or Errno.ENXIO or Errno.ENODEV when error.Message.Contains("/dev/fuse") => NoFuse(name),
        Errno.ENOENT or Errno.ENXIO or Errno.ENODEV when error.Message.Contains("/dev/loop") => NoLoop(name),
        _ => Failed(name, error.Message),
    };

    /// <summary>
    /// This command may have been started with it open, as its parent then has it too: that one is to be
    /// ended.
    /// </summary>
    public static IEnumerable<string> Words(string path, IReadOnlyList<ClaimHolder> openers)
    {
        ClaimHolder[] others = [.. openers.Where(opener => opener.ProcessId != Environment.ProcessId)];
        return others.Length > 0 || openers.Count == 0
            ? others.Select(opener => $"{path} is open in {opener.Command} (process {opener.ProcessId})")
            : [$"{path} is open in this very command, which was started with it open"];
    }

    public static IEnumerable<string> Words(string loop, IEnumerable<MemberUser> users) =>
        users.Select(user => $"{loop} is {user}".Replace(" is its part ", ": part "));
}
