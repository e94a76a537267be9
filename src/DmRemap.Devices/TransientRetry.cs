using DmRemap.Linux.Native;

namespace DmRemap.Devices;

/// <summary>
/// EINTR and EAGAIN say nothing about the medium: the operation is submitted again. Bounded, or a kernel that
/// always says so would keep the loop spinning.
/// </summary>
internal struct TransientRetry
{
    public const int AttemptsMax = 64;

    private int _attempts;

    /// <summary>
    /// True when the operation with this result (a negative errno) is to be submitted again.
    /// </summary>
    public bool TryAgain(int result)
    {
        if (result is not (-Errno.EINTR or -Errno.EAGAIN) || _attempts == AttemptsMax)
        {
            return false;
        }
        _attempts++;
        return true;
    }

    /// <summary>There was progress.</summary>
    public void Reset() => _attempts = 0;
}
