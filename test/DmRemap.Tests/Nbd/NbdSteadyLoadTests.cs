using DmRemap.Linux.Loop;

namespace DmRemap.Tests.Nbd;

public sealed class NbdSteadyLoadTests() : NbdSteadyLoadContract(LoopBackend.IoUring);

public sealed class NbdSteadyLoadOnEpollTests() : NbdSteadyLoadContract(LoopBackend.Epoll);
