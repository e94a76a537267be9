using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Remapping;
using Xunit;

namespace DmRemap.Tests.Core;

public sealed class UnitTransitionsTests
{
    private static readonly string[] s_conditions =
        ["spare", "breaker", "control", "gone", "fail", "strict", "due", "spent", "all", "others"];

    private static readonly List<Row> s_rows = ParseAll();

    private static int Situations => 1 << s_conditions.Length;

    public static TheoryData<string> Rows()
    {
        TheoryData<string> data = [];
        foreach (string line in UnitTransitionsTable.Rows.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            data.Add(string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries)));
        }
        return data;
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public void Cell_decides_as_the_table_says(string text)
    {
        Row row = Parse(text);
        int checkedCells = 0;
        foreach ((UnitState state, UnitEvent ev, BlockState block) in Cells())
        {
            for (int bits = 0; bits < Situations; bits++)
            {
                if (row.Holds(state, ev, block, bits))
                {
                    Decision expected = new(row.Action, row.Next ?? state, row.Status);
                    Assert.Equal(expected, UnitTransitions.Decide(state, ev, SituationOf(block, bits)));
                    checkedCells++;
                }
            }
        }
        Assert.NotEqual(0, checkedCells);
    }

    [Fact]
    public void Every_possible_cell_has_exactly_one_row()
    {
        foreach ((UnitState state, UnitEvent ev, BlockState block) in Cells())
        {
            List<Row> candidates = s_rows.FindAll(row => row.Concerns(state, ev, block));
            for (int bits = 0; bits < Situations; bits++)
            {
                int rows = candidates.FindAll(row => row.HoldsFor(bits)).Count;
                Assert.True(rows == 1, $"{rows} rows for {state} {ev} {block} {Describe(bits)}");
            }
        }
    }

    [Fact]
    public void What_is_impossible_is_a_broken_invariant()
    {
        int impossible = 0;
        foreach (UnitState state in Enum.GetValues<UnitState>())
        {
            foreach (UnitEvent ev in Enum.GetValues<UnitEvent>())
            {
                foreach (BlockState block in Enum.GetValues<BlockState>())
                {
                    if (!UnitTransitions.IsPossible(state, ev, block))
                    {
                        impossible++;
                        Situation situation = new() { Block = block };
                        Assert.Throws<InvariantException>(() => UnitTransitions.Decide(state, ev, situation));
                    }
                }
            }
        }
        Assert.NotEqual(0, impossible);
        Situation none = default;
        UnitEvent unknown = (UnitEvent)99;
        Assert.Throws<InvariantException>(() => UnitTransitions.Decide(UnitState.Healthy, unknown, none));
    }

    /// <summary>The promises, asked of every cell in every situation, whatever the rows say.</summary>
    [Fact]
    public void No_cell_breaks_a_promise()
    {
        foreach ((UnitState state, UnitEvent ev, BlockState block) in Cells())
        {
            for (int bits = 0; bits < Situations; bits++)
            {
                Situation situation = SituationOf(block, bits);
                Decision decision = UnitTransitions.Decide(state, ev, situation);
                string? broken = BrokenForm(decision)
                    ?? BrokenRead(ev, situation, decision)
                    ?? BrokenRemap(state, ev, situation, decision);
                if (broken is not null)
                {
                    Assert.Fail($"{broken}: {state} {ev} {block} {Describe(bits)}: {decision}");
                }
            }
        }
    }

    private static string? BrokenForm(in Decision decision)
    {
        bool isDefined = Enum.IsDefined(decision.Action) && Enum.IsDefined(decision.Next);
        if (!isDefined || decision.Action == UnitAction.None)
        {
            return "undefined";
        }
        bool fails = decision.Action
            is UnitAction.Fail or UnitAction.FailAndSuspect or UnitAction.FailAndLose;
        return fails == (decision.Status is IoStatus.Pending or IoStatus.Ok)
            ? "an action fails exactly when it has an error to answer"
            : null;
    }

    private static string? BrokenRead(UnitEvent ev, in Situation situation, in Decision decision)
    {
        bool readsLost = ev == UnitEvent.Read && situation.Block == BlockState.Lost;
        if (readsLost && decision.Status != IoStatus.Unreadable)
        {
            return "P1: a lost block's content was invented";
        }
        bool asksPrimary = decision.Action is UnitAction.UsePrimary or UnitAction.WriteInPlace;
        if (ev == UnitEvent.Read && situation.Block != BlockState.OnPrimary && asksPrimary)
        {
            return "P1: a block that moved is read from its old place";
        }
        bool arrives = ev is UnitEvent.Read or UnitEvent.Write or UnitEvent.WriteZeroes or UnitEvent.Discard;
        return arrives && situation.PrimaryGone && asksPrimary ? "the primary is gone and is asked" : null;
    }

    private static string? BrokenRemap(
        UnitState state, UnitEvent ev, in Situation situation, in Decision decision)
    {
        bool hadUnit = state is UnitState.Remapped or UnitState.Probation;
        bool takesUnit = decision.Action is UnitAction.Redirect or UnitAction.ReplaceSpareUnit
            || (decision.Action == UnitAction.ServeAndCopy && !hadUnit);
        if (takesUnit && !situation.SpareUnitFree)
        {
            return "a spare unit is taken that is not there";
        }
        bool isUnavailable = ev is UnitEvent.PrimaryReadUnavailable or UnitEvent.PrimaryWriteUnavailable;
        if (isUnavailable && (takesUnit || decision.Next != state))
        {
            return "P5: only a medium error remaps";
        }
        bool isReadOrBackground = ev is UnitEvent.WeakRead or UnitEvent.ReadTwiceEqual;
        bool isWrite = ev is UnitEvent.Write or UnitEvent.WriteZeroes or UnitEvent.PrimaryWriteMediumError;
        bool isStopped = isReadOrBackground || (isWrite && !situation.ControlPasses);
        if (takesUnit && situation.BreakerTripped && isStopped)
        {
            return "P5: the breaker is tripped";
        }
        if (ev == UnitEvent.PrimaryWriteMediumError && situation.SpareUnitFree && !situation.BreakerTripped
            && decision.Action != UnitAction.Redirect)
        {
            return "P2: a write fails while a spare can take it";
        }
        bool discardChanges = decision.Next != state
            || (state != UnitState.Healthy && decision.Action != UnitAction.AnswerUnchanged);
        if (ev == UnitEvent.Discard && discardChanges)
        {
            return "F-11: a discard changed an entry";
        }
        bool becameLost = ev == UnitEvent.SpareReadUnavailable && decision.Next != state;
        return becameLost ? "unavailable became lost" : null;
    }

    private static IEnumerable<(UnitState State, UnitEvent Event, BlockState Block)> Cells()
    {
        foreach (UnitState state in Enum.GetValues<UnitState>())
        {
            foreach (UnitEvent ev in Enum.GetValues<UnitEvent>())
            {
                foreach (BlockState block in Enum.GetValues<BlockState>())
                {
                    if (UnitTransitions.IsPossible(state, ev, block))
                    {
                        yield return (state, ev, block);
                    }
                }
            }
        }
    }

    private static Situation SituationOf(BlockState block, int bits) => new()
    {
        Block = block,
        SpareUnitFree = (bits & 1) != 0,
        BreakerTripped = (bits & 2) != 0,
        ControlPasses = (bits & 4) != 0,
        PrimaryGone = (bits & 8) != 0,
        OnGone = (bits & 16) != 0 ? GonePolicy.Fail : GonePolicy.Hold,
        Lost = (bits & 32) != 0 ? LostPolicy.Strict : LostPolicy.Salvage,
        RetryIsDue = (bits & 64) != 0,
        RetriesAreSpent = (bits & 128) != 0,
        SuppliesAllMissing = (bits & 256) != 0,
        OthersOnSpare = (bits & 512) != 0,
    };

    private static string Describe(int bits)
    {
        List<string> words = [];
        for (int i = 0; i < s_conditions.Length; i++)
        {
            words.Add((bits & (1 << i)) != 0 ? s_conditions[i] : "!" + s_conditions[i]);
        }
        return string.Join(' ', words);
    }

    private static List<Row> ParseAll()
    {
        List<Row> rows = [];
        foreach (string line in UnitTransitionsTable.Rows.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            rows.Add(Parse(line));
        }
        return rows;
    }

    private static Row Parse(string line)
    {
        string[] columns = line.Split('|', StringSplitOptions.TrimEntries);
        Assert.InRange(columns.Length, 6, 7);
        int mustBeSet = 0;
        int mustBeClear = 0;
        foreach (string word in Words(columns[3]))
        {
            int bit = 1 << Array.IndexOf(s_conditions, word.TrimStart('!'));
            Assert.True(bit > 0, $"unknown condition {word}");
            mustBeSet |= word[0] == '!' ? 0 : bit;
            mustBeClear |= word[0] == '!' ? bit : 0;
        }
        return new Row(
            Enums<UnitState>(columns[0]),
            Enums<UnitEvent>(columns[1]),
            Enums<BlockState>(columns[2]),
            mustBeSet,
            mustBeClear,
            Enum.Parse<UnitAction>(columns[4]),
            columns[5] == "=" ? null : Enum.Parse<UnitState>(columns[5]),
            columns.Length == 7 ? Enum.Parse<IoStatus>(columns[6]) : IoStatus.Pending);
    }

    private static string[] Words(string column) => column.Split(' ', StringSplitOptions.RemoveEmptyEntries);

    private static HashSet<T> Enums<T>(string column)
        where T : struct, Enum
    {
        HashSet<T> values = [];
        string spelledOut = column
            .Replace("AnyLost", "LostUnreadable LostDeclared", StringComparison.Ordinal)
            .Replace("AnyMoved", "Remapped Probation", StringComparison.Ordinal)
            .Replace("Anywhere", "OnPrimary OnSpare Lost Zero", StringComparison.Ordinal)
            .Replace("OffSpare", "OnPrimary Lost Zero", StringComparison.Ordinal);
        foreach (string word in Words(spelledOut))
        {
            values.Add(Enum.Parse<T>(word));
        }
        return values;
    }

    private sealed record Row(
        HashSet<UnitState> States,
        HashSet<UnitEvent> Events,
        HashSet<BlockState> Blocks,
        int MustBeSet,
        int MustBeClear,
        UnitAction Action,
        UnitState? Next,
        IoStatus Status)
    {
        public bool Concerns(UnitState state, UnitEvent ev, BlockState block) =>
            States.Contains(state) && Events.Contains(ev) && Blocks.Contains(block);

        public bool HoldsFor(int bits) => (bits & MustBeSet) == MustBeSet && (bits & MustBeClear) == 0;

        public bool Holds(UnitState state, UnitEvent ev, BlockState block, int bits) =>
            Concerns(state, ev, block) && HoldsFor(bits);
    }
}
