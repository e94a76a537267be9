using System;
using System.Text;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;
using Xunit;

namespace DmRemap.Tests.Devices;

public sealed class FaultRulesTests
{
    [Theory]
    [InlineData("7 read", 7, 7, FaultDirections.Read, 0, 0, 5, 0)]
    [InlineData("0-15 write", 0, 15, FaultDirections.Write, 0, 0, 5, 0)]
    [InlineData("  1-2\tboth  # a comment", 1, 2, FaultDirections.Both, 0, 0, 5, 0)]
    [InlineData("1 both after=3 tries=2 errno=ENODATA delay=40", 1, 1, FaultDirections.Both, 3, 2, 61, 40)]
    [InlineData("1 read delay=40 errno=OK", 1, 1, FaultDirections.Read, 0, 0, 0, 40)]
    [InlineData("1 read errno=EREMOTEIO", 1, 1, FaultDirections.Read, 0, 0, 121, 0)]
    public void Line_says_its_rule(
        string line,
        long first,
        long last,
        FaultDirections directions,
        long after,
        long tries,
        int errno,
        long delay)
    {
        FaultRule expected = new()
        {
            FirstSector = first,
            LastSector = last,
            Directions = directions,
            After = after,
            Tries = tries,
            Errno = errno,
            DelayMilliseconds = delay,
        };
        Assert.Equal(expected, Assert.Single(FaultRules.Parse(line).Rules));
        Assert.Equal(expected, Assert.Single(FaultRules.Parse(expected.ToString()).Rules));
    }

    [Theory]
    [InlineData("x read", "line 1: 'x' is not FIRST")]
    [InlineData("9-8 read", "line 1: '9-8' is not FIRST")]
    [InlineData("-8 read", "line 1: '-8' is not FIRST")]
    [InlineData("1- read", "line 1: '1-' is not FIRST")]
    [InlineData("99999999999999999999 read", "is not FIRST")]
    [InlineData("18014398509481984 read", "is not FIRST")]
    [InlineData("1", "line 1: which requests is missing: read, write or both")]
    [InlineData("1-2 # read", "line 1: which requests is missing: read, write or both")]
    [InlineData("1 wirte", "line 1: 'wirte' is not read")]
    [InlineData("\n# fine\n1 read oops", "line 3: 'oops' is not after=OPS")]
    [InlineData("1 read after=-1", "is not after=OPS")]
    [InlineData("1 read after=1 after=2", "after is given twice")]
    [InlineData("1 read delay=1 errno=EIO delay=1", "delay is given twice")]
    [InlineData("1 read tries=0", "is not tries=K")]
    [InlineData("1 read delay=99999999999", "is not delay=MS")]
    [InlineData("1 read errno=EFOO", "is not errno=NAME with one of OK, EIO")]
    [InlineData("1 read errno=OK", "does nothing")]
    public void Bad_line_is_told_with_its_number(string text, string message)
    {
        FaultRulesParsed parsed = FaultRules.Parse(text);
        Assert.False(parsed.IsOk);
        Assert.Empty(parsed.Rules);
        Assert.Contains(message, Assert.Single(parsed.Errors).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Every_bad_line_is_told_and_then_no_rule_is_taken()
    {
        FaultRulesParsed parsed = FaultRules.Parse("1 read\r\nx\r\n2 write\r\ny");
        Assert.Equal([2, 4], [parsed.Errors[0].Line, parsed.Errors[1].Line]);
        Assert.Empty(parsed.Rules);
        Assert.True(FaultRules.Parse("1 read\r\n2 write").IsOk);
        Assert.True(FaultRules.Parse("").IsOk);
    }

    [Fact]
    public void Too_many_rules_are_refused()
    {
        StringBuilder text = new();
        text.Insert(0, "1 read\n", FaultRules.RulesMax);
        Assert.True(FaultRules.Parse(text.ToString()).IsOk);
        text.Append("1 read\n");
        Assert.Equal(FaultRules.RulesMax + 1, Assert.Single(FaultRules.Parse(text.ToString()).Errors).Line);
    }

    [Fact]
    public void Garbage_never_throws()
    {
        const int Seed = 11;
        const string Letters = "0123456789- \t\n#readwitboh=aftryslnmOKEIO";
        Random random = new(Seed);
        for (int i = 0; i < 20_000; i++)
        {
            char[] text = new char[random.Next(40)];
            for (int c = 0; c < text.Length; c++)
            {
                text[c] = Letters[random.Next(Letters.Length)];
            }
            FaultRulesParsed parsed = FaultRules.Parse(new string(text));
            Assert.True(parsed.IsOk || parsed.Errors.Count > 0, $"seed={Seed} {new string(text)}");
        }
    }

    [Fact]
    public void Rule_touches_exactly_its_sectors()
    {
        FaultRule rule = Rule("10-11 read");
        for (long first = 0; first < 16; first++)
        {
            for (long count = 0; count < 16; count++)
            {
                bool expected = false;
                for (long sector = first; sector < first + count; sector++)
                {
                    expected |= sector is 10 or 11;
                }
                bool touches = count > 0 && rule.Touches(first, count);
                Assert.True(expected == touches, $"first={first} count={count}");
                FaultMatcher matcher = new();
                Assert.True(matcher.TryAdd(rule));
                bool isHit = count > 0 && !matcher.Decide(IoOperation.Read, first, count).IsNothing;
                Assert.True(expected == isHit, $"first={first} count={count}");
            }
        }
    }

    [Theory]
    [InlineData("1 read", IoOperation.Read, true)]
    [InlineData("1 read", IoOperation.Write, false)]
    [InlineData("1 write", IoOperation.Write, true)]
    [InlineData("1 write", IoOperation.WriteZeroes, true)]
    [InlineData("1 write", IoOperation.Discard, true)]
    [InlineData("1 write", IoOperation.Read, false)]
    [InlineData("1 both", IoOperation.Read, true)]
    [InlineData("1 both", IoOperation.Write, true)]
    [InlineData("1 both", IoOperation.Flush, false)]
    public void Rule_is_about_its_direction(string line, IoOperation operation, bool isHit)
    {
        FaultMatcher matcher = new();
        Assert.True(matcher.TryAdd(Rule(line)));
        Assert.Equal(isHit, !matcher.Decide(operation, 1, 1).IsNothing);
    }

    [Fact]
    public void Faults_begin_after_and_end_after_their_numbers()
    {
        FaultMatcher matcher = new();
        Assert.True(matcher.TryAdd(Rule("5 read after=2 tries=3")));
        string seen = "";
        for (int i = 0; i < 8; i++)
        {
            seen += matcher.Decide(IoOperation.Read, 5, 1).Errno == 0 ? '.' : 'x';
        }
        Assert.Equal("..xxx...", seen);
        FaultRuleCount count = Assert.Single(matcher.Counts());
        Assert.Equal((8, 3), (count.Matched, count.Injected));
        Assert.Equal(3, matcher.InjectedErrors);
    }

    [Fact]
    public void First_error_decides_and_delays_count_together()
    {
        FaultMatcher matcher = new();
        Assert.True(matcher.TryAdd(Rule("5 read errno=OK delay=30")));
        Assert.True(matcher.TryAdd(Rule("5 read errno=ENODATA delay=10")));
        Assert.True(matcher.TryAdd(Rule("5 read errno=EIO")));
        FaultDecision expected = new(61, Duration.FromMilliseconds(30));
        Assert.Equal(expected, matcher.Decide(IoOperation.Read, 5, 1));
        Assert.Equal(0, matcher.Counts()[2].Matched);
    }

    [Fact]
    public void Removed_rules_do_nothing_any_more()
    {
        FaultMatcher matcher = new();
        Assert.True(matcher.TryAdd(Rule("5 read")));
        Assert.True(matcher.TryAdd(Rule("6 read")));
        Assert.Equal(1, matcher.Remove(Rule("5 read")));
        Assert.Equal(0, matcher.Remove(Rule("5 read")));
        Assert.True(matcher.Decide(IoOperation.Read, 5, 1).IsNothing);
        Assert.False(matcher.Decide(IoOperation.Read, 6, 1).IsNothing);
        Assert.Equal(1, matcher.Clear());
        Assert.True(matcher.Decide(IoOperation.Read, 6, 1).IsNothing);
    }

    private static FaultRule Rule(string line) => Assert.Single(FaultRules.Parse(line).Rules);
}
