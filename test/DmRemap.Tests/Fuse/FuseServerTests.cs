using DmRemap.Linux.Loop;

namespace DmRemap.Tests.Fuse;

public sealed class FuseServerTests() : FuseServerContract(LoopBackend.IoUring);

public sealed class FuseServerOnEpollTests() : FuseServerContract(LoopBackend.Epoll);
