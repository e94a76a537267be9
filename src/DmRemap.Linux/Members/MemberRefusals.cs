using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Members;

/// <summary>
/// The words of every refusal about a member, in one place: what happened, what it means, what to do.
/// </summary>
internal static class MemberRefusals
{
    public static Refusal Missing(string path) => new(
        "DMR-MEMBER-MISSING",
        ExitCode.NoSuchDevice,
        path,
        $"{path} does not exist.",
        "Check the path and the cable; /dev/disk/by-id has names that survive a reboot.");

    /// <summary>Of a file that is to be made.</summary>
    public static Refusal FolderMissing(string path, string folder) => new(
        "DMR-MEMBER-MISSING",
        ExitCode.NoSuchDevice,
        folder,
        $"The folder {folder} does not exist, so that {path} cannot be made in it.",
        "Make the folder first, or give another path.");

    public static Refusal NotStorage(string path, string what) => new(
        "DMR-MEMBER-NOT-STORAGE",
        ExitCode.Usage,
        path,
        $"{path} is {what}, not a block device or regular file.",
        "Give the path of a disk, partition or image file.");

    public static Refusal Empty(string path, MemberKind kind) => new(
        "DMR-MEMBER-EMPTY",
        ExitCode.Usage,
        path,
        kind == MemberKind.BlockDevice
            ? $"{path} has no capacity: no medium, a detached loop device, or a disk that has failed"
                + " altogether."
            : $"{path} is smaller than one block: there is nothing to serve.",
        kind == MemberKind.BlockDevice
            ? "Check the device with `lsblk` and the kernel log."
            : "Give a file with content.");

    public static Refusal NotPermitted(string path, int errno) => new(
        "DMR-MEMBER-NOT-PERMITTED",
        ExitCode.NotPermitted,
        path,
        $"{path} cannot be opened: {FileCalls.Describe(errno)}.",
        "Run this as root or as the owner of the file; a read-only device can be served with --read-only.");

    public static Refusal CannotOpen(string path, int errno) => new(
        "DMR-MEMBER-CANNOT-OPEN",
        ExitCode.Failed,
        path,
        $"{path} cannot be opened: {FileCalls.Describe(errno)}, {Errno.Name(errno)} ({errno}).",
        "Look at the kernel log for this device; nothing has been changed.");

    public static Refusal NoDirectIo(string path) => new(
        "DMR-MEMBER-NO-DIRECT-IO",
        ExitCode.RefusedForSafety,
        path,
        $"{path} does not take direct I/O (O_DIRECT). Through the page cache its errors would be seen too"
            + " late.",
        "Give the device below it, or an image file for a rehearsal.");

    public static Refusal Replaced(string path) => new(
        "DMR-MEMBER-REPLACED",
        ExitCode.Failed,
        path,
        $"{path} was replaced by another file or device while it was being opened.",
        "Run this again when nobody moves it.");

    public static Refusal Misaligned(string path) => new(
        "DMR-MEMBER-MISALIGNED",
        ExitCode.RefusedForSafety,
        path,
        $"The kernel calls {path} misaligned: the disks below it do not agree on where a physical block"
            + " begins.",
        "Put the partition or array on a boundary of all its disks, or give one of the disks itself.");

    public static Refusal BlockSize(string path, int asked, int own) => new(
        "DMR-MEMBER-BLOCK-SIZE",
        ExitCode.Usage,
        path,
        $"{path} has logical blocks of {own} bytes; it cannot be served in blocks of {asked}.",
        $"Leave --block-size out, or give a multiple of {own}.");

    public static Refusal BlockOffset(string path, int asked, int alignmentOffset) => new(
        "DMR-MEMBER-BLOCK-SIZE",
        ExitCode.Usage,
        path,
        $"The first physical block of {path} begins at byte {alignmentOffset}; it cannot be served in blocks"
            + $" of {asked}.",
        "Leave --block-size out, or align the partition to the disk's physical blocks.");

    public static Refusal InUse(string path, string holders) => new(
        "DMR-MEMBER-IN-USE",
        ExitCode.InUse,
        path,
        $"{path} is in use: {holders}.",
        "Stop whoever uses it (`dmremap stop NAME` for a served device, `dmremap detach NAME` for an "
            + "attached one), then run this again.");

    public static Refusal UsedBy(string path, MemberUser user) => new(
        user.Kind switch
        {
            UserKind.Mount => "DMR-MEMBER-MOUNTED",
            UserKind.Swap => "DMR-MEMBER-SWAP",
            UserKind.DeviceMapper => "DMR-MEMBER-DEVICE-MAPPER",
            UserKind.Md => "DMR-MEMBER-RAID",
            UserKind.Loop => "DMR-MEMBER-LOOP",
            _ => "DMR-MEMBER-IN-USE",
        },
        ExitCode.InUse,
        path,
        $"{path} cannot be taken: {user}. Two writers would destroy each other's data.",
        user.Kind switch
        {
            UserKind.Mount => $"Unmount it first: `umount {user.Name}`.",
            UserKind.Swap => $"Turn the swap area off first: `swapoff {user.Name}`.",
            UserKind.DeviceMapper => $"Remove {user.Name} first (`dmsetup ls --tree`, `vgchange -an`,"
                + " `cryptsetup close`).",
            UserKind.Md => $"Stop {user.Name} first: `mdadm --stop /dev/{user.Name}`.",
            UserKind.Loop => $"Detach it first: `losetup -d /dev/{user.Name}`.",
            _ => "Release it from that driver first.",
        });

    public static Refusal SameMember(string first, string second) => new(
        "DMR-MEMBER-SAME",
        ExitCode.RefusedForSafety,
        second,
        $"{second} and {first} are the same storage. A block moved from one to the other would not move at"
            + " all.",
        "Give a different device or file for each.");

    public static Refusal Overlap(string upper, string lower) => new(
        "DMR-MEMBER-OVERLAP",
        ExitCode.RefusedForSafety,
        upper,
        $"{upper} lies on {lower}: writing to one changes the other, and waits for it.",
        "Give storage that does not depend on the other member: another disk, or a file on one.");

    public static Refusal StateOnMember(string path, string member) => new(
        "DMR-STATE-ON-MEMBER",
        ExitCode.RefusedForSafety,
        path,
        $"{path} lies on {member}: what keeps the device running would wait for the device.",
        "Keep configuration, sockets and the program itself on another disk (DMREMAP_CONFIG_DIR,"
            + " DMREMAP_RUN_DIR).");

    public static Refusal SameDisk(string main, string spare) => new(
        "DMR-SPARE-SAME-DISK",
        ExitCode.RefusedForSafety,
        spare,
        $"The spare {spare} is on the same physical disk as {main}: when that disk fails, both do.",
        "Give a spare on another disk, or --force if there is none.")
    {
        CanBeForced = true,
    };

    public static Refusal ForeignData(string spare, string description) => new(
        "DMR-SPARE-FOREIGN-DATA",
        ExitCode.RefusedForSafety,
        spare,
        $"The spare {spare} carries data: {description}. It would be overwritten.",
        "Give another spare, or --force if that data is not needed.")
    {
        CanBeForced = true,
    };

    public static Refusal SignatureUnknown(string spare, string reason) => new(
        "DMR-SPARE-NOT-PROBED",
        ExitCode.RefusedForSafety,
        spare,
        $"Whether the spare {spare} carries data could not be found out: {reason}. It would be overwritten.",
        "Install util-linux (blkid), or give --force if you know that the spare carries nothing.")
    {
        CanBeForced = true,
    };

    public static Refusal SpareBuffered(string spare, string reason) => new(
        "DMR-SPARE-NO-DIRECT-IO",
        ExitCode.RefusedForSafety,
        spare,
        $"The spare {spare} can only be written through the page cache ({reason}), where its errors are"
            + " seen too late.",
        "Give a block device, or a file on ext4 or XFS.");

    public static Refusal SpareTooSmall(string spare, long bytes, long needed) => new(
        "DMR-SPARE-TOO-SMALL",
        ExitCode.Usage,
        spare,
        $"The spare {spare} has {bytes} bytes; at least {needed} are needed ({needed - bytes} more).",
        $"Give a spare of {needed} bytes or more.");

    public static Refusal SizeChanged(string path, long bytes, long recorded) => new(
        "DMR-MEMBER-SIZE-CHANGED",
        ExitCode.RefusedForSafety,
        path,
        $"{path} has {bytes} bytes; it had {recorded} when the device was created. It is another one, or"
            + " was resized.",
        "Check the path; if it was resized, bring it back to its old size.");

    public static Refusal OtherDisk(string path, string difference) => new(
        "DMR-MEMBER-OTHER-DISK",
        ExitCode.RefusedForSafety,
        path,
        $"{path} is not the disk this device was created with: {difference}.",
        "Check the path; /dev/disk/by-id has names that stay with a disk. If it is a copy of the old disk,"
            + $" made on purpose while the device was stopped: `dmremap rebind NAME --main {path}`.");
}
