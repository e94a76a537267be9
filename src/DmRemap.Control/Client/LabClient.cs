using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;

namespace DmRemap.Control.Client;

/// <summary>A connection to the control socket of a disk of the lab. One command at a time.</summary>
public sealed class LabClient : IDisposable
{
    private readonly ControlClient _client;

    private LabClient(ControlClient client) => _client = client;

    /// <inheritdoc cref="ControlClient.TryConnectAsync"/>
    public static async Task<LabClient?> TryConnectAsync(
        string path, string name, TimeSpan timeout, CancellationToken cancellation)
    {
        ControlClient? client = await ControlClient.TryConnectAsync(path, name, timeout, cancellation);
        return client is null ? null : new LabClient(client);
    }

    public Task<LabStatus> GetStatusAsync(CancellationToken cancellation) => _client.QuickAsync(
        ControlCommands.Status, null, ReportJson.Default.LabStatus, cancellation);

    public Task<LabChange> AddBadAsync(IReadOnlyList<string> runs, CancellationToken cancellation) =>
        _client.QuickAsync(
            ControlCommands.LabAddBad,
            ControlClient.Element(
                new LabAddBadArguments { Runs = runs }, ControlRequestJson.Default.LabAddBadArguments),
            ReportJson.Default.LabChange,
            cancellation);

    public Task<LabChange> HealAsync(LabRange? range, CancellationToken cancellation) => _client.QuickAsync(
        ControlCommands.LabHeal,
        ControlClient.Element(
            new LabHealArguments { Range = range }, ControlRequestJson.Default.LabHealArguments),
        ReportJson.Default.LabChange,
        cancellation);

    public Task<EmptyReport> TroubleAsync(string trouble, double? seconds, CancellationToken cancellation) =>
        _client.QuickAsync(
            ControlCommands.LabTrouble,
            ControlClient.Element(
                new LabTroubleArguments { Trouble = trouble, Seconds = seconds },
                ControlRequestJson.Default.LabTroubleArguments),
            ReportJson.Default.EmptyReport,
            cancellation);

    public Task<LabDefects> ListAsync(long from, CancellationToken cancellation) => _client.QuickAsync(
        ControlCommands.LabList,
        ControlClient.Element(
            new LabListArguments { From = from }, ControlRequestJson.Default.LabListArguments),
        ReportJson.Default.LabDefects,
        cancellation);

    public Task<StopReport> StopAsync(TimeSpan deadline, CancellationToken cancellation) =>
        _client.StopAsync(deadline, cancellation);

    public void Dispose() => _client.Dispose();
}
