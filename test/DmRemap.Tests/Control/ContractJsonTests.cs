using System.Collections.Generic;
using System.Reflection;
using System.Text.Json;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Core.Abstractions;
using Xunit;

namespace DmRemap.Tests.Control;

/// <summary>Names in JSON are an interface: they change by addition only.</summary>
public sealed class ContractJsonTests
{
    private const string GoldenStatus =
        "{\"name\":\"disk1\",\"uuid\":\"0f8fad5b-d9cb-469f-a165-70867728950e\",\"state\":\"running\","
        + "\"phase\":null,"
        + "\"conditions\":[],"
        + "\"backend\":\"io_uring\",\"memoryLocked\":true,\"ioFlusher\":false,"
        + "\"primary\":{\"path\":\"/dev/sdb\",\"sizeBytes\":268435456,"
        + "\"blockSize\":512,"
        + "\"physicalBlockSize\":4096,\"unitBytes\":4096,\"mode\":\"direct\","
        + "\"connection\":null,\"writeCache\":null,\"errors\":{\"reads\":12,"
        + "\"writes\":3,"
        + "\"flushes\":0},\"gone\":null,\"io\":{\"inFlight\":3,\"oldestMs\":null},"
        + "\"slow\":null,"
        + "\"latencies\":{\"reads\":{\"count\":9988,\"meanUs\":110.5,\"p50Us\":90,\"p90Us\":200.5,"
        + "\"p99Us\":1200,\"p999Us\":31000000,\"longestUs\":31000000},\"writes\":null,"
        + "\"flushes\":null,\"zeroings\":null},\"errorRecovery\":null}"
        + ",\"spares\":[{\"path\":\"/dev/sdc1\",\"index\":0,"
        + "\"uuid\":\"7c9e6679-7425-40de-944b-e07fc1f90ae7\","
        + "\"state\":\"active\",\"mode\":\"direct\",\"connection\":null,"
        + "\"units\":{\"total\":16128,\"used\":120,"
        + "\"free\":16007,\"retired\":1},\"table\":null,"
        + "\"errors\":{\"reads\":0,\"writes\":1,\"flushes\":0},"
        + "\"gone\":null,\"io\":{\"inFlight\":0,\"oldestMs\":null},\"slow\":null,"
        + "\"latencies\":{\"reads\":null,\"writes\":{\"count\":1,\"meanUs\":85,\"p50Us\":85,"
        + "\"p90Us\":85,\"p99Us\":85,\"p999Us\":85,\"longestUs\":85},\"flushes\":null,"
        + "\"zeroings\":null},\"errorRecovery\":null}]"
        + ",\"remaps\":120,\"lostBlocks\":24,"
        + "\"unavailableUnits\":null,"
        + "\"suspectUnits\":2,\"forecast\":null,\"placement\":null,\"healing\":null,\"copies\":null,"
        + "\"scrub\":null,"
        + "\"zeroBlocks\":0,\"lostExtents\":[{\"firstBlock\":800,\"blocks\":16},{\"firstBlock\":5000,"
        + "\"blocks\":1},"
        + "{\"firstBlock\":6000,\"blocks\":7}],\"lostExtentsComplete\":true,"
        + "\"uncertainBlocks\":null,\"uncertainExtents\":[],\"counters\":{\"reads\":10000,"
        + "\"writes\":123456,\"flushes\":12,\"discards\":0,\"zeroes\":0,\"bytesRead\":0,\"bytesWritten\":0,"
        + "\"readErrors\":0,\"writeErrors\":0,\"clientErrors\":1,\"remapsMade\":0,"
        + "\"blocksLost\":0,\"unitsReturned\":0,\"blocksSalvaged\":0,"
        + "\"spareUnitsRetired\":0,\"commits\":40,\"commitFailures\":0,"
        + "\"readsAbandoned\":0,\"faultsInjected\":0},"
        + "\"latencies\":{\"reads\":{\"count\":10000,\"meanUs\":112.5,\"p50Us\":91,\"p90Us\":201.5,"
        + "\"p99Us\":1210,\"p999Us\":31000100,\"longestUs\":31000100},\"writes\":{\"count\":123456,"
        + "\"meanUs\":0.4,\"p50Us\":0.4,\"p90Us\":0.9,\"p99Us\":9.96,\"p999Us\":999.6,"
        + "\"longestUs\":999600},\"flushes\":{\"count\":12,\"meanUs\":4000,\"p50Us\":4000,"
        + "\"p90Us\":4000,\"p99Us\":4000,\"p999Us\":4000,\"longestUs\":4000},\"zeroings\":null},"
        + "\"commitTime\":{\"count\":40,\"meanUs\":5000,\"p50Us\":5000,\"p90Us\":5000,"
        + "\"p99Us\":5000,\"p999Us\":5000,\"longestUs\":5000},"
        + "\"metadata\":{\"generation\":42,\"epoch\":\"00c0ffee00c0ffee\",\"entries\":122,\"activeCopies\":1,"
        + "\"sequence\":39,\"journalSlotsUsed\":7,\"journalSlots\":64,\"checkpoints\":1,\"timeOuts\":2,"
        + "\"stuck\":0,\"cleanStart\":true,\"firstStart\":false},\"clients\":2,\"readOnly\":false,"
        + "\"readDeadlineSeconds\":null,"
        + "\"exports\":[\"nbd\\u002Bunix:///disk1?socket=/run/dmremap/disk1.nbd\"],"
        + "\"attached\":null,\"pid\":4711,"
        + "\"version\":\"0.1.0\","
        + "\"uptimeSeconds\":11220}";

    [Fact]
    public void Status_has_its_golden_form_and_survives_the_round_trip()
    {
        string text = JsonSerializer.Serialize(Sample.Lost(), ReportJson.Default.DeviceStatus);
        Assert.Equal(GoldenStatus, text);
        DeviceStatus? back = JsonSerializer.Deserialize(text, ReportJson.Default.DeviceStatus);
        Assert.Equal(text, JsonSerializer.Serialize(back!, ReportJson.Default.DeviceStatus));
    }

    [Fact]
    public void What_is_unknown_while_stopped_is_null_not_zero()
    {
        DeviceStatus stopped =
            Sample.Status() with { Remaps = null, LostBlocks = null, Counters = null, Pid = null };
        using JsonDocument document = JsonDocument.Parse(
            JsonSerializer.Serialize(stopped, ReportJson.Default.DeviceStatus));
        foreach (string name in new[] { "remaps", "lostBlocks", "counters", "pid" })
        {
            Assert.Equal(JsonValueKind.Null, document.RootElement.GetProperty(name).ValueKind);
        }
    }

    [Fact]
    public void Reports_survive_the_round_trip()
    {
        RemapReport remap = Sample.Remap(1, 2) with { Failure = "no spare unit is free", UnitsFailed = 1 };
        StopReport stop =
            new() { Clean = false, OperationsOutstanding = 3, OutstandingOn = ["/dev/sdb"], Left = "x" };
        SuspendReport suspend = new() { Suspended = false, RequestsInFlight = 2, OutstandingOn = ["x"] };
        string suspendText = JsonSerializer.Serialize(suspend, ReportJson.Default.SuspendReport);
        Assert.Equal(suspendText, JsonSerializer.Serialize(
            JsonSerializer.Deserialize(
                suspendText, ReportJson.Default.SuspendReport)!, ReportJson.Default.SuspendReport));
        string remapText = JsonSerializer.Serialize(remap, ReportJson.Default.RemapReport);
        string stopText = JsonSerializer.Serialize(stop, ReportJson.Default.StopReport);
        Assert.Equal(remapText, JsonSerializer.Serialize(
            JsonSerializer.Deserialize(
                remapText, ReportJson.Default.RemapReport)!, ReportJson.Default.RemapReport));
        Assert.Equal(stopText, JsonSerializer.Serialize(
            JsonSerializer.Deserialize(
                stopText, ReportJson.Default.StopReport)!, ReportJson.Default.StopReport));
    }

    [Fact]
    public void Every_exit_code_of_a_refusal_survives_the_socket()
    {
        for (int code = (int)ExitCode.Failed; code <= (int)ExitCode.MissingHere; code++)
        {
            Refusal refusal = new("DMR-X", (ExitCode)code, "disk1", "message", "action");
            Assert.Equal(refusal, ControlError.Of(refusal).ToRefusal());
        }
    }

    [Fact]
    public void An_error_of_any_length_and_any_letters_fits_a_line()
    {
        string text = new('\u0001', 100_000);
        byte[] line = ControlLineWriter.Error(1, new Refusal(text, ExitCode.Failed, text, text, text));
        Assert.InRange(line.Length, 1, ControlProtocol.LineBytesMax);
    }

    [Fact]
    public void Every_condition_has_its_own_name_and_message_id()
    {
        HashSet<string> names = [];
        HashSet<string> ids = [];
        foreach (Condition condition in ConditionCatalog.All)
        {
            Assert.True(names.Add(condition.Name));
            Assert.True(ids.Add(condition.MessageId));
            Assert.Same(condition, ConditionCatalog.Find(condition.Name));
        }
        FieldInfo[] fields = typeof(ConditionCatalog).GetFields(BindingFlags.Public | BindingFlags.Static);
        foreach (FieldInfo field in fields)
        {
            Assert.Contains((string)field.GetRawConstantValue()!, names);
        }
        Assert.Null(ConditionCatalog.Find("of-a-newer-version"));
    }
}
