using System;
using System.Collections.Generic;
using System.IO;
using DmRemap.Cli.Composition;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Linux.Members;
using DmRemap.Tests.Control;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Cli;

public sealed class HostHistoryTests : IDisposable
{
    private static readonly HistoryPoint s_seen = new(0xE1, 10, 100);

    private readonly TemporaryDirectory _directory = new();
    private readonly List<string> _said = [];
    private readonly DeviceRecord _record = RegistrySamples.Record("disk1");

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void What_is_noted_is_what_the_next_start_compares_with()
    {
        HostHistory history = History();
        history.Note(s_seen);
        Assert.Equal(s_seen, history.Load());
        Assert.Empty(_said);
        Assert.Null(history.Judge(s_seen, s_seen, []));
        Assert.Null(history.Judge(s_seen, new HistoryPoint(0xE2, 12, 100), [new PastEpoch(0xE1, 11)]));
        Assert.Empty(_said);
    }

    [Fact]
    public void A_missing_state_is_said_and_refuses_nothing()
    {
        HostHistory history = History();
        Assert.Null(history.Load());
        string said = Assert.Single(_said);
        Assert.StartsWith("DMR-EVENT-HISTORY-UNKNOWN ", said, StringComparison.Ordinal);
        Assert.Contains("disk1.state does not exist", said, StringComparison.Ordinal);
        Assert.Contains("bring back the newest", said, StringComparison.Ordinal);
        Assert.Null(history.Judge(null, s_seen, []));
    }

    [Fact]
    public void A_state_of_another_set_says_nothing_of_this_one()
    {
        StateFile().Store(new HostWitness("disk1", Guid.NewGuid(), s_seen));
        Assert.Null(History().Load());
        Assert.Contains("of another set", Assert.Single(_said), StringComparison.Ordinal);
    }

    [Fact]
    public void A_damaged_state_is_refused_unless_a_rollback_is_accepted()
    {
        File.WriteAllText(StateFile().Path, "{");
        Assert.Equal("DMR-WITNESS-DAMAGED", Assert.Throws<RefusalException>(() => History().Load()).Id);
        Assert.Null(History(acceptsRollback: true).Load());
        Assert.Contains("--accept-rollback", Assert.Single(_said), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0xE1, 9, "is older")]
    [InlineData(0xE3, 20, "does not contain")]
    public void An_old_or_a_foreign_history_is_refused_unless_it_is_accepted(
        ulong epoch, ulong generation, string word)
    {
        HistoryPoint found = new(epoch, generation, 100);
        Refusal refusal = History().Judge(s_seen, found, [])!;
        Assert.Equal("DMR-META-ROLLED-BACK", refusal.Id);
        Assert.Equal(ExitCode.RefusedForSafety, refusal.ExitCode);
        Assert.Contains(word, refusal.Message, StringComparison.Ordinal);
        Assert.Contains("serve disk1 --accept-rollback", refusal.Action, StringComparison.Ordinal);
        Assert.Empty(_said);
        Assert.Null(History(acceptsRollback: true).Judge(s_seen, found, []));
        Assert.Contains(word, Assert.Single(_said), StringComparison.Ordinal);
    }

    [Fact]
    public void A_state_that_cannot_be_written_is_said()
    {
        Directory.CreateDirectory(Path.Combine(StateFile().Path, "in the way"));
        History().Note(s_seen);
        Assert.Contains("could not be written", Assert.Single(_said), StringComparison.Ordinal);
    }

    private HostWitnessFile StateFile() => new(_directory.Path, new StateFiles(), "disk1");

    private HostHistory History(bool acceptsRollback = false) =>
        new(_record, StateFile(), acceptsRollback, _said.Add);
}
