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
        EventPrinter printer = new(printed.Add, []);
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
        EventPrinter printer = new(printed.Add, ["/dev/sdc1"]);
        printer.Publish(new EngineEvent { Kind = EngineEventKind.RemappedDeclared, Member = -1 });
        await printer.DisposeAsync();
        string line = Assert.Single(printed);
        Assert.StartsWith("DMR-EVENT-REMAPPED ", line, StringComparison.Ordinal);
        Assert.Contains("it had been declared lost", line, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Output_that_nobody_reads_does_not_hold_up_who_speaks_nor_the_end()
    {
        using ManualResetEventSlim read = new();
        try
        {
            EventPrinter printer = new(_ => read.Wait(Ended), []);
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
