using System;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Composition;

/// <summary>
/// Every minute: does a spare, or a file of ours, now lie on what the main device carries (F-21)? A later
/// `mv` or LVM extension can do that, and then our own writes would wait for themselves. What a start refuses
/// is, at run time, said and shown as a condition.
/// </summary>
internal sealed class RecursionWatch : IAsyncDisposable
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(60);

    private static readonly string[] s_recursions =
        ["DMR-MEMBER-SAME", "DMR-MEMBER-OVERLAP", "DMR-STATE-ON-MEMBER"];

    private readonly Action _look;
    private readonly Action<string> _say;
    private readonly PeriodicLook _looking;
    private string _said = string.Empty;

    public RecursionWatch(
        Func<DeviceRecord> current, string[] statePaths, Action<string> say, TimeProvider time)
        : this(
            () =>
            {
                DeviceRecord record = current();
                MemberPath.RequireStateElsewhere(statePaths, record.MainPath);
                MemberPath.RequireApart(
                    record.MainPath, [.. MemberPath.Present(record.Spares.Select(spare => spare.Path))]);
            },
            say,
            time)
    {
    }

    /// <summary>`look` throws what it finds.</summary>
    internal RecursionWatch(Action look, Action<string> say, TimeProvider time)
    {
        _look = look;
        _say = say;
        _looking = new PeriodicLook(Look, s_interval, time);
    }

    /// <summary>Something of ours waits for what we serve.</summary>
    public bool IsRecursive { get; private set; }

    public ValueTask DisposeAsync() => _looking.DisposeAsync();

    private void Look()
    {
        try
        {
            _look();
            IsRecursive = false;
            _said = string.Empty;
        }
        catch (RefusalException e) when (s_recursions.Contains(e.Id))
        {
            IsRecursive = true;
            Say($"{e.Id} {e.Message} {e.Action}");
        }
        catch (Exception e) when (e is not InvariantException)
        {
            // A path that cannot be looked at now, or has gone, is no proof of anything.
            Say($"DMR-EVENT-RECURSION-UNKNOWN does a spare lie on the main device? {e.Message}");
        }
    }

    /// <summary>Once, until it changes.</summary>
    private void Say(string line)
    {
        if (line != _said)
        {
            _said = line;
            _say(line);
        }
    }
}
