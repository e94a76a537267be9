using DmRemap.Core.Abstractions;
using DmRemap.Core.Healing;
using DmRemap.Core.Remapping;
using Xunit;

namespace DmRemap.Tests.Core;

/// <summary>Who is healed, and when reading proves anything.</summary>
public sealed class HealRuleTests
{
    private const ulong Places = 0xFF;
    private const int Eio = 5;

    [Theory]
    [InlineData(0xFF, 0, 0, 8, Eio, HealStep.Rewrite)]
    [InlineData(0x0F, 0xF0, 0, 8, Eio, HealStep.Rewrite)]
    [InlineData(0x7F, 0, 0x80, 8, Eio, HealStep.None)]
    [InlineData(0x7F, 0, 0, 8, Eio, HealStep.None)]
    [InlineData(0x7F, 0, 0, 1, Eio, HealStep.Rewrite)]
    [InlineData(0x0F, 0, 0, 4, Eio, HealStep.Rewrite)]
    [InlineData(0x07, 0, 0, 4, Eio, HealStep.None)]
    [InlineData(0, 0, 0, 1, Eio, HealStep.None)]
    [InlineData(0xFF, 0, 0, 8, 0, HealStep.None)]
    public void Only_whole_blocks_that_are_all_on_the_spare_are_rewritten_and_only_where_the_disk_failed(
        ulong onSpare, ulong zero, ulong lost, int physicalBlocks, ushort errno, HealStep step)
    {
        RemapEntry entry = Entry(onSpare, zero, lost) with { LastErrno = errno };
        Assert.Equal(step, HealRule.StepFor(entry, Places, physicalBlocks, 0));
    }

    /// <summary>A part of that physical block is somebody else's.</summary>
    [Fact]
    public void Unit_that_is_shorter_than_its_physical_block_is_left_alone()
    {
        RemapEntry entry = Entry(0x80, 0, 0) with { LastErrno = Eio };
        Assert.Equal(HealStep.None, HealRule.StepFor(entry, 0x80, 8, 0));
        Assert.Equal(8, HealRule.PhysicalBlocks(new BlockSize(512), 512));
        Assert.Equal(16, HealRule.PhysicalBlocks(new BlockSize(512), 8192));
        Assert.Equal(1, HealRule.PhysicalBlocks(new BlockSize(4096), 4096));
    }

    [Theory]
    [InlineData(0, "11111111")]
    [InlineData(1, "10101010")]
    [InlineData(2, "10001000")]
    [InlineData(3, "00000000")]
    public void Place_that_failed_is_tried_ever_more_rarely(int failed, string passes)
    {
        RemapEntry entry = Entry(0xFF, 0, 0) with { LastErrno = Eio, Trials = new HealTrials(0, failed) };
        for (int pass = 0; pass < passes.Length; pass++)
        {
            HealStep step = passes[pass] == '1' ? HealStep.Rewrite : HealStep.None;
            Assert.Equal(step, HealRule.StepFor(entry, Places, 8, pass));
        }
    }

    [Fact]
    public void Probation_is_verified_until_a_block_of_it_is_lost()
    {
        RemapEntry entry = Entry(0xFF, 0, 0) with { State = UnitState.Probation };
        Assert.Equal(HealStep.Verify, HealRule.StepFor(entry, Places, 8, 3));
        RemapEntry less = Entry(0xFE, 0, 1) with { State = UnitState.Probation };
        Assert.Equal(HealStep.EndProbation, HealRule.StepFor(less, Places, 1, 3));
    }

    [Fact]
    public void Trials_keep_what_they_count_in_four_bits()
    {
        for (int packed = 0; packed <= HealTrials.PackedMax; packed++)
        {
            HealTrials trials = HealTrials.FromPacked(packed);
            Assert.Equal(packed, trials.Packed);
            Assert.Equal(trials, new HealTrials(trials.Passed, trials.Failed));
        }
        Assert.Equal(new HealTrials(3, 1), new HealTrials(3, 1).WithPass());
        Assert.Equal(new HealTrials(0, 2), new HealTrials(2, 1).WithFailure());
        Assert.Equal(new HealTrials(0, 3), new HealTrials(0, 3).WithFailure());
        Assert.Throws<InvariantException>(() => new HealTrials(4, 0));
    }

    [Fact]
    public void Ledger_knows_copies_that_were_written_or_compared_and_what_was_transferred_since()
    {
        UnitNumber unit = new(7);
        ByteCount needed = new(100);
        ProbationLedger ledger = new();
        Assert.False(ledger.IsInStep(unit));
        Assert.False(ledger.MayVerify(unit, 99, needed));
        Assert.True(ledger.MayVerify(unit, 100, needed));
        ledger.NoteWritten(unit, 50);
        Assert.True(ledger.IsInStep(unit));
        Assert.False(ledger.MayVerify(unit, 149, needed));
        Assert.True(ledger.MayVerify(unit, 150, needed));
        Assert.True(ledger.IsNew(unit));
        ledger.NoteCompared(unit, 150);
        Assert.False(ledger.IsNew(unit));
        Assert.False(ledger.MayVerify(unit, 249, needed));
        Assert.True(ledger.MayVerify(unit, 250, needed));
        ledger.Forget(unit);
        Assert.Equal(0, ledger.Count);
    }

    private static RemapEntry Entry(ulong onSpare, ulong zero, ulong lost) => new()
    {
        Unit = new UnitNumber(3),
        State = UnitState.Remapped,
        Location = new SpareLocation(0, new UnitNumber(9)),
        Blocks = BlockStates.AllOnPrimary.With(onSpare, BlockState.OnSpare).With(zero, BlockState.Zero)
            .With(lost, BlockState.Lost),
    };
}
