using System;
using System.Diagnostics.CodeAnalysis;

namespace DmRemap.Linux.Uring;

/// <summary>
/// This machine does not let the process use io_uring. The message is for the user; errno says the reason.
/// </summary>
[SuppressMessage("Design", "CA1032", Justification = "Always made with the errno.")]
public sealed class IoUringUnavailableException(int errno) : Exception(Explain(errno))
{
    /// <summary>
    /// Positive: EPERM (forbidden), ENOSYS (none, or a seccomp filter), EINVAL (too old), ENOMEM.
    /// </summary>
    public int Errno { get; } = errno;

    private static string Explain(int errno) => errno switch
    {
        Native.Errno.EPERM or Native.Errno.EACCES =>
            "io_uring is forbidden here (EPERM): set kernel.io_uring_disabled=0, or allow io_uring in the "
            + "container's seccomp profile",
        Native.Errno.ENOSYS =>
            "io_uring is missing here (ENOSYS): Linux 5.15 or newer is needed, with io_uring allowed by the "
            + "container's seccomp profile",
        Native.Errno.EINVAL or Native.Errno.EOPNOTSUPP =>
            "io_uring of this kernel is too old: Linux 5.15 or newer is needed",
        Native.Errno.ENOMEM =>
            "io_uring could not get its memory (ENOMEM): raise the locked-memory limit (ulimit -l)",
        _ => $"io_uring could not be set up ({Native.Errno.Name(errno)})",
    };
}
