namespace DmRemap.Linux.Loop;

/// <summary>How a loop hands operations to the kernel.</summary>
public enum LoopBackend
{
    /// <summary>io_uring where it is permitted, else epoll.</summary>
    Automatic = 0,

    IoUring = 1,

    /// <summary>epoll for sockets, threads for files.</summary>
    Epoll = 2,
}
