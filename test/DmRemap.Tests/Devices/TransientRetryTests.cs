using DmRemap.Devices;
using DmRemap.Linux.Native;
using Xunit;

namespace DmRemap.Tests.Devices;

public sealed class TransientRetryTests
{
    [Theory]
    [InlineData(-Errno.EINTR)]
    [InlineData(-Errno.EAGAIN)]
    public void Transient_error_is_tried_again_but_not_for_ever(int result)
    {
        TransientRetry retry = default;
        for (int i = 0; i < TransientRetry.AttemptsMax; i++)
        {
            Assert.True(retry.TryAgain(result));
        }
        Assert.False(retry.TryAgain(result));
        retry.Reset();
        Assert.True(retry.TryAgain(result));
    }

    [Theory]
    [InlineData(-Errno.EIO)]
    [InlineData(-Errno.ENODATA)]
    [InlineData(0)]
    [InlineData(Errno.EAGAIN)]
    public void Every_other_result_is_final(int result)
    {
        TransientRetry retry = default;
        Assert.False(retry.TryAgain(result));
    }
}
