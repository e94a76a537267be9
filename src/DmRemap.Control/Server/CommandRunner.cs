using System;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Server;

/// <summary>Where lines go. False: the client is gone or stuck, and nothing more can be sent to it.</summary>
internal interface IControlLineSink
{
    Task<bool> SendAsync(ReadOnlyMemory<byte> line);
}

/// <summary>Carries out one request and makes its reply. Every failure becomes an error reply.</summary>
internal abstract class CommandRunner(string name)
{
    private static readonly ControlRequestJson s_requests = ControlRequestJson.Default;

    /// <summary>The reply's line. Progress goes to the sink before.</summary>
    public async Task<byte[]> RunAsync(
        ControlRequest request, IControlLineSink sink, CancellationToken cancellation)
    {
        try
        {
            JsonElement value = await AnswerAsync(request, sink, cancellation);
            return ControlLineWriter.Return(request.Id, value, name);
        }
        catch (RefusalException refused)
        {
            return ControlLineWriter.Error(request.Id, refused.Refusal);
        }
        catch (JsonException)
        {
            return ControlLineWriter.Error(
                request.Id, BadArguments(request.Command, "they are not of its form"));
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            return ControlLineWriter.Error(request.Id, Stopping(request.Command));
        }
        catch (Exception error) when (error is not InvariantException)
        {
            return ControlLineWriter.Error(request.Id, Failed(request.Command, error));
        }
    }

    /// <summary>The value of the reply.</summary>
    protected abstract Task<JsonElement> AnswerAsync(
        ControlRequest request, IControlLineSink sink, CancellationToken cancellation);

    protected TimeSpan Deadline(ControlRequest request)
    {
        double seconds = Arguments(request, s_requests.DeadlineArguments).DeadlineSeconds;
        if (!(seconds >= 0 && seconds <= ControlProtocol.DeadlineSecondsMax))
        {
            throw new RefusalException(BadArguments(
                request.Command, $"a deadline is 0 to {ControlProtocol.DeadlineSecondsMax} seconds"));
        }
        return TimeSpan.FromSeconds(seconds);
    }

    protected static void RequireNoArguments(ControlRequest request) =>
        Arguments(request, s_requests.NoArguments);

    /// <summary>
    /// Absent arguments are an empty object: a command without required ones takes its defaults.
    /// </summary>
    protected static T Arguments<T>(ControlRequest request, JsonTypeInfo<T> type)
        where T : class
    {
        T? value = request.Arguments is JsonElement element
            ? element.Deserialize(type)
            : JsonSerializer.Deserialize("{}", type);
        return value ?? throw new JsonException();
    }

    protected static JsonElement Element<T>(T value, JsonTypeInfo<T> type) =>
        JsonSerializer.SerializeToElement(value, type);

    protected Refusal BadArguments(string command, string why) => new(
        MessageIds.BadArguments,
        ExitCode.Usage,
        name,
        $"The arguments of \"{command}\" are wrong: {why}.",
        "docs/control-protocol.md lists every command with its arguments.");

    protected Refusal UnknownCommand(string command) => new(
        MessageIds.UnknownCommand,
        ExitCode.Usage,
        name,
        $"The daemon of \"{name}\" (version {ControlProtocol.ProgramVersion}) knows no command "
            + $"\"{command}\".",
        "Use a program of the same version as the daemon; docs/control-protocol.md lists the commands.");

    private Refusal Stopping(string command) => new(
        MessageIds.Stopping,
        ExitCode.Failed,
        name,
        $"\"{name}\" is stopping: \"{command}\" was not finished.",
        "Serve the device again, look at its status, and repeat the command if it is still needed.");

    private Refusal Failed(string command, Exception error) => new(
        MessageIds.CommandFailed,
        ExitCode.Failed,
        name,
        $"\"{command}\" failed inside the daemon: {error.GetType().Name}: {error.Message}",
        "This is a bug; please report it with the daemon's output. The data path is not affected by it.");
}
