using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Control.Registry;
using DmRemap.Core.Metadata;
using DmRemap.Linux.Members;
using DmRemap.Tests.Control;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Cli;

public sealed class HistoryWatchTests : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);
    private static readonly HistoryPoint s_begun = new(0xE1, 10, 100);

    private readonly TemporaryDirectory _directory = new();
    private readonly List<string> _said = [];
    private readonly DeviceRecord _record = RegistrySamples.Record("disk1");
    private readonly HandTime _time = new();
    private readonly SemaphoreSlim _asked = new(0);
    private ulong _sequence = 100;

    public void Dispose()
    {
        _asked.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task What_was_acknowledged_since_is_noted_and_nothing_without_news()
    {
        await using HistoryWatch watch = Watch();
        await LookAsync(100);
        await LookAsync(107);
        // A look begins when the one before has ended.
        await LookAsync(107);
        Assert.Equal(s_begun with { JournalSequence = 107 }, History().Load());
        File.Delete(StateFile().Path);
        await LookAsync(107);
        await LookAsync(107);
        Assert.False(File.Exists(StateFile().Path));
        await LookAsync(109);
        await LookAsync(109);
        Assert.Equal(s_begun with { JournalSequence = 109 }, History().Load());
        Assert.Empty(_said);
    }

    [Fact]
    public async Task A_look_that_comes_after_the_stop_takes_nothing_back()
    {
        HostHistory history = History();
        await using HistoryWatch watch = Watch(history);
        HistoryPoint stopped = s_begun with { Generation = 12, JournalSequence = 107 };
        history.Note(stopped);
        await LookAsync(107);
        await LookAsync(107);
        Assert.Equal(stopped, History().Load());
    }

    [Fact]
    public async Task A_state_that_cannot_be_written_is_said_once_and_tried_again()
    {
        await using HistoryWatch watch = Watch();
        Directory.CreateDirectory(StateFile().Path);
        await LookAsync(101);
        await LookAsync(102);
        await LookAsync(103);
        Directory.Delete(StateFile().Path);
        await LookAsync(103);
        await LookAsync(103);
        Assert.Equal(s_begun with { JournalSequence = 103 }, History().Load());
        Assert.Contains("could not be written", Assert.Single(_said), StringComparison.Ordinal);
    }

    [Fact]
    public void A_journal_that_ends_too_early_in_the_same_run_is_called_so()
    {
        HistoryPoint seen = s_begun with { JournalSequence = 107 };
        string message = History().Judge(seen, s_begun, [])!.Message;
        Assert.Contains("ends at record 100", message, StringComparison.Ordinal);
        Assert.Contains("record 107", message, StringComparison.Ordinal);
    }

    private async Task LookAsync(ulong sequence)
    {
        Volatile.Write(ref _sequence, sequence);
        _time.Tick();
        Assert.True(await _asked.WaitAsync(s_patience, TestContext.Current.CancellationToken));
    }

    private HistoryWatch Watch(HostHistory? history = null) => new(
        history ?? History(),
        s_begun,
        () =>
        {
            ulong sequence = Volatile.Read(ref _sequence);
            _asked.Release();
            return sequence;
        },
        _time);

    private HostHistory History() => new(_record, StateFile(), acceptsRollback: false, _said.Add);

    private HostWitnessFile StateFile() => new(_directory.Path, new StateFiles(), "disk1");
}
