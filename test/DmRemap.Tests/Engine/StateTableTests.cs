using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Remapping;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>
/// The engine does what the state table says: for every state, operation and state of the block, with and
/// without a free spare unit. The table is asked for the decision, the engine is watched from outside.
/// </summary>
public sealed class StateTableTests
{
    private const long Block = 803;
    private const int Place = 3;
    private const long Unit = 100;

    public static TheoryData<UnitState, UnitEvent, BlockState, bool> Cells()
    {
        TheoryData<UnitState, UnitEvent, BlockState, bool> cells = [];
        UnitState[] states =
        [
            UnitState.Healthy, UnitState.Suspect, UnitState.LostUnreadable, UnitState.LostDeclared,
            UnitState.Remapped,
        ];
        UnitEvent[] operations = [UnitEvent.Read, UnitEvent.Write, UnitEvent.WriteZeroes, UnitEvent.Discard];
        foreach (UnitState state in states)
        {
            foreach (UnitEvent operation in operations)
            {
                foreach (BlockState block in Enum.GetValues<BlockState>())
                {
                    if (UnitTransitions.IsPossible(state, operation, block))
                    {
                        cells.Add(state, operation, block, true);
                        cells.Add(state, operation, block, false);
                    }
                }
            }
        }
        return cells;
    }

    [Theory]
    [MemberData(nameof(Cells))]
    public void Engine_does_what_the_state_table_decides(
        UnitState state, UnitEvent operation, BlockState block, bool hasSpareUnit)
    {
        EngineBench bench = Prepare(state, block, hasSpareUnit);
        Situation situation = new() { Block = block, SpareUnitFree = hasSpareUnit, ControlPasses = true };
        UnitAction decided = UnitTransitions.Decide(state, operation, situation).Action;
        bench.Primary.Log = [];
        bench.Spares[0].Log = [];
        long usedBefore = bench.Device.Allocator.TotalUnitsUsed;
        Outcome outcome = operation switch
        {
            UnitEvent.Read => bench.Read(Block, 1),
            UnitEvent.Write => bench.Write(Block, EngineBench.Pattern(1, 512, 9)),
            UnitEvent.WriteZeroes => bench.Zero(Block, 1),
            _ => bench.Discard(Block, 1),
        };
        AssertDid(decided, bench, outcome, bench.Device.Allocator.TotalUnitsUsed - usedBefore);
    }

    private static void AssertDid(UnitAction decided, EngineBench bench, Outcome outcome, long unitsTaken)
    {
        int atPrimary = bench.Primary.Log!.Count;
        int atSpare = bench.Spares[0].Log!.Count;
        switch (decided)
        {
            case UnitAction.UsePrimary:
                Assert.Equal((IoStatus.Ok, true, 0), (outcome.Status, atPrimary > 0, atSpare));
                break;
            case UnitAction.UseSpare:
            case UnitAction.MoveToSpare:
                Assert.Equal((IoStatus.Ok, 0, true), (outcome.Status, atPrimary, atSpare > 0));
                Assert.Equal(0, unitsTaken);
                break;
            case UnitAction.Redirect:
                Assert.Equal((IoStatus.Ok, 0, true), (outcome.Status, atPrimary, atSpare > 0));
                Assert.Equal(1, unitsTaken);
                break;
            case UnitAction.WriteInPlace:
                Assert.Equal(IoStatus.Ok, outcome.Status);
                Assert.Equal(["Write [803, 804) ForceUnitAccess", "Read [803, 804) None"], bench.Primary.Log);
                break;
            case UnitAction.AnswerZeros:
                Assert.Equal((IoStatus.Ok, 0, 0), (outcome.Status, atPrimary, atSpare));
                Assert.All(outcome.Data, b => Assert.Equal(0, b));
                break;
            case UnitAction.JournalZero:
                Assert.Equal((IoStatus.Ok, 0, 0), (outcome.Status, atPrimary, atSpare));
                Assert.Equal(BlockState.Zero, bench.Log.Durable[Unit].Blocks[Place]);
                break;
            case UnitAction.AnswerUnchanged:
                Assert.Equal((IoStatus.Ok, 0, 0), (outcome.Status, atPrimary, atSpare));
                break;
            case UnitAction.Fail:
                Assert.NotEqual(IoStatus.Ok, outcome.Status);
                Assert.Equal((0, 0), (atPrimary, atSpare));
                break;
            default:
                Assert.Fail($"no way to watch {decided}");
                break;
        }
    }

    private static EngineBench Prepare(UnitState state, BlockState block, bool hasSpareUnit)
    {
        EngineBench bench = new(new BenchOptions { PhysicalBytes = 512, SpareUnits = 2, Spares = 1 });
        if (state == UnitState.Suspect)
        {
            bench.Primary.BadForReading.Add(Block);
            Assert.NotEqual(IoStatus.Ok, bench.Read(Block, 1).Status);
            bench.Primary.BadForReading.Clear();
        }
        else if (state != UnitState.Healthy)
        {
            SpareLocation location = SpareLocation.None;
            if (state == UnitState.Remapped)
            {
                Assert.True(bench.Device.Allocator.TryAllocate(new UnitNumber(Unit), out location));
            }
            RemapEntry entry = new()
            {
                Unit = new UnitNumber(Unit),
                State = state,
                Location = location,
                Blocks = BlockStates.AllOnPrimary.With(BlockStates.Mask(Place, 1), block),
            };
            bench.Device.SetEntry(entry);
            bench.Log.Durable.Add(Unit, entry);
        }
        while (!hasSpareUnit && bench.Device.Allocator.TryAllocate(new UnitNumber(0), out _))
        {
        }
        return bench;
    }
}
