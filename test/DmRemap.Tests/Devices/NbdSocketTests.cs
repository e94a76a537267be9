using DmRemap.Linux.Loop;

namespace DmRemap.Tests.Devices;

public sealed class NbdSocketTests() : NbdSocketContract(LoopBackend.IoUring);

public sealed class NbdSocketOnEpollTests() : NbdSocketContract(LoopBackend.Epoll);
