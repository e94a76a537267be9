using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Faults.Injection;
using Xunit;

namespace DmRemap.Tests.Lab;

public sealed class DefectMapTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Random_changes_agree_with_a_sorted_dictionary(int seed)
    {
        Random random = new(seed);
        DefectMap map = new();
        SortedDictionary<long, DefectKind> model = [];
        for (int step = 0; step < 2000; step++)
        {
            int place = random.Next(200);
            switch (random.Next(4))
            {
                case 0:
                case 1:
                    PlacedDefect[] added = [.. Enumerable.Range(0, random.Next(6)).Select(_ =>
                        new PlacedDefect(
                            random.Next(200), new Defect { Kind = (DefectKind)random.Next(1, 7) }))];
                    Assert.True(map.TryAdd(added));
                    foreach (PlacedDefect each in added)
                    {
                        model[each.Physical] = each.Defect.Kind;
                    }
                    break;
                case 2:
                    int last = place + random.Next(20);
                    int removed = map.Remove(place, last);
                    Assert.Equal(
                        model.Keys.Where(key => key >= place && key <= last).ToArray().Count(model.Remove),
                        removed);
                    break;
                default:
                    int index = map.IndexFrom(place);
                    if (index < map.Places && map[index].Kind != DefectKind.None)
                    {
                        Assert.True(model.Remove(map.PlaceOf(index)));
                        map.Heal(index);
                    }
                    break;
            }
            AssertSame(model, map, place);
        }
    }

    [Fact]
    public void More_than_the_map_can_hold_changes_nothing()
    {
        DefectMap map = new();
        Defect dead = new() { Kind = DefectKind.Dead };
        PlacedDefect[] all =
            [.. Enumerable.Range(0, DefectMap.DefectsMax).Select(i => new PlacedDefect(i * 2L, dead))];
        Assert.True(map.TryAdd(all));
        Assert.False(map.TryAdd([new PlacedDefect(1, dead)]));
        Assert.Equal(DefectMap.DefectsMax, map.Count);
        Assert.True(map.TryAdd([new PlacedDefect(2, dead)]));
        Assert.Equal(1, map.Remove(2, 3));
        Assert.True(map.TryAdd([new PlacedDefect(1, dead)]));
    }

    private static void AssertSame(SortedDictionary<long, DefectKind> model, DefectMap map, long place)
    {
        List<(long, DefectKind)> there = [];
        for (int i = 0; i < map.Places; i++)
        {
            if (map[i].Kind != DefectKind.None)
            {
                there.Add((map.PlaceOf(i), map[i].Kind));
            }
        }
        Assert.Equal(model.Select(pair => (pair.Key, pair.Value)), there);
        Assert.Equal(model.Count, map.Count);
        Assert.Equal(model.Count(pair => pair.Value == DefectKind.Weak), map.CountOf(DefectKind.Weak));
        int index = map.IndexFrom(place);
        Assert.True(index == map.Places || map.PlaceOf(index) >= place);
        Assert.True(index == 0 || map.PlaceOf(index - 1) < place);
    }
}
