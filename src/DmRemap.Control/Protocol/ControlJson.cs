using System.Text.Json.Serialization;
using DmRemap.Control.Contracts;

namespace DmRemap.Control.Protocol;

/// <summary>
/// Everything that travels on the control socket, one line each. Unknown members are refused: a command never
/// does less than its client asked for. Replies are read with <see cref="ControlReplyJson"/>, which ignores
/// what a newer daemon adds.
/// </summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    AllowDuplicateProperties = false,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    MaxDepth = ControlProtocol.DepthMax)]
[JsonSerializable(typeof(ControlRequest))]
[JsonSerializable(typeof(NoArguments))]
[JsonSerializable(typeof(RemapArguments))]
[JsonSerializable(typeof(LostArguments))]
[JsonSerializable(typeof(FaultArguments))]
[JsonSerializable(typeof(FaultsClearArguments))]
[JsonSerializable(typeof(DeadlineArguments))]
[JsonSerializable(typeof(ClearArguments))]
[JsonSerializable(typeof(ScrubArguments))]
[JsonSerializable(typeof(LabAddBadArguments))]
[JsonSerializable(typeof(LabHealArguments))]
[JsonSerializable(typeof(LabTroubleArguments))]
[JsonSerializable(typeof(LabListArguments))]
[JsonSerializable(typeof(SpareAddArguments))]
[JsonSerializable(typeof(SpareRemoveArguments))]
internal sealed partial class ControlRequestJson : JsonSerializerContext;

/// <summary>What a server sends. A field that is null is left out of the envelope.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    MaxDepth = ControlProtocol.DepthMax)]
[JsonSerializable(typeof(Greeting))]
[JsonSerializable(typeof(ControlReply))]
internal sealed partial class ControlReplyJson : JsonSerializerContext;

/// <summary>
/// Reports as they are on the socket and after `--json`: every field is written, null where unknown.
/// </summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    MaxDepth = ControlProtocol.DepthMax)]
[JsonSerializable(typeof(DeviceStatus))]
[JsonSerializable(typeof(RemapReport))]
[JsonSerializable(typeof(RemapProgress))]
[JsonSerializable(typeof(UnremapReport))]
[JsonSerializable(typeof(RetestReport))]
[JsonSerializable(typeof(MarkLostReport))]
[JsonSerializable(typeof(LostPage))]
[JsonSerializable(typeof(StopReport))]
[JsonSerializable(typeof(SuspendReport))]
[JsonSerializable(typeof(ResumeReport))]
[JsonSerializable(typeof(AttachReport))]
[JsonSerializable(typeof(FaultList))]
[JsonSerializable(typeof(FaultsCleared))]
[JsonSerializable(typeof(ClearReport))]
[JsonSerializable(typeof(ScrubReport))]
[JsonSerializable(typeof(LabStatus))]
[JsonSerializable(typeof(LabChange))]
[JsonSerializable(typeof(LabDefects))]
[JsonSerializable(typeof(SpareAddReport))]
[JsonSerializable(typeof(SpareRemoveReport))]
[JsonSerializable(typeof(SpareStopReport))]
[JsonSerializable(typeof(PingReport))]
[JsonSerializable(typeof(EmptyReport))]
[JsonSerializable(typeof(ErrorDocument))]
public sealed partial class ReportJson : JsonSerializerContext;
