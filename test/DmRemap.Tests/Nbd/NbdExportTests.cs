using System;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Nbd;

public sealed class NbdExportTests
{
    [Fact]
    public void Flags_say_what_the_device_can_do()
    {
        DeviceGeometry geometry = SimulatedDisk.MakeGeometry(8) with { IsRotational = true };
        Assert.Equal(0x57d, (int)new NbdExport("", "", geometry, NbdAccess.ReadWrite).Flags);
        // Read-only: what changes the device is not offered.
        Assert.Equal(0x51f, (int)new NbdExport("", "", geometry, NbdAccess.ReadOnly).Flags);
        Assert.Equal(0x51f,
            (int)new NbdExport("", "", geometry with { IsReadOnly = true }, NbdAccess.ReadWrite).Flags);
        DeviceGeometry plain =
            SimulatedDisk.MakeGeometry(8) with { CanDiscard = false, CanWriteZeroes = false };
        Assert.Equal(0x50d, (int)new NbdExport("", "", plain, NbdAccess.ReadWrite).Flags);
    }

    [Fact]
    public void Fast_zero_is_offered_only_where_zeroing_is_fast()
    {
        DeviceGeometry fast = SimulatedDisk.MakeGeometry(8) with { CanZeroFast = true };
        Assert.Equal(0xd6d, (int)new NbdExport("", "", fast, NbdAccess.ReadWrite).Flags);
        Assert.Equal(0x50f, (int)new NbdExport("", "", fast, NbdAccess.ReadOnly).Flags);
        Assert.False(new NbdExport("", "", fast with { CanWriteZeroes = false }, NbdAccess.ReadWrite)
            .CanZeroFast);
    }

    [Fact]
    public void Export_answers_to_its_name_and_to_the_empty_one()
    {
        NbdExport export = new("disk", "", SimulatedDisk.MakeGeometry(8), NbdAccess.ReadWrite);
        Assert.True(export.IsCalled("disk"u8));
        Assert.True(export.IsCalled(""u8));
        Assert.False(export.IsCalled("disk "u8));
        Assert.False(export.IsCalled("Disk"u8));
    }

    [Fact]
    public void Block_sizes_keep_the_order_the_protocol_demands()
    {
        Assert.True(NbdExport.PreferredBlockBytes >= 4096);
        Assert.Equal(0, NbdExport.PreferredBlockBytes & (NbdExport.PreferredBlockBytes - 1));
        Assert.True(NbdExport.PayloadBytesMax >= NbdExport.PreferredBlockBytes);
        Assert.True(NbdExport.PayloadBytesMax >= 1 << 20);
    }

    [Theory]
    [InlineData(IoStatus.Ok, 0)]
    [InlineData(IoStatus.DeviceError, 5)]
    [InlineData(IoStatus.Unreadable, 5)]
    [InlineData(IoStatus.OutOfSpares, 5)] // never ENOSPC
    [InlineData(IoStatus.MetadataUnavailable, 5)]
    [InlineData(IoStatus.Invalid, 22)]
    [InlineData(IoStatus.Unsupported, 95)]
    [InlineData(IoStatus.ReadOnly, 1)]
    [InlineData(IoStatus.ShuttingDown, 108)]
    public void Status_becomes_the_error_clients_understand(IoStatus status, int error) =>
        Assert.Equal(error, (int)NbdErrors.From(status));

    [Fact]
    public void Every_status_but_pending_has_an_error()
    {
        foreach (IoStatus status in Enum.GetValues<IoStatus>())
        {
            if (status == IoStatus.Pending)
            {
                Assert.Throws<InvariantException>(() => NbdErrors.From(status));
            }
            else
            {
                Assert.Equal(status == IoStatus.Ok, NbdErrors.From(status) == NbdError.None);
            }
        }
    }
}
