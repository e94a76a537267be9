using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Metadata;
using Xunit;

namespace DmRemap.Tests.Metadata.Exhaustive;

/// <summary>
/// One history: a set is made and started, then one operation follows the other. Crashes are looked at from
/// the beginning of the last operation on, until nothing is under way: those before are another history's.
/// </summary>
internal sealed class CrashHistory : IMetadataFormatOwner, ICommitOwner, IMetadataStopOwner
{
    /// <summary>What there is to do.</summary>
    public const string Letters = "RLMDCSPF";

    private const int FillerUnits = 511;

    private readonly CrashExplorer _explorer;
    private readonly string _history;
    private readonly CrashDepth _depth;
    private readonly DiskTimeline _timeline;
    private readonly List<ModelTable> _possible = [];
    private RecoveredSet? _set;
    private ModelTable _done = new();
    private ModelTable? _next;
    private bool _isFormatted;
    private bool? _stoppedClean;
    private ulong _epoch = 0xE0;
    private long _operation;
    private long _eventsBefore;

    /// <param name="explorer">Who looks at the crashes.</param>
    /// <param name="spares">Of the set.</param>
    /// <param name="history">Letters; empty: the creation of the set and its first start.</param>
    /// <param name="depth">How much is looked at.</param>
    public CrashHistory(CrashExplorer explorer, int spares, string history, CrashDepth depth)
    {
        _explorer = explorer;
        _history = history;
        _depth = depth;
        PageImage[] blank = [.. Enumerable.Range(0, spares).Select(_ => new PageImage())];
        _timeline = new DiskTimeline(blank, isInstant: false);
    }

    /// <summary>Submissions and answers, from the beginning of the last operation on.</summary>
    public long Events => _timeline.Events - _eventsBefore;

    private MetadataStore Store => _set!.Store;

    public void Run()
    {
        if (_history.Length == 0)
        {
            Watch();
        }
        FormatRequest format = MetadataBench.FormatRequestFor(_timeline.Disks.Length);
        new MetadataFormatter(_timeline.Loop, _timeline.Disks, format, this).Begin();
        RunUntil(() => _isFormatted);
        Start();
        RunUntilQuiet();
        for (_operation = 0; _operation < _history.Length; _operation++)
        {
            if (_operation == _history.Length - 1)
            {
                Watch();
            }
            Do(_history[(int)_operation]);
        }
        RunUntilQuiet();
        _timeline.NoteAcknowledged();
        _timeline.TakePoint();
    }

    void IMetadataFormatOwner.OnFormatted(MetadataFormatter formatter)
    {
        Assert.Null(formatter.Refusal);
        _isFormatted = true;
        _timeline.NoteAcknowledged();
    }

    /// <summary>As a device does: what is Done is in the table before this returns.</summary>
    void ICommitOwner.OnCommitted(CommitRequest request)
    {
        if (request.Outcome == CommitOutcome.Done)
        {
            _done = _next!;
            _possible.Clear();
            Apply(request.Changes);
        }
        else if (request.Outcome == CommitOutcome.Unknown)
        {
            _possible.Add(_next!);
        }
        _timeline.NoteAcknowledged();
    }

    void IMetadataStopOwner.OnMetadataStopped(bool isClean) => _stoppedClean = isClean;

    private void Watch()
    {
        _eventsBefore = _timeline.Events;
        _timeline.OnPoint = () => _explorer.CrashNow(_timeline, new CrashJudgement
        {
            Where = $"{_timeline.Disks.Length} spares, history '{_history}', event {Events}",
            Allowed = _next is null ? [_done, .. _possible] : [_done, _next, .. _possible],
            MayBeNone = !_isFormatted,
            Depth = _depth,
        });
        _timeline.NoteAcknowledged();
    }

    private void RunUntil(Func<bool> condition) =>
        _timeline.Loop.RunUntil(() => _explorer.IsBroken || condition());

    private void RunUntilQuiet() => RunUntil(() => !Store.IsWriting && _timeline.IsIdle);

    private void Do(char letter)
    {
        switch (letter)
        {
            case 'R':
                Commit(Remap());
                break;
            case 'L':
                Commit(Lose());
                break;
            case 'M':
                Commit(Remap(), Retire());
                break;
            case 'D':
                Commit(new TableChange(TableChangeKind.Remove, Latest()));
                break;
            case 'C':
                FillRing();
                break;
            case 'S':
                Restart();
                break;
            case 'P':
                CommitWith(OnePlaceFails());
                break;
            default:
                CommitWith(TheLastMemberFails);
                break;
        }
    }

    private void Commit(params TableChange[] changes)
    {
        _next = _done.With(changes);
        CommitRequest request = Begin(changes);
        RunUntil(() => !request.IsPending);
        _next = null;
    }

    private CommitRequest Begin(TableChange[] changes)
    {
        CommitRequest request = new(changes.Length);
        request.Prepare(this);
        foreach (TableChange change in changes)
        {
            request.Add(change);
        }
        Store.Commit(request);
        return request;
    }

    private void CommitWith(Func<DiskWrite, WriteFate> fate)
    {
        _timeline.Fate = fate;
        Commit(Remap());
        _timeline.Fate = _ => WriteFate.Done;
    }

    /// <summary>
    /// Commits that change nothing and are long: three records, of which the last begins a checkpoint. It
    /// goes on beside what follows.
    /// </summary>
    private void FillRing()
    {
        _next = _done;
        CommitRequest last = Begin(Filler(0));
        for (int i = 1; i < 4; i++)
        {
            last = Begin(Filler(i));
        }
        RunUntil(() => !last.IsPending);
        _next = null;
        Assert.True(last.Outcome == CommitOutcome.Done || _explorer.IsBroken);
    }

    private static TableChange[] Filler(int number) =>
    [
        .. Enumerable.Range(0, FillerUnits).Select(i => new TableChange(
            TableChangeKind.Remove, Lost(10_000 + (number * 2000) + (2 * i)))),
    ];

    private void Restart()
    {
        _stoppedClean = null;
        Store.BeginStop(this);
        RunUntil(() => _stoppedClean is not null);
        Assert.True(_stoppedClean == true || _explorer.IsBroken);
        Start();
    }

    private void Start()
    {
        if (_explorer.IsBroken)
        {
            return;
        }
        _epoch++;
        CrashRecovery recovery = CrashRecovery.Run(_timeline, _epoch);
        Assert.True(recovery.Recovered is not null, $"'{_history}' {_timeline.Disks.Length}");
        _set = recovery.Recovered;

        // What was in doubt is not any more: what this start shows, every later one does.
        ModelTable[] allowed = [_done, .. _possible];
        _done = Assert.Single(
            allowed, table => table.Equals(MetadataBench.EntriesOf(_set!.Table), _set.Retired));
        _possible.Clear();
        _timeline.NoteAcknowledged();
    }

    /// <summary>The second journal place of the last active member takes nothing; or the first.</summary>
    private Func<DiskWrite, WriteFate> OnePlaceFails()
    {
        int member = LastActive();
        int place = (Store.DescriptionOf(member).BadJournals & 2) == 0 ? 1 : 0;
        return write => write.Disk == member && IsIn(JournalOf(member, place), write)
            ? WriteFate.FailsAndLeavesNothing
            : WriteFate.Done;
    }

    /// <summary>
    /// Each record of one member fails, although all of it has arrived in the first place, and half of it in
    /// the second.
    /// </summary>
    private WriteFate TheLastMemberFails(DiskWrite write)
    {
        int member = LastActive();
        bool isFirst = IsIn(JournalOf(member, 0), write);
        bool isFailing = write.Disk == member && (isFirst || IsIn(JournalOf(member, 1), write));
        WriteFate fate = isFirst ? WriteFate.FailsAndLeavesAll : WriteFate.FailsAndLeavesHalf;
        return isFailing ? fate : WriteFate.Done;
    }

    private int LastActive() => Array.FindLastIndex(_set!.Members, member => member is { IsActive: true });

    private ByteRegion JournalOf(int member, int place)
    {
        SpareLayout layout = _set!.Members[member]!.Layout;
        return place == 0 ? layout.Journal1 : layout.Journal2;
    }

    private static bool IsIn(ByteRegion region, DiskWrite write) =>
        write.At >= region.Start && write.At < region.End;

    private void Apply(ReadOnlySpan<TableChange> changes)
    {
        foreach (TableChange change in changes)
        {
            if (change.Kind == TableChangeKind.Set)
            {
                _set!.Table.Set(change.Entry);
            }
            else if (change.Kind == TableChangeKind.Remove)
            {
                _set!.Table.Remove(change.Entry.Unit);
            }
        }
    }

    /// <summary>The entry made last, or a unit that has none.</summary>
    private RemapEntry Latest() => _done.Entries.Length > 0 ? _done.Entries[^1] : Lost(7);

    private TableChange Remap() => new(TableChangeKind.Set, new RemapEntry
    {
        Unit = new UnitNumber(100 * (_operation + 1)),
        State = UnitState.Remapped,
        Location = new SpareLocation(0, new UnitNumber(10 * (_operation + 1))),
        Blocks = BlockStates.AllOnPrimary.With(0x0F, BlockState.OnSpare),
        LastErrno = 61,
        LastErrorDay = 20_000,
    });

    /// <summary>The unit that failed before the one that Remap takes.</summary>
    private TableChange Retire() => new(
        TableChangeKind.RetireSpareUnit,
        Lost(0) with { Location = new SpareLocation(0, new UnitNumber((10 * (_operation + 1)) - 1)) });

    private TableChange Lose()
    {
        RemapEntry entry = Latest();
        ulong mask = 1ul << (int)(4 + _operation);
        return new TableChange(
            TableChangeKind.Set, entry with { Blocks = entry.Blocks.With(mask, BlockState.Lost) });
    }

    private static RemapEntry Lost(long unit) => new()
    {
        Unit = new UnitNumber(unit),
        State = UnitState.LostUnreadable,
        Blocks = BlockStates.AllOnPrimary,
    };
}
