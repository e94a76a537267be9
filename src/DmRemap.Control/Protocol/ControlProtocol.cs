using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Protocol;

/// <summary>
/// Newline-delimited JSON over a Unix socket (docs/control-protocol.md). The server speaks first:
/// <code>
///   S: {"dmremap":{"protocol":1,"version":"0.1.0","name":"disk1"}}
///   C: {"id":1,"command":"remap","arguments":{"first":800,"last":815}}
///   S: {"id":1,"progress":{"unitsDone":1,"unitsTotal":2}}
///   S: {"id":1,"return":{...}}                   or   {"id":1,"error":{...}}
/// </code>
/// Requests of one connection are carried out one after the other, so replies come in the order of requests.
/// </summary>
public static class ControlProtocol
{
    /// <summary>
    /// Raised when an older client could misunderstand an answer; added fields do not raise it.
    /// </summary>
    public const int Version = 1;

    /// <summary>A line with its newline, in bytes, in either direction.</summary>
    public const int LineBytesMax = Limits.ControlLineBytesMax;

    /// <summary>How deep JSON may nest.</summary>
    public const int DepthMax = 16;

    /// <summary>The longest deadline that `stop` and `suspend` take, in seconds.</summary>
    public const double DeadlineSecondsMax = 24 * 60 * 60;

    /// <summary>Of `stop` and `suspend` when nobody says otherwise, in seconds.</summary>
    public const double DeadlineSecondsDefault = 5;

    /// <summary>The longest fault rule, in characters.</summary>
    public const int FaultRuleLengthMax = 1024;

    /// <summary>The longest path, in characters.</summary>
    public const int PathLengthMax = 4096;

    /// <summary>The version of this program, as in "0.1.0".</summary>
    public static string ProgramVersion { get; } = FindVersion();

    private static string FindVersion()
    {
        Version? version = typeof(ControlProtocol).Assembly.GetName().Version;
        return version is null ? "0" : version.ToString(fieldCount: 3);
    }
}

/// <summary>The commands by name.</summary>
public static class ControlCommands
{
    public const string Ping = "ping";
    public const string Status = "status";
    public const string Remap = "remap";
    public const string Unremap = "unremap";
    public const string Retest = "retest";
    public const string MarkLost = "mark-lost";
    public const string Lost = "lost";
    public const string FaultsAdd = "faults-add";
    public const string FaultsClear = "faults-clear";
    public const string FaultsList = "faults-list";
    public const string Suspend = "suspend";
    public const string Resume = "resume";
    public const string Clear = "clear";
    public const string Scrub = "scrub";
    public const string SpareAdd = "spare-add";
    public const string SpareRemove = "spare-remove";
    public const string SpareStop = "spare-stop";
    public const string Attach = "attach";
    public const string Stop = "stop";

    /// <summary>Of a disk of the lab, which has ping, status and stop too.</summary>
    public const string LabAddBad = "lab-add-bad";
    public const string LabHeal = "lab-heal";
    public const string LabTrouble = "lab-trouble";
    public const string LabList = "lab-list";
}
