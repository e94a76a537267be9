using DmRemap.Core.Abstractions;
using Xunit;

namespace DmRemap.Tests;

public sealed class SmokeTests
{
    [Fact]
    public void Extent_end_is_start_plus_count() =>
        Assert.Equal(5, new Extent(new BlockNumber(2), new BlockCount(3)).End.Value);
}
