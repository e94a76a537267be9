using System;
using System.Buffers;
using System.Text.Json;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Protocol;

/// <summary>
/// Turns a client's line into a request, or says what is wrong with it. Hostile bytes are normal input.
/// </summary>
internal static class ControlRequestParser
{
    private static readonly JsonDocumentOptions s_options = new()
    {
        MaxDepth = ControlProtocol.DepthMax,
        AllowDuplicateProperties = false,
    };

    /// <summary>
    /// Null, with the refusal, when the line is no request. The id is then known if the line was an object
    /// with one.
    /// </summary>
    public static ControlRequest? Parse(
        ReadOnlyMemory<byte> line, string device, out long? id, out Refusal? refusal)
    {
        id = null;
        try
        {
            using JsonDocument document = JsonDocument.Parse(new ReadOnlySequence<byte>(line), s_options);
            id = IdOf(document.RootElement);
            ControlRequest? request =
                document.RootElement.Deserialize(ControlRequestJson.Default.ControlRequest);
            if (request is not null && request.Id >= 0)
            {
                refusal = null;
                return request;
            }
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // Said below, in words that do not depend on where the text broke. The second is thrown for a
            // name with half a surrogate pair, which is found only when names are compared.
        }
        refusal = new Refusal(
            MessageIds.BadLine,
            ExitCode.Usage,
            device,
            "The line is not a request of the control protocol.",
            "Send one JSON object a line: {\"id\":1,\"command\":\"status\",\"arguments\":{}}.");
        return null;
    }

    private static long? IdOf(JsonElement root)
    {
        bool isNumber = root.ValueKind == JsonValueKind.Object
            && root.TryGetProperty("id", out JsonElement value)
            && value.ValueKind == JsonValueKind.Number
            && value.TryGetInt64(out long number)
            && number >= 0;
        return isNumber ? root.GetProperty("id").GetInt64() : null;
    }
}
