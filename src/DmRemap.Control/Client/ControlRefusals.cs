using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Client;

/// <summary>What a client of a control socket tells its user.</summary>
public static class ControlRefusals
{
    public static Refusal NotRunning(string device) => new(
        MessageIds.NotRunning,
        ExitCode.Failed,
        device,
        $"\"{device}\" is not running.",
        $"Start it with: dmremap serve {device}");

    public static Refusal Denied(string device, string path) => new(
        MessageIds.Denied,
        ExitCode.NotPermitted,
        device,
        $"The control socket {path} of \"{device}\" belongs to another user.",
        "Run this as the user that serves the device.");

    /// <param name="device">Whose daemon it is.</param>
    /// <param name="process">The daemon's, where the connection tells it.</param>
    /// <param name="what">It was asked for.</param>
    /// <param name="why">There is no answer.</param>
    public static Refusal NoAnswer(string device, int? process, string what, string why) => new(
        MessageIds.NoAnswer,
        ExitCode.Failed,
        device,
        $"The daemon of \"{device}\"{(process is null ? "" : $" (process {process})")} does not answer "
            + $"({what}: {why}).",
        process is null
            ? "Look whether the process runs and at its output. SIGTERM stops it; a second SIGTERM does not "
                + "wait."
            : $"Look at process {process} and its output. SIGTERM (`kill {process}`) stops it; a second one "
                + "does not wait.");

    public static Refusal NotTheProtocol(string device) => new(
        MessageIds.NotTheProtocol,
        ExitCode.Failed,
        device,
        $"What answers on the control socket of \"{device}\" does not speak the control protocol.",
        "Look which process has the socket open, and whether it is a dmremap of this version.");

    public static Refusal VersionMismatch(string device, GreetingBody greeting) => new(
        MessageIds.VersionMismatch,
        ExitCode.Failed,
        device,
        $"\"{device}\" is served by dmremap {greeting.Version}, which speaks control protocol "
            + $"{greeting.Protocol};"
            + $" this is dmremap {ControlProtocol.ProgramVersion} with protocol {ControlProtocol.Version}.",
        $"Use dmremap {greeting.Version} for it, or stop it with SIGTERM and serve it with this version.");

    public static Refusal OtherDevice(string device, string greeted) => new(
        MessageIds.NotTheProtocol,
        ExitCode.Failed,
        device,
        $"The control socket of \"{device}\" is served for a device that calls itself \"{greeted}\".",
        "Look which process has the socket open; sockets must not be renamed or linked.");
}
