using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Lifecycle;

namespace DmRemap.Cli.Composition;

/// <summary>States of a device's life as they are shown, and why a command does not fit one.</summary>
internal static class LifeWords
{
    public static string StateOf(LifeState state) => state switch
    {
        LifeState.Stopped => DeviceStates.Stopped,
        LifeState.Claiming or LifeState.Recovering => DeviceStates.Starting,
        LifeState.Running => DeviceStates.Running,
        LifeState.Draining => DeviceStates.Suspending,
        LifeState.Quiesced => DeviceStates.Suspended,
        _ => DeviceStates.Stopping,
    };

    public static string? PhaseOf(LifeState state) => state switch
    {
        LifeState.Claiming => DevicePhases.Claiming,
        LifeState.Recovering => DevicePhases.Recovering,
        LifeState.Draining => DevicePhases.Draining,
        LifeState.Quiesced => DevicePhases.Quiesced,
        _ => null,
    };

    public static Refusal Refused(string name, LifeState state, string command) => state switch
    {
        LifeState.Claiming or LifeState.Recovering => new Refusal(
            MessageIds.Starting,
            ExitCode.Failed,
            name,
            $"\"{name}\" is starting ({PhaseOf(state)}): \"{command}\" has to wait until it is served.",
            $"Repeat it when dmremap status {name} says \"running\"."),
        LifeState.Draining or LifeState.Quiesced => new Refusal(
            MessageIds.Suspended,
            ExitCode.Failed,
            name,
            $"\"{name}\" is suspended: \"{command}\" would read and write its members.",
            $"Resume it first: dmremap resume {name}"),
        _ => new Refusal(
            MessageIds.Stopping,
            ExitCode.Failed,
            name,
            $"\"{name}\" is stopping: \"{command}\" is not begun any more.",
            "Serve the device again and repeat the command if it is still needed."),
    };
}
