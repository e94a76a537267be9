using System;
using System.IO;
using System.Linq;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;
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

    private static string Render(DeviceStatus status)
    {
        using StringWriter writer = new() { NewLine = "\n" };
        new StatusText(writer, 80, new Paint(false)).Write(status);
        return writer.ToString();
    }
}
