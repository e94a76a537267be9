using System.Runtime.CompilerServices;
using DmRemap.Core.Abstractions;

namespace DmRemap.Linux.Loop;

/// <summary>
/// Receives the completion of one kernel operation at a time; allocated once and used again for ever. It
/// holds a slot of its loop (the operation's user_data), which is given up only when nothing is outstanding.
/// </summary>
public abstract class CompletionTarget
{
    /// <param name="loop">Whose operations it will receive. On its thread, or before it runs.</param>
    /// <param name="owner">Counts what the kernel still owns.</param>
    protected CompletionTarget(KernelLoop loop, OperationOwner owner)
    {
        Loop = loop;
        Owner = owner;
        Slot = loop.Register(this);
    }

    public KernelLoop Loop { get; }

    public OperationOwner Owner { get; }

    /// <summary>The kernel has the operation, its buffer and this slot until OnCompleted.</summary>
    public bool IsOutstanding { get; private set; }

    internal int Slot { get; private set; }

    /// <summary>Give the slot back. After this no operation may be submitted with this target.</summary>
    public void Unregister()
    {
        Invariant.Check(!IsOutstanding);
        Invariant.Check(Slot >= 0);
        Loop.Unregister(Slot);
        Slot = -1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void MarkOutstanding()
    {
        Invariant.Check(!IsOutstanding);
        Invariant.Check(Slot >= 0);
        IsOutstanding = true;
        Owner.Outstanding++;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Complete(int result)
    {
        Invariant.Check(IsOutstanding);
        IsOutstanding = false;
        Owner.Outstanding--;
        Owner.Completed++;
        OnCompleted(result);
    }

    /// <summary>On the loop's thread. The operation has ended; a new one may be submitted at once.</summary>
    /// <param name="result">What the system call would have returned: a count or descriptor, or a negative
    /// errno.</param>
    protected abstract void OnCompleted(int result);
}
