using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Composition;

/// <summary>`check`, `dump` and `repair`.</summary>
internal sealed class MetadataTools(CliServices services) : IMetadataTools
{
    public async Task<ExitCode> CheckAsync(
        SetChoice choice, CommandOutput output, CancellationToken cancellation)
    {
        SetReader reader = new(services, output.Note) { ForeseesStart = true };
        SetReading reading = await reader.ReadAsync(choice, cancellation);
        CheckDocument document = CheckReport.Of(reading);
        if (output.IsJson)
        {
            output.Answer(JsonSerializer.Serialize(document, PlainJson.Types.CheckDocument));
        }
        else
        {
            CheckText.Write(output.Terminal.Output, document);
            await output.Terminal.Output.FlushAsync(cancellation);
        }
        return Conclude(reading, document, output);
    }

    public async Task<ExitCode> DumpAsync(
        SetChoice choice, bool withRecords, CommandOutput output, CancellationToken cancellation)
    {
        SetReading reading = await new SetReader(services, output.Note).ReadAsync(choice, cancellation);
        CheckDocument document = CheckReport.Of(reading);
        if (output.IsJson)
        {
            using DumpJson json = new(output.Terminal.Output);
            json.Write(reading, withRecords, document.Refusal);
        }
        else
        {
            new DumpText(output.Terminal.Output).Write(reading, withRecords);
        }
        await output.Terminal.Output.FlushAsync(cancellation);
        return Conclude(reading, document, output);
    }

    public Task<ExitCode> RepairAsync(
        RepairOptions options, CommandOutput output, CancellationToken cancellation) =>
        new SetRepair(services, options, output).RunAsync(cancellation);

    /// <summary>The document is out already; what remains is the exit code, and words for people.</summary>
    private static ExitCode Conclude(SetReading reading, CheckDocument document, CommandOutput output)
    {
        if (reading.Refusal is not Refusal refusal)
        {
            return document.Problems.Count == 0 ? ExitCode.Done : ExitCode.DoneDegraded;
        }
        ErrorText.Write(output.Terminal.Error, refusal);
        return refusal.ExitCode;
    }
}
