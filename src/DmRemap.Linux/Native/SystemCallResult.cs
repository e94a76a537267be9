using System.Runtime.InteropServices;

namespace DmRemap.Linux.Native;

internal static class SystemCallResult
{
    /// <summary>Of a call that has just returned: its count or descriptor, or a negative errno.</summary>
    public static int ResultOf(long returned) =>
        returned < 0 ? -Marshal.GetLastPInvokeError() : (int)returned;
}
