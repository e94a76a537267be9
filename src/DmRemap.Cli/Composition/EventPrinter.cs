using System;
using System.Globalization;
using System.Threading;
using System.Threading.Channels;
using System.Threading.Tasks;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Spares;
using DmRemap.Engine;
using DmRemap.Linux.Native;

namespace DmRemap.Cli.Composition;

/// <summary>
/// Events, and what the daemon itself has to say, as lines on standard error. Neither the data thread nor the
/// end of the process waits for a terminal or a log: what does not fit the queue is dropped and counted
/// (F-20), and what nobody has read at the end is left unsaid.
/// </summary>
internal sealed class EventPrinter : IEventSink, IAsyncDisposable
{
    private const int QueueMax = 4096;

    /// <summary>EILSEQ: it reads, and not what was written.</summary>
    private const int DiffersErrno = 84;

    private const string StormMeans =
        "only writes move units from now on, and only while the disk takes others; `dmremap clear` ends it";

    private static readonly TimeSpan s_endTimeout = TimeSpan.FromSeconds(1);

    private readonly Channel<Line> _queue = Channel.CreateBounded<Line>(
        new BoundedChannelOptions(QueueMax) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });

    private readonly Action<string> _print;
    private readonly RepeatedEvents _repeated;
    private readonly Task _printing;
    private long _dropped;

    public EventPrinter(Action<string> print, string[] sparePaths, TimeProvider time)
    {
        _print = print;
        _repeated = new RepeatedEvents(time);
        SpareNames = sparePaths;
        // Not on the caller's thread: printing is a write that lasts until somebody reads.
        _printing = Task.Run(PrintAsync);
    }

    /// <summary>By member index; replaced as a whole when the set changes.</summary>
    public string[] SpareNames { get; set; }

    public void Publish(in EngineEvent happened) => Add(new Line(null, happened));

    /// <summary>A line beside the events, in order with them. Never waits; from any thread.</summary>
    public void Say(string text) => Add(new Line(text, default));

    public async ValueTask DisposeAsync()
    {
        _queue.Writer.TryComplete();
        if (await Task.WhenAny(_printing, Task.Delay(s_endTimeout)) == _printing)
        {
            // A fault here is a bug of ours: it must not end unseen.
            await _printing;
        }
    }

    private void Add(in Line line)
    {
        if (!_queue.Writer.TryWrite(line))
        {
            Interlocked.Increment(ref _dropped);
        }
    }

    private async Task PrintAsync()
    {
        await foreach (Line line in _queue.Reader.ReadAllAsync())
        {
            if ((line.Text ?? _repeated.Judge(line.Happened, happened => Describe(happened))) is string text)
            {
                _print(text);
            }
            long dropped = Interlocked.Exchange(ref _dropped, 0);
            if (dropped > 0)
            {
                _print(
                    $"DMR-EVENTS-DROPPED {dropped} more events were not printed; `dmremap status` "
                        + "counts them all");
            }
        }
    }

    private string Describe(in EngineEvent happened)
    {
        string where = Blocks(happened.Blocks);
        string member = happened.Member < 0 ? "main" : NameOf(happened.Member);
        string error = happened.Errno == 0 ? "" : $" ({Errno.Name(happened.Errno)})";
        string spare = happened.Location.IsNone
            ? ""
            : string.Create(CultureInfo.InvariantCulture,
                $"{NameOf(happened.Location.Spare)} unit {happened.Location.Unit.Value}");
        return happened.Kind switch
        {
            EngineEventKind.Remapped or EngineEventKind.RemappedDeclared =>
                $"DMR-EVENT-REMAPPED {where}: {WhyMoved(happened, member, error)}; now on {spare}",
            EngineEventKind.RemappedByRequest => $"DMR-EVENT-REMAPPED {where}: moved to {spare} as asked",
            EngineEventKind.Returned =>
                $"DMR-EVENT-RETURNED {where}: back on {member} as asked; it was on {spare}",
            EngineEventKind.Healed or EngineEventKind.HealFailed =>
                DescribeHealing(happened, $"{where}: {member}", error, spare),
            EngineEventKind.Salvaged =>
                $"DMR-EVENT-SALVAGED {where}: had been given up, and {member} read it again; now on {spare}",
            EngineEventKind.Declared =>
                $"DMR-EVENT-DECLARED {where}: declared lost as asked; reads fail until it is written",
            EngineEventKind.RescuedWeak =>
                $"DMR-EVENT-RESCUED {where}: {member} read it only after failing{error}; now on {spare}",
            EngineEventKind.Unreadable =>
                $"DMR-EVENT-UNREADABLE {where}: {member} cannot read it{error}; it is tried again",
            EngineEventKind.Lost =>
                $"DMR-EVENT-LOST {where}: given up{error}; reads fail until it is written",
            EngineEventKind.SpareUnitRetired =>
                $"DMR-EVENT-SPARE-RETIRED {spare} failed{error} and is not used again",
            EngineEventKind.SecondTookOver =>
                $"DMR-EVENT-SECOND-COPY {where}: {member} does not give it; the copy on {spare} takes its "
                    + "place",
            EngineEventKind.Exhausted =>
                $"DMR-EVENT-EXHAUSTED {where}: no spare unit is left for it; the write succeeds in place, "
                    + "or fails",
            EngineEventKind.SparesLow or EngineEventKind.SparesNearlyExhausted => DescribeFill(happened.Kind),
            EngineEventKind.CommitFailed =>
                "DMR-EVENT-COMMIT-FAILED the remap table could not be made durable",
            EngineEventKind.FlushFailed or EngineEventKind.CacheLost or EngineEventKind.UncertainEnded =>
                DescribeDoubt(happened, member, error),
            EngineEventKind.MemberError =>
                $"DMR-EVENT-MEMBER-ERROR {member}: {where} failed{error}: not a bad sector"
                    + (happened.Member < 0 ? ", nothing is remapped" : ", nothing is retired"),
            EngineEventKind.StormOfReads =>
                $"DMR-EVENT-STORM {member}: a read failed{error}, and so did reads elsewhere on the disk: "
                    + $"cable, controller or the whole disk; {StormMeans}",
            EngineEventKind.StormOfMoves =>
                $"DMR-EVENT-STORM {member}: writes moved too many units in a minute{error}, far from each "
                    + $"other; {StormMeans}",
            EngineEventKind.MemberGone =>
                $"DMR-EVENT-GONE {member}: its disk is gone{error}; nothing is remapped for that, and what "
                    + "needs it waits or fails as --on-gone says: check cable and power, or the server",
            EngineEventKind.MemberBack => $"DMR-EVENT-BACK {member}: its disk answers again",
            EngineEventKind.MemberStranger =>
                $"DMR-EVENT-STRANGER {member}: what answers in its place is not this spare: nothing is "
                    + "sent there; bring back the right one, or leave it out at the next start",
            EngineEventKind.ReadsAbandoned =>
                $"DMR-EVENT-READ-DEADLINE {member}: a read had no answer by --read-deadline, and its client "
                    + "got an I/O error; its buffer waits for the disk",
            EngineEventKind.WritesRejected =>
                $"DMR-EVENT-WRITES-REJECTED {member} refuses every write{error}, elsewhere too: not bad "
                    + "sectors; such writes fail until it takes one again",
            EngineEventKind.MemberInactive =>
                $"DMR-EVENT-SPARE-INACTIVE {member}: it did not take the table in time; what it holds of it "
                    + "is old from here on, it gets nothing new, and the next start writes it anew",
            EngineEventKind.None => "DMR-EVENT-NONE",
            _ => $"DMR-EVENT-{happened.Kind}",
        };
    }

    private static string DescribeDoubt(in EngineEvent happened, string member, string error) =>
        happened.Kind switch
        {
            EngineEventKind.FlushFailed =>
                $"DMR-EVENT-FLUSH-FAILED {member}: a flush failed{error}; {UncertainMeans(happened)}",
            EngineEventKind.CacheLost =>
                $"DMR-EVENT-CACHE-LOST {member}: it was away with writes in its cache; "
                    + UncertainMeans(happened),
            _ => "DMR-EVENT-UNCERTAIN-ENDED what was uncertain is written anew and flushed, or was cleared",
        };

    private static string UncertainMeans(in EngineEvent happened) => happened.Blocks.IsEmpty
        ? "what was not flushed is uncertain, and the next flush of each client fails"
        : $"writes in {Blocks(happened.Blocks)} that were not flushed are uncertain (`dmremap status` lists "
            + "them), and the next flush of each client fails";

    private string NameOf(int spare)
    {
        string[] names = SpareNames;
        return spare < names.Length ? names[spare] : $"spare {spare}";
    }

    private static string DescribeHealing(
        in EngineEvent happened, string where, string error, string spare) =>
        happened.Kind == EngineEventKind.Healed
            ? $"DMR-EVENT-HEALED {where} has kept what was rewritten; it was on {spare}"
            : $"DMR-EVENT-HEAL-FAILED {where} "
                + (happened.Errno == DiffersErrno
                    ? "did not keep what was rewritten there"
                    : $"was rewritten there and failed{error}")
                + $"; it stays on {spare}";

    private static string DescribeFill(EngineEventKind kind) =>
        kind == EngineEventKind.SparesLow
            ? $"DMR-EVENT-SPARES-LOW {SpareFills.LowPercent} % or more of the spare units are in use; add a "
                + "spare (dmremap spare add)"
            : $"DMR-EVENT-SPARES-NEARLY-EXHAUSTED {SpareFills.NearlyExhaustedPercent} % or more of the spare "
                + "units are in use; when none is left, writes to bad sectors fail";

    /// <summary>Without an error nothing was tried there: its reads had failed before.</summary>
    private static string WhyMoved(in EngineEvent happened, string member, string error) =>
        happened.Kind == EngineEventKind.RemappedDeclared
            ? "it had been declared lost, so the write went elsewhere"
            : happened.Errno == 0
                ? $"{member} could not read it before, so the write went elsewhere"
                : $"writing to {member} failed{error}";

    private static string Blocks(Extent blocks)
    {
        if (blocks.IsEmpty)
        {
            return "the device";
        }
        return blocks.Count.Value == 1
            ? $"block {blocks.Start.Value}"
            : $"blocks {blocks.Start.Value}-{blocks.End.Value - 1}";
    }

    /// <summary>A text, or else an event.</summary>
    private readonly record struct Line(string? Text, EngineEvent Happened);
}
