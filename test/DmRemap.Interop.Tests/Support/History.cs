using System.Threading;
using System.Threading.Tasks;

namespace DmRemap.Interop.Tests.Support;

/// <summary>
/// For each unit, the version of the last write that was begun and of the last that was acknowledged. Each
/// unit has one writer. Version 0 is what was there in the beginning.
/// </summary>
internal sealed class History
{
    private readonly long[] _begun;
    private readonly long[] _acknowledged;
    private long _acknowledgements;
    private long _versions;
    private long _wanted = long.MaxValue;
    private TaskCompletionSource _enough = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public History(int units)
    {
        _begun = new long[units];
        _acknowledged = new long[units];
    }

    /// <summary>
    /// A version that no write has ever had: a write of a dead instance that lands late is told apart.
    /// </summary>
    public long Begin(int unit)
    {
        long version = Interlocked.Increment(ref _versions);
        _begun[unit] = version;
        return version;
    }

    public void Acknowledge(int unit, long version)
    {
        _acknowledged[unit] = version;
        if (Interlocked.Increment(ref _acknowledgements) >= Volatile.Read(ref _wanted))
        {
            _enough.TrySetResult();
        }
    }

    public long Begun(int unit) => _begun[unit];

    public long Acknowledged(int unit) => _acknowledged[unit];

    /// <summary>A version was read back: what is there from now on is this one, or a later one.</summary>
    public void Settle(int unit, long version)
    {
        _acknowledged[unit] = version;
        _begun[unit] = version;
    }

    /// <summary>Completes when so many more writes have been acknowledged.</summary>
    public async Task WaitForAcknowledgementsAsync(int count)
    {
        Volatile.Write(ref _wanted, Interlocked.Read(ref _acknowledgements) + count);
        await _enough.Task;
        Volatile.Write(ref _wanted, long.MaxValue);
        _enough = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
