using System;
using Xunit;

namespace DmRemap.Tests.Tidy;

/// <summary>
/// Goes wrong on purpose when test/gates.sh asks for it, to prove that a run notices. Anywhere else the
/// request is itself the failure: nothing may make a real run behave like this.
/// </summary>
public sealed class DeliberateTests
{
    [Fact]
    public void Something_passes_beside_it() =>
        Assert.NotEqual(DateTimeOffset.MinValue, DateTimeOffset.MaxValue);

    [Fact]
    public void Nothing_goes_wrong_on_purpose_unless_asked()
    {
        string? asked = Environment.GetEnvironmentVariable("DMREMAP_DELIBERATE");
        switch (asked)
        {
            case "skip":
                Assert.Skip("on purpose");
                break;
            case "end the process":
                Environment.Exit(0);
                break;
            default:
                Assert.Null(asked);
                break;
        }
    }
}
