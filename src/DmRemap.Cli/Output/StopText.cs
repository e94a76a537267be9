using DmRemap.Cli.Devices;
using DmRemap.Control.Contracts;

namespace DmRemap.Cli.Output;

/// <summary>How a device stopped, for a person.</summary>
internal static class StopText
{
    /// <summary>"stopped", and what was left.</summary>
    public static string Of(StopReport report)
    {
        if (report.Clean)
        {
            return "stopped";
        }
        string unanswered = report.OperationsOutstanding == 0
            ? ""
            : $"; {Amounts.Plural(report.OperationsOutstanding, "operation")} not answered by "
                + string.Join(", ", report.OutstandingOn);
        string failed = report.RequestsFailed == 0
            ? ""
            : $"; {Amounts.Plural(report.RequestsFailed, "request")} cut off without an answer";
        string how = report.ByDeadline ? "stopped by the deadline" : "stopped, but not cleanly";
        return $"{how}: {report.Left ?? "its next start recovers"}{unanswered}{failed}";
    }

    /// <summary>What became of the device, then of the server that an attach had started.</summary>
    public static string Of(DetachedDevice detached)
    {
        string what = !detached.WasAttached ? $"is not attached (dmremap attach {detached.Name} does that)"
            : detached.Forced ? "detached; requests that had no answer were cut off"
            : "detached";
        string server = detached.StopReport is StopReport report ? $"; its server was {Of(report)}"
            : detached.Stopped ? "; its server had no control socket, and was ended by SIGTERM"
            : "";
        string left = detached.ServerLeft is int process
            ? $"; its server (process {process}) was told to end, and has not yet: see its log, then dmremap "
                + $"detach {detached.Name}"
            : "";
        return what + server + left;
    }
}
