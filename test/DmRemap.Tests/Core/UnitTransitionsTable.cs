namespace DmRemap.Tests.Core;

/// <summary>
/// The state table, written out a second time by hand from its rules. A row holds for every value of the conditions that
/// it does not name; together the rows name every possible cell exactly once.
/// Columns: states | events | where the blocks are | conditions | action | next state (= the same) | answer.
/// Conditions: spare (a spare unit is free), breaker (tripped), control (passes), gone (the primary), fail (on-gone=fail,
/// else hold), strict (lost=strict, else salvage), due (retry), spent (retries), all (supplies all that is missing),
/// others (other blocks of the unit are on its spare unit).
/// </summary>
internal static class UnitTransitionsTable
{
    public const string Rows = """
        Healthy                                   | Read | OnPrimary | !gone | UsePrimary | =
        LostUnreadable LostDeclared Remapped Probation | Read | OnPrimary | !gone | UsePrimary | =
        Healthy LostUnreadable LostDeclared Remapped Probation | Read | OnPrimary | gone !fail | Hold | =
        Healthy LostUnreadable LostDeclared Remapped Probation | Read | OnPrimary | gone fail | Fail | = | DeviceError
        Suspect                                   | Read | OnPrimary | !due | Fail | = | Unreadable
        Suspect                                   | Read | OnPrimary | due !gone | UsePrimary | =
        Suspect                                   | Read | OnPrimary | due gone !fail | Hold | =
        Suspect                                   | Read | OnPrimary | due gone fail | Fail | = | DeviceError
        Remapped Probation                        | Read | OnSpare | | UseSpare | =
        LostUnreadable LostDeclared Remapped Probation | Read | Lost | | Fail | = | Unreadable
        LostUnreadable LostDeclared Remapped Probation | Read | Zero | | AnswerZeros | =

        Healthy LostUnreadable LostDeclared       | Write | OnPrimary | !gone | UsePrimary | =
        Healthy LostUnreadable LostDeclared       | Write | OnPrimary | gone !fail | Hold | =
        Healthy LostUnreadable LostDeclared       | Write | OnPrimary | gone fail | Fail | = | DeviceError
        Suspect                    | Write WriteZeroes | OnPrimary | gone !fail | Hold | =
        Suspect                    | Write WriteZeroes | OnPrimary | gone fail | Fail | = | DeviceError
        Suspect                    | Write WriteZeroes | OnPrimary | !gone spare !breaker | Redirect | Remapped
        Suspect                    | Write WriteZeroes | OnPrimary | !gone spare breaker control | Redirect | Remapped
        Suspect                    | Write WriteZeroes | OnPrimary | !gone spare breaker !control | Fail | = | DeviceError
        Suspect                    | Write WriteZeroes | OnPrimary | !gone !spare | WriteInPlace | =
        LostUnreadable LostDeclared | Write | Lost Zero | spare !breaker | Redirect | Remapped
        LostUnreadable LostDeclared | Write | Lost Zero | spare breaker control | Redirect | Remapped
        LostUnreadable LostDeclared | Write | Lost Zero | spare breaker !control | Fail | = | DeviceError
        LostUnreadable LostDeclared | Write | Lost Zero | !spare !gone | WriteInPlace | =
        LostUnreadable LostDeclared | Write | Lost Zero | !spare gone !fail | Hold | =
        LostUnreadable LostDeclared | Write | Lost Zero | !spare gone fail | Fail | = | DeviceError
        Remapped                    | Write | OnSpare | | UseSpare | =
        Remapped                    | Write | OnPrimary Lost Zero | | MoveToSpare | =
        Probation                   | Write WriteZeroes | OnPrimary OnSpare Lost Zero | | UseBoth | =

        Healthy | PrimaryWriteMediumError | OnPrimary | spare !breaker | Redirect | Remapped
        Healthy | PrimaryWriteMediumError | OnPrimary | spare breaker control | Redirect | Remapped
        Healthy | PrimaryWriteMediumError | OnPrimary | spare breaker !control | Fail | = | DeviceError
        Healthy | PrimaryWriteMediumError | OnPrimary | !spare | Fail | = | OutOfSpares
        Suspect LostUnreadable LostDeclared | PrimaryWriteMediumError | OnPrimary | spare !breaker | Redirect | Remapped
        Suspect LostUnreadable LostDeclared | PrimaryWriteMediumError | OnPrimary | spare breaker control | Redirect | Remapped
        Suspect LostUnreadable LostDeclared | PrimaryWriteMediumError | OnPrimary | spare breaker !control | Fail | = | DeviceError
        Suspect LostUnreadable LostDeclared | PrimaryWriteMediumError | OnPrimary | !spare | Fail | = | OutOfSpares
        Healthy Suspect LostUnreadable LostDeclared | PrimaryWriteUnavailable | OnPrimary Lost Zero | !fail | Hold | =
        Healthy Suspect LostUnreadable LostDeclared | PrimaryWriteUnavailable | OnPrimary Lost Zero | fail | Fail | = | DeviceError
        Suspect                     | InPlaceEqual | OnPrimary | all | AcceptInPlace | Healthy
        Suspect                     | InPlaceEqual | OnPrimary | !all | AcceptInPlace | =
        LostUnreadable LostDeclared | InPlaceEqual | Lost Zero | all | AcceptInPlace | Healthy
        LostUnreadable LostDeclared | InPlaceEqual | Lost Zero | !all | AcceptInPlace | =
        Suspect                     | InPlaceDiffers | OnPrimary | | Fail | = | OutOfSpares
        LostUnreadable LostDeclared | InPlaceDiffers | Lost Zero | | Fail | = | OutOfSpares

        Healthy                              | WriteZeroes Discard | OnPrimary | !gone | UsePrimary | =
        Healthy                              | WriteZeroes Discard | OnPrimary | gone !fail | Hold | =
        Healthy                              | WriteZeroes Discard | OnPrimary | gone fail | Fail | = | DeviceError
        LostUnreadable LostDeclared Remapped | WriteZeroes | OnPrimary OnSpare Lost Zero | | JournalZero | =
        Healthy                              | ZeroesFailed | OnPrimary | | ZeroAsWrites | =
        Suspect                              | Discard | OnPrimary | | AnswerUnchanged | =
        LostUnreadable LostDeclared Remapped Probation | Discard | OnPrimary OnSpare Lost Zero | | AnswerUnchanged | =
        Healthy                              | DiscardFailed | OnPrimary | | Fail | = | DeviceError

        Healthy Suspect                   | PrimaryReadFailed | OnPrimary | | ReadByBlock | =
        LostUnreadable LostDeclared Remapped Probation | PrimaryReadFailed | OnPrimary | | ReadByBlock | =
        Healthy Suspect                   | BlocksUnreadable | OnPrimary | !spent | FailAndSuspect | Suspect | Unreadable
        Healthy Suspect                   | BlocksUnreadable | OnPrimary | spent | FailAndLose | LostUnreadable | Unreadable
        LostUnreadable LostDeclared Remapped Probation | BlocksUnreadable | OnPrimary | !spent | FailAndSuspect | = | Unreadable
        LostUnreadable LostDeclared Remapped Probation | BlocksUnreadable | OnPrimary | spent | FailAndLose | = | Unreadable
        Healthy Suspect LostUnreadable LostDeclared | WeakRead | OnPrimary | spare !breaker | ServeAndCopy | Remapped
        Healthy Suspect LostUnreadable LostDeclared | WeakRead | OnPrimary | !spare !breaker | Serve | =
        Healthy Suspect LostUnreadable LostDeclared | WeakRead | OnPrimary | breaker | Serve | =
        Remapped Probation                | WeakRead | OnPrimary | !breaker | ServeAndCopy | =
        Remapped Probation                | WeakRead | OnPrimary | breaker | Serve | =
        LostUnreadable | ReadTwiceEqual | Lost | !strict spare !breaker | ServeAndCopy | Remapped
        LostUnreadable | ReadTwiceEqual | Lost | strict | Fail | = | Unreadable
        LostUnreadable | ReadTwiceEqual | Lost | !strict !spare | Fail | = | Unreadable
        LostUnreadable | ReadTwiceEqual | Lost | !strict spare breaker | Fail | = | Unreadable
        Healthy Suspect LostUnreadable LostDeclared Remapped Probation | PrimaryReadUnavailable | OnPrimary | !fail | Hold | =
        Healthy Suspect LostUnreadable LostDeclared Remapped Probation | PrimaryReadUnavailable | OnPrimary | fail | Fail | = | DeviceError
        LostUnreadable                    | PrimaryReadUnavailable | Lost | !fail | Hold | =
        LostUnreadable                    | PrimaryReadUnavailable | Lost | fail | Fail | = | DeviceError

        Remapped  | SpareReadMediumError | OnSpare | others | FailAndLose | Remapped | Unreadable
        Remapped  | SpareReadMediumError | OnSpare | !others | FailAndLose | LostUnreadable | Unreadable
        Remapped  | SpareReadUnavailable | OnSpare | | Fail | = | Unreadable
        Probation | SpareReadMediumError SpareReadUnavailable | OnSpare | | UsePrimaryCopy | =
        Healthy Suspect LostUnreadable LostDeclared | SpareWriteMediumError | OnPrimary Lost Zero | spare | Redirect | Remapped
        Healthy Suspect LostUnreadable LostDeclared | SpareWriteMediumError | OnPrimary Lost Zero | !spare | Fail | = | OutOfSpares
        Healthy Suspect LostUnreadable LostDeclared | SpareWriteUnavailable | OnPrimary Lost Zero | spare | Redirect | Remapped
        Healthy Suspect LostUnreadable LostDeclared | SpareWriteUnavailable | OnPrimary Lost Zero | !spare | Fail | = | OutOfSpares
        Remapped Probation | SpareWriteMediumError | OnPrimary OnSpare Lost Zero | spare | ReplaceSpareUnit | =
        Remapped Probation | SpareWriteMediumError | OnPrimary OnSpare Lost Zero | !spare | Fail | = | OutOfSpares
        Remapped Probation | SpareWriteUnavailable | OnPrimary OnSpare Lost Zero | | Fail | = | DeviceError
        Probation | PrimaryCopyFailed | OnPrimary OnSpare Lost Zero | | EndProbation | Remapped

        Healthy Suspect             | Declared | OnPrimary | | DeclareLost | LostDeclared
        LostUnreadable LostDeclared | Declared | OnPrimary Lost | | DeclareLost | LostDeclared
        LostUnreadable LostDeclared | Declared | Zero | | AnswerUnchanged | =
        Remapped Probation          | Declared | OnPrimary OnSpare Lost Zero | | AnswerUnchanged | =
        """;
}
