namespace DmRemap.Core.Lifecycle;

/// <summary>Where a device is in its life. See the table in docs/internals/data-flow.md.</summary>
public enum LifeState : byte
{
    /// <summary>Nothing of it runs. Also the end: one that was stopped is started as a new one.</summary>
    Stopped = 0,

    /// <summary>Starting: it waits for the exclusive claim of every member (F-1).</summary>
    Claiming = 1,

    /// <summary>Starting: it reads the table and begins a new epoch.</summary>
    Recovering = 2,

    Running = 3,

    /// <summary>Suspended, but not yet quiet: what was in flight is ending, what comes is held.</summary>
    Draining = 4,

    /// <summary>Suspended: nothing in flight, every member flushed.</summary>
    Quiesced = 5,

    Stopping = 6,
}

/// <summary>What a person can ask of a device that has a process.</summary>
public enum LifeCommand : byte
{
    Suspend = 0,
    Resume = 1,

    /// <summary>Move units to a spare (`remap`): I/O that the device makes of its own.</summary>
    Move = 2,

    Stop = 3,
}

/// <summary>What happens to a device without being asked for then.</summary>
public enum LifeEvent : byte
{
    /// <summary>Every member is ours.</summary>
    Claimed = 0,

    /// <summary>The table is known and clients are let in.</summary>
    Served = 1,

    /// <summary>The start was refused or given up.</summary>
    StartFailed = 2,

    /// <summary>The draining has ended.</summary>
    Quiesced = 3,

    /// <summary>The stop has ended, well or by its deadline.</summary>
    Stopped = 4,
}

/// <summary>What becomes of a command. The default is the safe one.</summary>
public enum LifeOutcome : byte
{
    /// <summary>Not in this state; nothing was changed.</summary>
    Refused = 0,

    /// <summary>It is so already.</summary>
    AlreadyDone = 1,

    /// <summary>It is under way: wait for the same end.</summary>
    Joined = 2,

    Started = 3,
}

public readonly record struct LifeDecision(LifeOutcome Outcome, LifeState Next);

/// <summary>
/// The life of a device as a table: any command after any other is safe, because each of them is decided
/// here and nowhere else. Conditions (degraded, exhausted, ...) are orthogonal to it.
/// </summary>
public static class LifeTable
{
    public static LifeDecision Decide(LifeState state, LifeCommand command) => command switch
    {
        LifeCommand.Suspend => Suspend(state),
        LifeCommand.Resume => Resume(state),
        LifeCommand.Move => Move(state),
        LifeCommand.Stop => Stop(state),
        _ => No(state),
    };

    /// <summary>
    /// An event that comes too late for its state changes nothing: a drain that ends after a resume, a start
    /// that succeeds after it was told to stop.
    /// </summary>
    public static LifeState After(LifeState state, LifeEvent happened) => (state, happened) switch
    {
        (LifeState.Claiming, LifeEvent.Claimed) => LifeState.Recovering,
        (LifeState.Recovering, LifeEvent.Served) => LifeState.Running,
        (LifeState.Claiming or LifeState.Recovering, LifeEvent.StartFailed) => LifeState.Stopped,
        (LifeState.Stopping, LifeEvent.StartFailed or LifeEvent.Stopped) => LifeState.Stopped,
        (LifeState.Draining, LifeEvent.Quiesced) => LifeState.Quiesced,
        _ => state,
    };

    private static LifeDecision Suspend(LifeState state) => state switch
    {
        LifeState.Running => new(LifeOutcome.Started, LifeState.Draining),
        LifeState.Draining => new(LifeOutcome.Joined, state),
        LifeState.Quiesced => new(LifeOutcome.AlreadyDone, state),
        LifeState.Stopped or LifeState.Claiming or LifeState.Recovering or LifeState.Stopping => No(state),
        _ => No(state),
    };

    private static LifeDecision Resume(LifeState state) => state switch
    {
        LifeState.Draining or LifeState.Quiesced => new(LifeOutcome.Started, LifeState.Running),
        LifeState.Running => new(LifeOutcome.AlreadyDone, state),
        LifeState.Stopped or LifeState.Claiming or LifeState.Recovering or LifeState.Stopping => No(state),
        _ => No(state),
    };

    /// <summary>While it is suspended the device reads and writes nothing of its own but metadata.</summary>
    private static LifeDecision Move(LifeState state) => state switch
    {
        LifeState.Running => new(LifeOutcome.Started, state),
        LifeState.Stopped or LifeState.Claiming or LifeState.Recovering or LifeState.Draining
            or LifeState.Quiesced or LifeState.Stopping => No(state),
        _ => No(state),
    };

    private static LifeDecision Stop(LifeState state) => state switch
    {
        LifeState.Stopped => new(LifeOutcome.AlreadyDone, state),
        LifeState.Stopping => new(LifeOutcome.Joined, state),
        LifeState.Claiming or LifeState.Recovering or LifeState.Running or LifeState.Draining
            or LifeState.Quiesced => new(LifeOutcome.Started, LifeState.Stopping),
        _ => No(state),
    };

    private static LifeDecision No(LifeState state) => new(LifeOutcome.Refused, state);
}
