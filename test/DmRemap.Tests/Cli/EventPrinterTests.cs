using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Engine;
using Xunit;

namespace DmRemap.Tests.Cli;

public sealed class EventPrinterTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private static CancellationToken Ended => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Notes_and_events_are_printed_in_order_until_the_end()
    {
        List<string> printed = [];
        EventPrinter printer = new(printed.Add, [], TimeProvider.System);
        printer.Say("first");
        printer.Publish(new EngineEvent { Kind = EngineEventKind.CommitFailed, Member = -1 });
        printer.Say("last");
        await printer.DisposeAsync();
        Assert.Equal(3, printed.Count);
        Assert.Equal("first", printed[0]);
        Assert.StartsWith("DMR-EVENT-COMMIT-FAILED", printed[1], StringComparison.Ordinal);
        Assert.Equal("last", printed[2]);
    }

    [Fact]
    public async Task Unit_that_was_declared_lost_is_not_said_to_have_failed_to_read()
    {
        List<string> printed = [];
        EventPrinter printer = new(printed.Add, ["/dev/sdc1"], TimeProvider.System);
        printer.Publish(new EngineEvent { Kind = EngineEventKind.RemappedDeclared, Member = -1 });
        await printer.DisposeAsync();
        string line = Assert.Single(printed);
        Assert.StartsWith("DMR-EVENT-REMAPPED ", line, StringComparison.Ordinal);
        Assert.Contains("it had been declared lost", line, StringComparison.Ordinal);
    }

    /// <summary>A client that goes on writing where nothing is left would fill the log.</summary>
    [Fact]
    public void What_happens_once_for_each_request_is_said_ten_times_a_minute()
    {
        MovedTime time = new();
        RepeatedEvents repeated = new(time);
        EngineEvent full = new() { Kind = EngineEventKind.Exhausted, Member = -1 };
        List<string> printed = [];
        for (int i = 0; i < 1000; i++)
        {
            Judge(full);
        }
        Assert.Equal(RepeatedEvents.LinesMax, printed.Count);
        Assert.Equal("line", printed[0]);
        Assert.Contains("are not printed", printed[^1], StringComparison.Ordinal);
        // Others are not in its way.
        Judge(new EngineEvent { Kind = EngineEventKind.MemberError, Member = 1 });
        Judge(new EngineEvent { Kind = EngineEventKind.Remapped, Member = -1 });
        Assert.Equal(RepeatedEvents.LinesMax + 2, printed.Count);
        time.Seconds = 61;
        Judge(full);
        Assert.Contains("990 more", printed[^1], StringComparison.Ordinal);

        void Judge(EngineEvent happened)
        {
            if (repeated.Judge(happened, _ => "line") is string line)
            {
                printed.Add(line);
            }
        }
    }

    private sealed class MovedTime : TimeProvider
    {
        public long Seconds { get; set; }

        public override long TimestampFrequency => 1;

        public override long GetTimestamp() => Seconds;
    }

    [Fact]
    public async Task Output_that_nobody_reads_does_not_hold_up_who_speaks_nor_the_end()
    {
        using ManualResetEventSlim read = new();
        try
        {
            EventPrinter printer = new(_ => read.Wait(Ended), [], TimeProvider.System);
            for (int i = 0; i < 10_000; i++)
            {
                printer.Say("more than the queue holds");
            }
            await printer.DisposeAsync().AsTask().WaitAsync(s_patience, Ended);
        }
        finally
        {
            read.Set();
        }
    }
}
