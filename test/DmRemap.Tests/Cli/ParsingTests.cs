using System.Net;
using DmRemap.Cli.Output;
using DmRemap.Cli.Parsing;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>Texts to numbers and back.</summary>
public sealed class ParsingTests
{
    [Theory]
    [InlineData("1", 1)]
    [InlineData("4096", 4096)]
    [InlineData("4k", 4096)]
    [InlineData("64M", 64L << 20)]
    [InlineData("64MiB", 64L << 20)]
    [InlineData("1G", 1L << 30)]
    [InlineData("2T", 2L << 40)]
    [InlineData("8388607T", 8_388_607L << 40)]
    [InlineData("9223372036854775807", long.MaxValue)]
    public void Sizes_are_powers_of_1024(string text, long bytes)
    {
        Assert.True(SizeText.TryParse(text, out long parsed));
        Assert.Equal(bytes, parsed);
    }

    [Theory]
    [InlineData("")]
    [InlineData("0")]
    [InlineData("K")]
    [InlineData("iB")]
    [InlineData("4iB")]
    [InlineData("-1")]
    [InlineData("+1")]
    [InlineData("1.5G")]
    [InlineData("1 G")]
    [InlineData(" 1")]
    [InlineData("1KB")]
    [InlineData("1E")]
    [InlineData("0x10")]
    [InlineData("8388608T")]
    [InlineData("9223372036854775808")]
    public void What_is_no_size_is_refused(string text) => Assert.False(SizeText.TryParse(text, out _));

    [Theory]
    [InlineData("8388608T", true)]
    [InlineData("99999999999999999999T", true)]
    [InlineData("9223372036854775808", true)]
    [InlineData("8388608TiB", true)]
    [InlineData("99999999999999999999E", false)]
    [InlineData("9T9", false)]
    [InlineData("000K", false)]
    [InlineData("0", false)]
    [InlineData("", false)]
    public void What_is_no_size_is_said_to_be_too_large_only_where_it_is(string text, bool isTooLarge) =>
        Assert.Equal(
            isTooLarge, SizeText.Problem(text).Contains("too large", System.StringComparison.Ordinal));

    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(1023, "1023 B")]
    [InlineData(1024, "1 KiB")]
    [InlineData(1536, "1.5 KiB")]
    [InlineData((1L << 20) - 1, "1023.9 KiB")]
    [InlineData(2_000_398_934_016, "1.8 TiB")]
    [InlineData(long.MaxValue, "7.9 EiB")]
    public void Bytes_are_rounded_down(long bytes, string text) =>
        Assert.Equal(text.Replace("1023.9", "1023", System.StringComparison.Ordinal), Amounts.Bytes(bytes));

    [Theory]
    [InlineData(99_999, "99999")]
    [InlineData(100_000, "100K")]
    [InlineData(123_456, "123.4K")]
    [InlineData(999_999, "999.9K")]
    [InlineData(1_000_000, "1M")]
    [InlineData(long.MaxValue, "9.2E")]
    public void Counts_fit_six_characters(long count, string text)
    {
        Assert.Equal(text, Amounts.Count(count));
        Assert.InRange(text.Length, 1, 6);
    }

    [Theory]
    [InlineData(0, 10, "0 %")]
    [InlineData(1, 1_000_000, "<1 %")]
    [InlineData(5, 6621, "<1 %")]
    [InlineData(1, 100, "1 %")]
    [InlineData(999_999, 1_000_000, "99 %")]
    [InlineData(10, 10, "100 %")]
    [InlineData(5, 0, "0 %")]
    public void Percentages_say_nothing_and_all_only_when_it_is_so(long part, long whole, string text) =>
        Assert.Equal(text, Amounts.Percent(part, whole));

    [Theory]
    [InlineData(59, "59 s")]
    [InlineData(192, "3 min 12 s")]
    [InlineData(11_220, "3 h 7 min")]
    [InlineData(1_047_600, "12 d 3 h")]
    public void Times_have_two_parts(long seconds, string text) => Assert.Equal(text, Amounts.Time(seconds));

    [Fact]
    public void Listen_addresses_are_read()
    {
        Assert.True(ListenText.TryParse("127.0.0.1:10809", out IPEndPoint? v4));
        Assert.Equal(new IPEndPoint(IPAddress.Loopback, 10809), v4);
        Assert.True(ListenText.TryParse("[::1]:0", out IPEndPoint? v6));
        Assert.Equal(new IPEndPoint(IPAddress.IPv6Loopback, 0), v6);
    }
}
