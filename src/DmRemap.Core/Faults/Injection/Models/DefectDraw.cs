using System;

namespace DmRemap.Core.Faults.Injection.Models;

/// <summary>What kind of defect an error is, and where errors begin: what all models share.</summary>
internal static class DefectDraw
{
    /// <summary>"20-50 % in the first tenth".</summary>
    private const double InFirstTenth = 0.35;

    /// <summary>One more try is as likely as none.</summary>
    private const double OneTryMore = 0.5;

    private const int TriesMost = 8;
    private const int WeakDelayMilliseconds = 1500;

    public static Defect Draw(FaultModel model, SeededDraw draw)
    {
        double which = draw.Unit();
        DefectMix mix = model.Mix;
        if (which < mix.Weak)
        {
            int tries = 1;
            while (tries < TriesMost && draw.Has(OneTryMore))
            {
                tries++;
            }
            return new Defect
            {
                Kind = DefectKind.Weak,
                TriesLeft = tries,
                DelayMilliseconds = WeakDelayMilliseconds,
            };
        }
        which -= mix.Weak;
        DefectKind kind = which < mix.Pending ? DefectKind.Pending
            : which < mix.Pending + mix.Dead ? DefectKind.Dead : DefectKind.Unwritable;
        return new Defect
        {
            Kind = kind,
            DelayMilliseconds =
                (int)draw.LogUniform(model.DelayMillisecondsLeast, model.DelayMillisecondsMost),
        };
    }

    /// <summary>A physical sector where errors begin: more of them at the beginning of the disk.</summary>
    public static long Place(DiskShape disk, SeededDraw draw)
    {
        long tenth = Math.Max(1, disk.Physicals / 10);
        return draw.Has(InFirstTenth) || tenth == disk.Physicals
            ? draw.Below(tenth)
            : tenth + draw.Below(disk.Physicals - tenth);
    }
}
