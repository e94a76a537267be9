using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults.Injection.Models;

public enum FaultArrivalKind : byte
{
    None = 0,

    /// <summary>A physical sector goes bad.</summary>
    Defect = 1,

    /// <summary>Every request takes longer for a while, which is time of the model.</summary>
    Slow = 2,

    /// <summary>Nothing is answered for a while, which is time of the clock on the wall.</summary>
    Stall = 3,

    /// <summary>The link is lost for a while, which is time of the clock on the wall.</summary>
    Reset = 4,
}

/// <summary>Something that happens to a disk at an age.</summary>
public readonly record struct FaultArrival
{
    public required Duration Age { get; init; }

    public required FaultArrivalKind Kind { get; init; }

    /// <summary>Of a defect.</summary>
    public PlacedDefect Defect { get; init; }

    /// <summary>Of trouble with the whole disk.</summary>
    public Duration Length { get; init; }

    /// <summary>Of a slow period: how much longer.</summary>
    public Duration By { get; init; }
}

/// <summary>
/// Everything that happens to one disk in a year, by age; a burst of errors that began in it may end after.
/// </summary>
public sealed class FaultPlan
{
    private FaultPlan(bool isAffected, IReadOnlyList<FaultArrival> arrivals)
    {
        IsAffected = isAffected;
        Arrivals = arrivals;
    }

    public static Duration Year => Duration.FromSeconds(365L * 24 * 3600);

    /// <summary>It is one of the disks that have bad sectors.</summary>
    public bool IsAffected { get; }

    /// <summary>In the order of their ages.</summary>
    public IReadOnlyList<FaultArrival> Arrivals { get; }

    /// <summary>The same arguments give the same plan.</summary>
    /// <param name="model">The kind of disk.</param>
    /// <param name="disk">Its size.</param>
    /// <param name="seed">Which one of its kind.</param>
    /// <param name="choice">Whether it is to have errors for certain.</param>
    public static FaultPlan Of(FaultModel model, DiskShape disk, ulong seed, DiskChoice choice)
    {
        SeededDraw draw = new(seed);
        // In this order for ever: a seed is a disk.
        SeededDraw affected = draw.Fork();
        SeededDraw defects = draw.Fork();
        SeededDraw troubles = draw.Fork();
        bool isAffected = affected.Has(model.AffectedInYear) || choice == DiskChoice.Affected;
        List<FaultArrival> arrivals = [];
        if (isAffected)
        {
            switch (model.Pattern)
            {
                case FaultPattern.LatentErrors:
                    new LatentErrors(model, disk, defects).Draw(arrivals);
                    break;
                case FaultPattern.Scratch:
                    new Scratch(model, disk, defects).Draw(arrivals);
                    break;
                case FaultPattern.WornFlash:
                    new WornFlash(model, disk, defects).Draw(arrivals);
                    break;
                case FaultPattern.None:
                default:
                    Invariant.Unreachable("a model without a pattern");
                    break;
            }
        }
        DiskTroubles.Draw(model, troubles, arrivals);
        // Stable: what comes at the same age keeps its order.
        FaultArrival[] ordered = [.. arrivals];
        int[] order = new int[ordered.Length];
        for (int i = 0; i < order.Length; i++)
        {
            order[i] = i;
        }
        Array.Sort(order, (left, right) => arrivals[left].Age != arrivals[right].Age
            ? arrivals[left].Age.CompareTo(arrivals[right].Age)
            : left - right);
        for (int i = 0; i < order.Length; i++)
        {
            ordered[i] = arrivals[order[i]];
        }
        return new FaultPlan(isAffected, ordered);
    }
}

/// <summary>The size of a disk.</summary>
/// <param name="Physicals">Its physical sectors.</param>
/// <param name="PhysicalBytes">The size of one.</param>
public readonly record struct DiskShape(long Physicals, int PhysicalBytes)
{
    /// <summary>So many bytes in physical sectors, at least one.</summary>
    public long PhysicalsIn(long bytes) => Math.Max(1, bytes / PhysicalBytes);
}

/// <summary>Whether a disk is one of the few that have errors.</summary>
public enum DiskChoice : byte
{
    /// <summary>It has them, as disks that have some do.</summary>
    Affected = 0,

    /// <summary>By chance, as often as the model says.</summary>
    Any = 1,
}
