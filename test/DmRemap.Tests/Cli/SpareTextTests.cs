using System;
using System.IO;
using System.Linq;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Tests.Control;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>What people read of spares.</summary>
public sealed class SpareTextTests
{
    [Fact]
    public void A_spare_has_the_number_of_the_set_whatever_the_order_of_the_list()
    {
        SpareStatus spare = Sample.Status().Spares[0];
        DeviceStatus status = Sample.Status() with
        {
            Spares = [spare with { Path = "/b", Index = 1 }, spare with { Path = "/c", Index = 0 }],
        };
        string[] listed = [.. SpareText.Of(status).Where(line => line[0] != ' ')];
        Assert.Equal(["1: /b: active", "0: /c: active"], listed);
        string text = Render(status);
        Assert.Contains("/b                      spare 1  active", text, StringComparison.Ordinal);
        Assert.Contains("/c                      spare 0  active", text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_spare_has_no_number_where_only_the_registry_is_known()
    {
        // What it lists first need not be the first of the set.
        DeviceStatus stopped = RecordStatus.Of(RegistrySamples.Record("disk1"), DeviceStates.Stopped);
        Assert.Equal(["/dev/sdb1: unknown", "/var/lib/spare.img: unknown"], SpareText.Of(stopped));
        string text = Render(stopped);
        Assert.Contains("/dev/sdb1               spare    unknown", text, StringComparison.Ordinal);
        Assert.DoesNotContain("spare 0", text, StringComparison.Ordinal);
        Assert.DoesNotContain("spare 1", text, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_given_up_with_a_dead_spare_is_not_called_moved()
    {
        SpareRemoveReport dead = new()
        {
            Path = "/b",
            Removed = true,
            Erased = true,
            UnitsLetGo = 211,
            BlocksLost = 1688,
        };
        Assert.Equal(
            "disk1: /b is no spare any more: 0 units moved to other spares, 211 units let go; 1688 blocks of "
                + "it are lost until written",
            SpareText.Of("disk1", dead));
        Assert.Equal(
            "disk1: /b is no spare any more: 3 units moved to other spares; 1 block of it is lost until "
                + "written",
            SpareText.Of("disk1", dead with { UnitsMoved = 3, UnitsLetGo = 0, BlocksLost = 1 }));
    }

    [Fact]
    public void A_dead_spare_that_stays_names_what_can_be_done()
    {
        const string GiveUp = "dmremap spare remove disk1 /b --accept-loss";
        string absent = SpareText.WhyNot("disk1", "/b", IoStatus.DeviceError, isAbsent: true);
        Assert.Contains("dmremap stop disk1, dmremap serve disk1.", absent, StringComparison.Ordinal);
        Assert.EndsWith(GiveUp, absent, StringComparison.Ordinal);
        // One that went while it is served keeps what it holds, whatever is agreed to: it may come back.
        string gone = SpareText.WhyNot("disk1", "/b", IoStatus.DeviceError, isAbsent: false);
        Assert.Contains("Bring it back", gone, StringComparison.Ordinal);
        Assert.EndsWith(
            "dmremap serve disk1 --degraded --without /b, then " + GiveUp, gone, StringComparison.Ordinal);
        string unread = SpareText.WhyNot("disk1", "/b", IoStatus.Unreadable, isAbsent: false);
        Assert.EndsWith(GiveUp, unread, StringComparison.Ordinal);
    }

    [Fact]
    public void When_the_spares_are_used_up_is_said_only_where_that_is_known_and_lies_ahead()
    {
        DeviceStatus status = Sample.Status() with { Forecast = new SpareForecast(40, 20, 3600) };
        const string Known = "40 units moved in the last day, 20 an hour: at that rate the spares are used "
            + "up in 1 h 0 min";
        Assert.Equal(Known, SpareText.Of(status).Last());
        Assert.Contains("forecast: 40 units moved", Render(status), StringComparison.Ordinal);
        status = status with { Forecast = new SpareForecast(40, null, null) };
        Assert.EndsWith("too early after the start to say when the spares will be used up",
            SpareText.Of(status).Last(), StringComparison.Ordinal);
        Assert.DoesNotContain("forecast:", Render(status), StringComparison.Ordinal);
        status = status with { Forecast = new SpareForecast(9, null, null) };
        Assert.EndsWith(": too few to say when the spares will be used up",
            SpareText.Of(status).Last(), StringComparison.Ordinal);
        status = status with
        {
            Forecast = new SpareForecast(40, 20, null),
            Conditions = [ConditionCatalog.Exhausted],
        };
        Assert.Equal(
            "40 units moved in the last day: no spare unit is left. Add a spare: dmremap spare add disk1 "
                + "PATH",
            SpareText.Of(status).Last());
        Assert.DoesNotContain("forecast:", Render(status), StringComparison.Ordinal);
    }

    private static string Render(DeviceStatus status)
    {
        using StringWriter writer = new() { NewLine = "\n" };
        new StatusText(writer, 80, new Paint(false)).Write(status);
        return writer.ToString();
    }
}
