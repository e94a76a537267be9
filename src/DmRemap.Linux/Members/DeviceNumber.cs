using System;
using System.Globalization;

namespace DmRemap.Linux.Members;

/// <summary>
/// A device as the kernel numbers it. Major 0 is a file system without a disk of its own (tmpfs, btrfs, nfs).
/// </summary>
public readonly record struct DeviceNumber(uint Major, uint Minor)
{
    public bool IsAnonymous => Major == 0;

    /// <summary>"8:1", as in /sys/dev/block and mountinfo.</summary>
    public static bool TryParse(string text, out DeviceNumber number)
    {
        number = default;
        int colon = text.IndexOf(':');
        if (colon < 0
            || !uint.TryParse(
                text.AsSpan(0, colon), NumberStyles.None, CultureInfo.InvariantCulture, out uint major)
            || !uint.TryParse(
                text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out uint minor))
        {
            return false;
        }
        number = new DeviceNumber(major, minor);
        return true;
    }

    public override string ToString() => $"{Major}:{Minor}";
}
