using DmRemap.Linux.Loop;

namespace DmRemap.Tests.Linux;

/// <summary>Remembers how its operations ended.</summary>
internal sealed class Recorder(KernelLoop loop, OperationOwner owner) : CompletionTarget(loop, owner)
{
    public int Completions { get; private set; }

    public int Result { get; private set; }

    protected override void OnCompleted(int result)
    {
        Completions++;
        Result = result;
    }
}
