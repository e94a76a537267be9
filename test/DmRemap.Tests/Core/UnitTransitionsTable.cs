namespace DmRemap.Tests.Core;

/// <summary>
/// The state table, written out a second time by hand from its rules. A row holds for every value of the
/// conditions that it does not name; together the rows name every possible cell exactly once.
/// <para>
/// Columns: states | events | where the blocks are | conditions | action | next state (= the same) | answer.
/// AnyLost: lost(unreadable) and lost(declared). AnyMoved: remapped and probation. OffSpare: OnPrimary, Lost
/// or Zero.
/// </para>
/// <para>
/// Conditions: spare (a spare unit is free), breaker (tripped), control (passes), gone (the primary), fail
/// (on-gone=fail, else hold), strict (lost=strict, else salvage), due (retry), spent (retries), all (supplies
/// all that is missing), others (other blocks of the unit are on its spare unit).
/// </para>
/// </summary>
internal static class UnitTransitionsTable
{
    public const string Rows = """
        Healthy | Read | OnPrimary | !gone | UsePrimary | =
        AnyLost AnyMoved | Read | OnPrimary | !gone | UsePrimary | =
        Healthy AnyLost AnyMoved | Read | OnPrimary | gone !fail | Hold | =
        Healthy AnyLost AnyMoved | Read | OnPrimary | gone fail | Fail | = | DeviceError
        Suspect | Read | OnPrimary | !due | Fail | = | Unreadable
        Suspect | Read | OnPrimary | due !gone | UsePrimary | =
        Suspect | Read | OnPrimary | due gone !fail | Hold | =
        Suspect | Read | OnPrimary | due gone fail | Fail | = | DeviceError
        AnyMoved | Read | OnSpare | | UseSpare | =
        AnyLost AnyMoved | Read | Lost | | Fail | = | Unreadable
        AnyLost AnyMoved | Read | Zero | | AnswerZeros | =

        Healthy | Write | OnPrimary | !gone | UsePrimary | =
        Healthy | Write | OnPrimary | gone !fail | Hold | =
        Healthy | Write | OnPrimary | gone fail | Fail | = | DeviceError
        Suspect | Write WriteZeroes | OnPrimary | gone !fail | Hold | =
        Suspect | Write WriteZeroes | OnPrimary | gone fail | Fail | = | DeviceError
        Suspect | Write WriteZeroes | OnPrimary | !gone spare !breaker | Redirect | Remapped
        Suspect | Write WriteZeroes | OnPrimary | !gone spare breaker control | Redirect | Remapped
        Suspect | Write WriteZeroes | OnPrimary | !gone spare breaker !control | Fail | = | DeviceError
        Suspect | Write WriteZeroes | OnPrimary | !gone !spare | WriteInPlace | =
        AnyLost | Write | OffSpare | spare !breaker | Redirect | Remapped
        AnyLost | Write | OffSpare | spare breaker control | Redirect | Remapped
        AnyLost | Write | OffSpare | spare breaker !control | Fail | = | DeviceError
        AnyLost | Write | OffSpare | !spare !gone | WriteInPlace | =
        AnyLost | Write | OffSpare | !spare gone !fail | Hold | =
        AnyLost | Write | OffSpare | !spare gone fail | Fail | = | DeviceError
        Remapped | Write | OnSpare | | UseSpare | =
        Remapped | Write | OffSpare | | MoveToSpare | =
        Probation | Write | Anywhere | | UseBoth | =
        Probation | WriteZeroes | Anywhere | | JournalZero | Remapped

        Healthy | PrimaryWriteMediumError | OnPrimary | spare !breaker | Redirect | Remapped
        Healthy | PrimaryWriteMediumError | OnPrimary | spare breaker control | Redirect | Remapped
        Healthy | PrimaryWriteMediumError | OnPrimary | spare breaker !control | Fail | = | DeviceError
        Healthy | PrimaryWriteMediumError | OnPrimary | !spare | Fail | = | OutOfSpares
        Suspect AnyLost | PrimaryWriteMediumError | OnPrimary | spare !breaker | Redirect | Remapped
        Suspect AnyLost | PrimaryWriteMediumError | OnPrimary | spare breaker control | Redirect | Remapped
        Suspect AnyLost | PrimaryWriteMediumError | OffSpare | spare breaker !control | Fail | = | DeviceError
        Suspect AnyLost | PrimaryWriteMediumError | OnPrimary | !spare | Fail | = | OutOfSpares
        Healthy Suspect AnyLost | PrimaryWriteUnavailable | OffSpare | !fail | Hold | =
        Healthy Suspect AnyLost | PrimaryWriteUnavailable | OffSpare | fail | Fail | = | DeviceError
        Suspect | InPlaceEqual | OnPrimary | all | AcceptInPlace | Healthy
        Suspect | InPlaceEqual | OnPrimary | !all | AcceptInPlace | =
        AnyLost | InPlaceEqual | OffSpare | all | AcceptInPlace | Healthy
        AnyLost | InPlaceEqual | OffSpare | !all | AcceptInPlace | LostDeclared
        Suspect | InPlaceDiffers | OnPrimary | | Fail | = | OutOfSpares
        AnyLost | InPlaceDiffers | OffSpare | | Fail | = | OutOfSpares

        Healthy | WriteZeroes Discard | OnPrimary | !gone | UsePrimary | =
        Healthy | WriteZeroes Discard | OnPrimary | gone !fail | Hold | =
        Healthy | WriteZeroes Discard | OnPrimary | gone fail | Fail | = | DeviceError
        AnyLost Remapped | WriteZeroes | Anywhere | | JournalZero | =
        Healthy | ZeroesFailed | OnPrimary | | ZeroAsWrites | =
        Suspect | Discard | OnPrimary | | AnswerUnchanged | =
        AnyLost AnyMoved | Discard | Anywhere | | AnswerUnchanged | =
        Healthy | DiscardFailed | OnPrimary | | Fail | = | DeviceError

        Healthy Suspect | PrimaryReadFailed | OnPrimary | | ReadByBlock | =
        AnyLost AnyMoved | PrimaryReadFailed | OnPrimary | | ReadByBlock | =
        Healthy Suspect | BlocksUnreadable | OnPrimary | !spent | FailAndSuspect | Suspect | Unreadable
        Healthy Suspect | BlocksUnreadable | OnPrimary | spent | FailAndLose | LostUnreadable | Unreadable
        AnyLost AnyMoved | BlocksUnreadable | OnPrimary | !spent | FailAndSuspect | = | Unreadable
        AnyLost AnyMoved | BlocksUnreadable | OnPrimary | spent | FailAndLose | = | Unreadable
        Healthy Suspect AnyLost | WeakRead | OnPrimary | spare !breaker | ServeAndCopy | Remapped
        Healthy Suspect AnyLost | WeakRead | OnPrimary | !spare !breaker | Serve | =
        Healthy Suspect AnyLost | WeakRead | OnPrimary | breaker | Serve | =
        AnyMoved | WeakRead | OnPrimary | !breaker | ServeAndCopy | =
        AnyMoved | WeakRead | OnPrimary | breaker | Serve | =
        LostUnreadable | ReadTwiceEqual | Lost | !strict spare !breaker | ServeAndCopy | Remapped
        LostUnreadable | ReadTwiceEqual | Lost | strict | Fail | = | Unreadable
        LostUnreadable | ReadTwiceEqual | Lost | !strict !spare | Fail | = | Unreadable
        LostUnreadable | ReadTwiceEqual | Lost | !strict spare breaker | Fail | = | Unreadable
        Healthy Suspect AnyLost AnyMoved | PrimaryReadUnavailable | OnPrimary | !fail | Hold | =
        Healthy Suspect AnyLost AnyMoved | PrimaryReadUnavailable | OnPrimary | fail | Fail | = | DeviceError
        LostUnreadable | PrimaryReadUnavailable | Lost | !fail | Hold | =
        LostUnreadable | PrimaryReadUnavailable | Lost | fail | Fail | = | DeviceError

        Remapped | SpareReadMediumError | OnSpare | others | FailAndLose | Remapped | Unreadable
        Remapped | SpareReadMediumError | OnSpare | !others | FailAndLose | LostUnreadable | Unreadable
        Remapped | SpareReadUnavailable | OnSpare | | Fail | = | Unreadable
        Probation | SpareReadMediumError SpareReadUnavailable | OnSpare | | UsePrimaryCopy | =
        Healthy Suspect AnyLost | SpareWriteMediumError | OffSpare | spare | Redirect | Remapped
        Healthy Suspect AnyLost | SpareWriteMediumError | OffSpare | !spare | Fail | = | OutOfSpares
        Healthy Suspect AnyLost | SpareWriteUnavailable | OffSpare | spare | Redirect | Remapped
        Healthy Suspect AnyLost | SpareWriteUnavailable | OffSpare | !spare | Fail | = | OutOfSpares
        AnyMoved | SpareWriteMediumError | Anywhere | spare | ReplaceSpareUnit | Remapped
        AnyMoved | SpareWriteMediumError | Anywhere | !spare | Fail | = | OutOfSpares
        AnyMoved | SpareWriteUnavailable | Anywhere | | Fail | = | DeviceError
        Probation | PrimaryCopyFailed | Anywhere | | EndProbation | Remapped

        Healthy Suspect | Declared | OnPrimary | | DeclareLost | LostDeclared
        AnyLost | Declared | OnPrimary Lost | | DeclareLost | LostDeclared
        AnyLost | Declared | Zero | | AnswerUnchanged | =
        AnyMoved | Declared | Anywhere | | AnswerUnchanged | =
        """;
}
