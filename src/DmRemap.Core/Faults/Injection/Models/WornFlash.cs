using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults.Injection.Models;

/// <summary>
/// Flash at the end of its life: pages that do not read any more, likelier in the month after one; and, on
/// some drives, blocks that die, a few or, after a few, hundreds.
/// </summary>
internal sealed class WornFlash(FaultModel model, DiskShape disk, SeededDraw draw)
{
    private const int BlockBytes = 256 * 1024;

    private const int Months = 12;
    private const double ErrorInMonth = 0.02;
    private const double ErrorAfterError = 0.30;

    /// <summary>Of drives: the middle of 0.3 to 0.8.</summary>
    private const double HasBadBlocks = 0.55;
    private const double OneBlockMore = 0.6;
    private const int BlocksBeforeMany = 3;
    private const double Many = 0.5;
    private const double ManyLeast = 100;
    private const double ManyMost = 1000;

    private readonly HashSet<long> _taken = [];

    private static double MonthSeconds => FaultPlan.Year.Nanoseconds / 1e9 / Months;

    public void Draw(List<FaultArrival> arrivals)
    {
        DrawPages(arrivals);
        if (draw.Has(HasBadBlocks))
        {
            DrawBlocks(arrivals);
        }
    }

    private void DrawPages(List<FaultArrival> arrivals)
    {
        int first = (int)draw.Below(Months);
        bool hadError = false;
        for (int month = first; month < Months; month++)
        {
            bool isFirst = month == first;
            hadError = draw.Has(hadError ? ErrorAfterError : ErrorInMonth) || isFirst;
            if (hadError)
            {
                Add(arrivals, (month + draw.Unit()) * MonthSeconds, draw.Below(disk.Physicals), 1);
            }
        }
    }

    private void DrawBlocks(List<FaultArrival> arrivals)
    {
        double year = Months * MonthSeconds;
        int blocks = 1;
        while (blocks < BlocksBeforeMany && draw.Has(OneBlockMore))
        {
            blocks++;
        }
        double last = 0;
        for (int i = 0; i < blocks; i++)
        {
            double age = draw.Unit() * year;
            last = Math.Max(last, age);
            AddBlock(arrivals, age);
        }
        if (blocks < BlocksBeforeMany || !draw.Has(Many))
        {
            return;
        }
        int more = (int)draw.LogUniform(ManyLeast, ManyMost);
        for (int i = 0; i < more; i++)
        {
            AddBlock(arrivals, last + (draw.Unit() * MonthSeconds));
        }
    }

    private void AddBlock(List<FaultArrival> arrivals, double age)
    {
        long physicals = Math.Min(disk.Physicals, disk.PhysicalsIn(BlockBytes));
        long block = draw.Below(disk.Physicals / physicals);
        Add(arrivals, age, block * physicals, physicals);
    }

    /// <summary>One kind for all of them: they are one page, or one block.</summary>
    private void Add(List<FaultArrival> arrivals, double age, long first, long physicals)
    {
        Defect defect = DefectDraw.Draw(model, draw);
        for (long place = first; place < first + physicals; place++)
        {
            if (_taken.Add(place))
            {
                arrivals.Add(new FaultArrival
                {
                    Age = new Duration((long)(age * 1e9)),
                    Kind = FaultArrivalKind.Defect,
                    Defect = new PlacedDefect(place, defect),
                });
            }
        }
    }
}
