using DmRemap.Linux.Loop;
using Xunit;

namespace DmRemap.Tests.Linux;

[Collection(nameof(DescriptorCounting))]
public sealed class SocketStreamTests() : SocketStreamContract(LoopBackend.IoUring);

[Collection(nameof(DescriptorCounting))]
public sealed class SocketStreamOnEpollTests() : SocketStreamContract(LoopBackend.Epoll);
