using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests.Conformance;

/// <summary>
/// The protocol's demands as bytes, put to our server and to two that others wrote. Ours has to meet each.
/// What the others do is in docs/nbd-conformance.md, with the version that was looked at: a demand that
/// nobody meets is likely to be our mistake, and a record that is not what is seen would prove nothing.
/// </summary>
public sealed class ConformanceControlTests(ITestOutputHelper output)
{
    private const string Holds = "holds";

    private readonly ITestOutputHelper _output = output;

    [Theory]
    [InlineData(DeviceUnderTest.Uring)]
    [InlineData(DeviceUnderTest.Epoll)]
    public async Task Our_server_meets_every_demand(string backend)
    {
        Dictionary<string, string> seen = await PutAllAsync(ControlServer.Ours, backend);
        Assert.All(seen, pair => Assert.True(pair.Value == Holds, $"{pair.Key}: {pair.Value}"));
        Record record = Record.Read();
        Assert.Equal(seen.Keys.Order(), record.Rows.Keys.Order());
        Assert.All(record.Rows, row => Assert.Equal(Holds, row.Value[0]));
    }

    /// <summary>
    /// With the version that was recorded, the record is what is seen. A later one may have mended something;
    /// it may not fail what the recorded one met: then either it or the demand is wrong, and somebody has to
    /// look.
    /// </summary>
    [Theory]
    [InlineData(ControlServer.NbdKit)]
    [InlineData(ControlServer.QemuNbd)]
    public async Task Control_does_what_is_recorded_of_it(string server)
    {
        RequiredTools.SkipUnless(server);
        Record record = Record.Read();
        string version = await ControlServer.VersionAsync(server);
        int column = Array.FindIndex(
            record.Servers, name => name.StartsWith(server, StringComparison.Ordinal));
        Assert.True(column > 0, $"no column for {server}");
        bool isRecorded = record.Servers[column] == version;
        List<string> wrong = [];
        foreach ((string id, string what) in await PutAllAsync(server))
        {
            string recorded = record.Rows[id][column];
            if (what == recorded)
            {
                continue;
            }
            string line = $"{id}: {version} {what}; recorded of {record.Servers[column]}: {recorded}";
            _output.WriteLine(line);
            if (isRecorded || recorded == Holds)
            {
                wrong.Add(line);
            }
        }
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    /// <summary>What it does about each demand: "holds", or what it did instead.</summary>
    private static async Task<Dictionary<string, string>> PutAllAsync(
        string server, string? backend = null)
    {
        await using DeviceUnderTest device =
            DeviceUnderTest.Prepare(Content.Of(TransmissionDemands.ExportBytes));
        device.Backend = backend;
        Dictionary<string, string> seen = [];
        string plain = await ControlServer.StartAsync(device, server, null);
        foreach (Demand demand in HandshakeDemands.All.Concat(TransmissionDemands.All))
        {
            seen.Add(demand.Id, await PutAsync(plain, demand));
        }
        using TestCertificates certificates = new(device.Folder, "a");
        string secured = await ControlServer.StartAsync(device, server, certificates);
        foreach (Demand demand in new TlsDemands(certificates.ClientFolder).All)
        {
            seen.Add(demand.Id, await PutAsync(secured, demand));
        }
        return seen;
    }

    private static async Task<string> PutAsync(string socket, Demand demand)
    {
        try
        {
            for (int time = 0; time < demand.Times; time++)
            {
                using WireClient client = await WireClient.ConnectAsync(socket);
                await demand.Check(client).WaitAsync(
                    Command.TimeMax, TestContext.Current.CancellationToken);
            }
            return Holds;
        }
        catch (Deviation deviation)
        {
            return deviation.Message;
        }
    }

    /// <summary>The table: the servers with their versions, ours first, and a row for each demand.</summary>
    private sealed record Record(string[] Servers, Dictionary<string, string[]> Rows)
    {
        public static Record Read()
        {
            string path = Path.Combine(
                AppContext.BaseDirectory, "../../../../docs/nbd-conformance.md");
            string[][] rows =
            [
                .. File.ReadLines(path).Where(line => line.StartsWith("| ", StringComparison.Ordinal))
                    .Select(line => line.Trim('|', ' ').Split('|', StringSplitOptions.TrimEntries))
                    .Where(cells => cells.Length == 5),
            ];
            return new Record(
                rows.Single(cells => cells[0] == "demand")[2..],
                rows.Where(cells => cells[0].StartsWith('C')).ToDictionary(
                    cells => cells[0], cells => cells[2..]));
        }
    }
}
