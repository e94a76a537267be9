using DmRemap.Linux.Loop;

namespace DmRemap.Tests.Devices;

public sealed class LinuxFileTests() : LinuxFileContract(LoopBackend.IoUring);

public sealed class LinuxFileOnEpollTests() : LinuxFileContract(LoopBackend.Epoll);
