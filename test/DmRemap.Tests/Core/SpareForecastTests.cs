using DmRemap.Core.Abstractions;
using DmRemap.Core.Spares;
using Xunit;

namespace DmRemap.Tests.Core;

/// <summary>How full the spares are, and when they will be.</summary>
public sealed class SpareForecastTests
{
    private const long HourSeconds = 3600;

    [Theory]
    [InlineData(0, 100, SpareFill.Ample)]
    [InlineData(79, 21, SpareFill.Ample)]
    [InlineData(80, 20, SpareFill.Low)]
    [InlineData(94, 6, SpareFill.Low)]
    [InlineData(95, 5, SpareFill.NearlyExhausted)]
    [InlineData(99, 1, SpareFill.NearlyExhausted)]
    [InlineData(100, 0, SpareFill.Exhausted)]
    [InlineData(0, 0, SpareFill.Exhausted)]
    [InlineData(8L << 28, 1, SpareFill.NearlyExhausted)]
    public void Thresholds_are_at_80_and_95_percent_and_where_nothing_is_left(
        long used, long allocatable, SpareFill expected) =>
        Assert.Equal(expected, SpareFills.Of(used, allocatable));

    [Fact]
    public void Too_few_moves_give_no_forecast()
    {
        ExhaustionForecast forecast = new(At(0));
        for (int i = 1; i < ExhaustionForecast.MovesMin; i++)
        {
            forecast.OnMoved(At(i * HourSeconds));
        }
        Assert.Null(forecast.SecondsLeft(100, At(10 * HourSeconds)));
        Assert.Equal(9, forecast.MovesInWindow(At(10 * HourSeconds)));
        forecast.OnMoved(At(10 * HourSeconds));
        Assert.Equal(100 * HourSeconds, forecast.SecondsLeft(100, At(10 * HourSeconds)));
    }

    [Fact]
    public void Rate_is_that_of_the_last_day_and_what_is_older_is_forgotten()
    {
        ExhaustionForecast forecast = new(At(500 * HourSeconds));
        for (int i = 0; i < 1000; i++)
        {
            forecast.OnMoved(At((500 * HourSeconds) + i));
        }
        long later = 600 * HourSeconds;
        Assert.Null(forecast.SecondsLeft(10, At(later)));
        for (int hour = 0; hour < 24; hour++)
        {
            forecast.OnMoved(At(later + (hour * HourSeconds)));
            forecast.OnMoved(At(later + (hour * HourSeconds) + 1));
        }
        long now = later + (24 * HourSeconds) - 1;
        Assert.Equal(48, forecast.MovesInWindow(At(now)));
        Assert.InRange(forecast.MovesPerHour(At(now)), 1.99, 2.01);
        long left = forecast.SecondsLeft(20, At(now))!.Value;
        Assert.InRange(left, (10 * HourSeconds) - 60, (10 * HourSeconds) + 60);
    }

    [Fact]
    public void A_first_burst_gives_no_forecast_before_ten_minutes_and_none_is_left_for_where_none_is_left()
    {
        ExhaustionForecast forecast = new(At(7));
        for (int i = 0; i < 60; i++)
        {
            forecast.OnMoved(At(7));
        }
        Assert.Equal(60, forecast.MovesInWindow(At(7)));
        Assert.Null(forecast.SecondsLeft(60, At(606)));
        Assert.Equal(0, forecast.MovesPerHour(At(606)));
        Assert.Equal(600, forecast.SecondsLeft(60, At(607)));
        Assert.Null(forecast.SecondsLeft(0, At(607)));
        Assert.Equal(360, forecast.MovesPerHour(At(607)));
    }

    private static Instant At(long seconds) => new(seconds * 1_000_000_000);
}
