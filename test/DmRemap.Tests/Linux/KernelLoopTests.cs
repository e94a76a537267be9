using DmRemap.Linux.Loop;

namespace DmRemap.Tests.Linux;

public sealed class KernelLoopTests() : KernelLoopContract(LoopBackend.IoUring);

public sealed class KernelLoopOnEpollTests() : KernelLoopContract(LoopBackend.Epoll);
