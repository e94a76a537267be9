using System.Collections.Generic;
using Xunit;

namespace DmRemap.Tests.Tidy;

/// <summary>A rule's violations, shown in full: a message that is cut off sends people to guess.</summary>
internal static class Violations
{
    public static void AssertNone(IEnumerable<string> violations)
    {
        List<string> all = [.. violations];
        Assert.True(all.Count == 0, $"{all.Count} violations:\n{string.Join('\n', all)}");
    }
}
