using System.Diagnostics.CodeAnalysis;
using System.IO;
using System.Runtime.InteropServices;

namespace DmRemap.Linux.Native;

/// <summary>A system call of the control plane failed. Never thrown on the data path.</summary>
[SuppressMessage("Design", "CA1032", Justification = "Always made with the call, its subject and errno.")]
public sealed class SystemCallException(string call, string subject, int errno)
    : IOException($"{call} {subject}: {Marshal.GetPInvokeErrorMessage(errno)} ({Native.Errno.Name(errno)})")
{
    /// <summary>Positive.</summary>
    public int Errno { get; } = errno;
}
