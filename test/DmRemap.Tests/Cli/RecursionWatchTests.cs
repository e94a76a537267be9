using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Core.Abstractions;
using Xunit;

namespace DmRemap.Tests.Cli;

public sealed class RecursionWatchTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private readonly List<string> _said = [];
    private readonly HandTime _time = new();
    private Exception? _found;
    private Action? _before;
    private TaskCompletionSource _looked = new(TaskCreationOptions.RunContinuationsAsynchronously);

    [Theory]
    [InlineData("DMR-MEMBER-SAME")]
    [InlineData("DMR-MEMBER-OVERLAP")]
    [InlineData("DMR-STATE-ON-MEMBER")]
    public async Task What_waits_for_itself_is_said_once_and_shown_until_it_ends(string id)
    {
        await using RecursionWatch watch = Watch();
        await LookAsync(Refused(id));
        await LookAsync(Refused(id));
        await LookAsync(null, () => Assert.True(watch.IsRecursive));
        await LookAsync(null, () => Assert.False(watch.IsRecursive));
        Assert.StartsWith(id, Assert.Single(_said), StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_cannot_be_looked_at_is_no_recursion_and_does_not_end_the_watch()
    {
        await using RecursionWatch watch = Watch();
        Exception[] failures =
        [
            Refused("DMR-MEMBER-MISSING"), new IOException("no answer"),
            new UnauthorizedAccessException("denied"), new FormatException("odd"),
        ];
        foreach (Exception failure in failures)
        {
            await LookAsync(failure);
        }
        await LookAsync(Refused("DMR-MEMBER-SAME"), () => Assert.False(watch.IsRecursive));
        await LookAsync(null, () => Assert.True(watch.IsRecursive));
        Assert.Equal(failures.Length + 1, _said.Count);
        Assert.All(_said[..^1],
            line => Assert.StartsWith("DMR-EVENT-RECURSION-UNKNOWN", line, StringComparison.Ordinal));
    }

    private static RefusalException Refused(string id) =>
        new(new Refusal(id, ExitCode.RefusedForSafety, "/dev/x", "It is so.", "Change it."));

    private RecursionWatch Watch() => new(Look, _said.Add, _time);

    /// <summary>
    /// One minute later; `before` sees what the look before has left. A look begins only when the one before
    /// has ended, and this returns when it has begun.
    /// </summary>
    private async Task LookAsync(Exception? found, Action? before = null)
    {
        _looked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Volatile.Write(ref _found, found);
        _before = before;
        _time.Tick();
        await _looked.Task.WaitAsync(s_patience, TestContext.Current.CancellationToken);
    }

    private void Look()
    {
        try
        {
            _before?.Invoke();
        }
        catch (Exception error)
        {
            _looked.SetException(error);
            return;
        }
        Exception? found = Volatile.Read(ref _found);
        _looked.SetResult();
        if (found is not null)
        {
            throw found;
        }
    }
}
