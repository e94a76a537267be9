using System;
using DmRemap.Control.Registry;
using Xunit;

namespace DmRemap.Tests.Control;

internal static class RegistrySamples
{
    public static DeviceRecord Record(string name) => new()
    {
        Name = name,
        SetUuid = Guid.Parse("0f8fad5b-d9cb-469f-a165-70867728950e"),
        MainPath = "/dev/disk/by-id/ata-DISK \"one\" (ä)",
        MainBytes = 4_000_787_030_016,
        BlockBytes = 512,
        PhysicalBlockBytes = 4096,
        UnitBytes = 4096,
        AlignmentOffsetBytes = 512,
        Spares =
        [
            new SpareRecord("/dev/sdb1", Guid.Parse("7c9e6679-7425-40de-944b-e07fc1f90ae7")),
            new SpareRecord("/var/lib/spare.img", Guid.Parse("16fd2706-8baf-433b-82eb-8c7fada847da")),
        ],
        Created = new DateTimeOffset(2025, 2, 3, 4, 5, 6, 789, TimeSpan.FromHours(1)),
        Lost = LostPolicy.Salvage,
    };

    public static void AssertEqual(DeviceRecord expected, DeviceRecord? actual)
    {
        Assert.NotNull(actual);
        Assert.Equal(expected.Spares, actual.Spares);
        Assert.Equal(expected with { Spares = actual.Spares }, actual);
    }
}
