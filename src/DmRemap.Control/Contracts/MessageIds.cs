namespace DmRemap.Control.Contracts;

/// <summary>
/// Ids of the messages that Control and the program itself give out; docs/messages.md explains each. Stable:
/// a script may compare them. Ids of members, registry and metadata stand beside the code that refuses.
/// </summary>
public static class MessageIds
{
    public const string ConditionGone = "DMR-CONDITION-GONE";
    public const string ConditionMetadataUnavailable = "DMR-CONDITION-METADATA-UNAVAILABLE";
    public const string ConditionUnanswering = "DMR-CONDITION-UNANSWERING";
    public const string BeyondEnd = "DMR-BLOCKS-BEYOND-END";
    public const string ConditionExhausted = "DMR-CONDITION-EXHAUSTED";
    public const string ConditionSparesLow = "DMR-CONDITION-SPARES-LOW";
    public const string ConditionSparesNearlyExhausted = "DMR-CONDITION-SPARES-NEARLY-EXHAUSTED";
    public const string ConditionTableFull = "DMR-CONDITION-TABLE-FULL";
    public const string ConditionVolatileLost = "DMR-CONDITION-VOLATILE-LOST";
    public const string ConditionUncertain = "DMR-CONDITION-UNCERTAIN";
    public const string ConditionStorm = "DMR-CONDITION-STORM";
    public const string ConditionDegraded = "DMR-CONDITION-DEGRADED";
    public const string ConditionSlow = "DMR-CONDITION-SLOW";
    public const string ConditionReadOnly = "DMR-CONDITION-READ-ONLY";
    public const string ConditionRehearsal = "DMR-CONDITION-REHEARSAL";
    public const string ConditionWritesRejected = "DMR-CONDITION-WRITES-REJECTED";

    public const string LostData = "DMR-STATUS-LOST-DATA";
    public const string NotRunning = "DMR-DEVICE-NOT-RUNNING";
    public const string Running = "DMR-DEVICE-RUNNING";
    public const string Stopping = "DMR-DEVICE-STOPPING";
    public const string Starting = "DMR-DEVICE-STARTING";
    public const string Suspended = "DMR-DEVICE-SUSPENDED";

    public const string BadLine = "DMR-CONTROL-BAD-LINE";
    public const string LineTooLong = "DMR-CONTROL-LINE-TOO-LONG";
    public const string UnknownCommand = "DMR-CONTROL-UNKNOWN-COMMAND";
    public const string OutputFailed = "DMR-OUTPUT-FAILED";
    public const string FaultsInvalid = "DMR-FAULTS-INVALID";
    public const string BadArguments = "DMR-CONTROL-BAD-ARGUMENTS";
    public const string CommandFailed = "DMR-CONTROL-COMMAND-FAILED";
    public const string ReplyTooLong = "DMR-CONTROL-REPLY-TOO-LONG";
    public const string TooManyClients = "DMR-CONTROL-TOO-MANY-CLIENTS";
    public const string VersionMismatch = "DMR-CONTROL-VERSION";
    public const string NotTheProtocol = "DMR-CONTROL-NOT-THE-PROTOCOL";
    public const string NoAnswer = "DMR-CONTROL-NO-ANSWER";
    public const string Denied = "DMR-CONTROL-DENIED";
    public const string SocketInUse = "DMR-CONTROL-SOCKET-IN-USE";
    public const string SocketFailed = "DMR-CONTROL-SOCKET-FAILED";

    public const string Usage = "DMR-USAGE";
    public const string NeedsYes = "DMR-USAGE-NEEDS-YES";
    public const string Declined = "DMR-USAGE-DECLINED";
    public const string ListenNotLoopback = "DMR-LISTEN-NOT-LOOPBACK";
    public const string NotBuilt = "DMR-NOT-BUILT";
    public const string NoIoUring = "DMR-NO-IO-URING";
    public const string Interrupted = "DMR-INTERRUPTED";
    public const string Internal = "DMR-INTERNAL";
}
