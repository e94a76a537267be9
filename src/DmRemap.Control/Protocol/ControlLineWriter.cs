using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Protocol;

/// <summary>
/// Builds the lines of the protocol, each with its newline and never longer than LineBytesMax.
/// </summary>
internal static class ControlLineWriter
{
    /// <summary>Four texts of at most 6 bytes a character (\u0000) fit a line.</summary>
    private const int TextLengthMax = 2500;

    public static byte[] Greeting(string device) => Line(
        new Greeting(new GreetingBody(ControlProtocol.Version, ControlProtocol.ProgramVersion, device)),
        ControlReplyJson.Default.Greeting);

    public static byte[] Request(ControlRequest request) =>
        Line(request, ControlRequestJson.Default.ControlRequest);

    public static byte[] Return(long id, JsonElement value, string device)
    {
        byte[] line =
            Line(new ControlReply { Id = id, Return = value }, ControlReplyJson.Default.ControlReply);
        return line.Length <= ControlProtocol.LineBytesMax
            ? line : Error(id, ReplyTooLong(device, line.Length));
    }

    public static byte[] Progress(long id, JsonElement value) =>
        Line(new ControlReply { Id = id, Progress = value }, ControlReplyJson.Default.ControlReply);

    public static byte[] Error(long? id, Refusal refusal)
    {
        byte[] line = Line(
            new ControlReply { Id = id, Error = ControlError.Of(Shortened(refusal, TextLengthMax)) },
            ControlReplyJson.Default.ControlReply);
        Invariant.Check(line.Length <= ControlProtocol.LineBytesMax);
        return line;
    }

    private static Refusal Shortened(Refusal refusal, int lengthMax) => refusal with
    {
        Id = Cut(refusal.Id, lengthMax),
        Device = Cut(refusal.Device, lengthMax),
        Message = Cut(refusal.Message, lengthMax),
        Action = Cut(refusal.Action, lengthMax),
    };

    private static string Cut(string text, int lengthMax) =>
        text.Length <= lengthMax ? text : text[..lengthMax];

    private static byte[] Line<T>(T value, JsonTypeInfo<T> type)
    {
        byte[] text = JsonSerializer.SerializeToUtf8Bytes(value, type);
        byte[] line = new byte[text.Length + 1];
        text.CopyTo(line, 0);
        line[^1] = (byte)'\n';
        return line;
    }

    private static Refusal ReplyTooLong(string device, int bytes) => new(
        MessageIds.ReplyTooLong,
        ExitCode.Failed,
        device,
        $"The reply needs {bytes} bytes; a line of the control socket holds {ControlProtocol.LineBytesMax}.",
        "Give the members shorter paths; nothing is wrong with the device itself.");
}
