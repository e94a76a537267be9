using System.Collections.Generic;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults.Injection.Models;

/// <summary>
/// A scratch: it crosses many tracks that lie beside each other and spoils a little of each, so that bad
/// sectors come back at the distance of a track, drifting. It grows from one end in an afternoon. No study
/// with numbers is known to us: all of them are our choice.
/// </summary>
internal sealed class Scratch(FaultModel model, DiskShape disk, SeededDraw draw)
{
    private const double TrackBytesLeast = 0.5e6;
    private const double TrackBytesMost = 2e6;
    private const double TracksLeast = 100;
    private const double TracksMost = 1500;
    private const double GrowsSeconds = 6 * 3600;
    private const double TrackIsHit = 0.85;
    private const int WidthMost = 4;

    public void Draw(List<FaultArrival> arrivals)
    {
        double year = FaultPlan.Year.Nanoseconds / 1e9;
        double onset = draw.Unit() * (year - GrowsSeconds);
        long first = DefectDraw.Place(disk, draw);
        double track = disk.PhysicalsIn((long)draw.LogUniform(TrackBytesLeast, TrackBytesMost));
        int tracks = (int)draw.LogUniform(TracksLeast, TracksMost);
        double drift = (draw.Unit() - 0.5) * track / tracks;
        HashSet<long> taken = [];
        for (int i = 0; i < tracks; i++)
        {
            double age = onset + (GrowsSeconds * i / tracks);
            int width = 1 + (int)draw.Below(WidthMost);
            bool isHit = draw.Has(TrackIsHit) || i == 0;
            long place = first + (long)(i * (track + drift));
            for (int j = 0; isHit && j < width && place + j < disk.Physicals; j++)
            {
                if (taken.Add(place + j))
                {
                    arrivals.Add(new FaultArrival
                    {
                        Age = new Duration((long)(age * 1e9)),
                        Kind = FaultArrivalKind.Defect,
                        Defect = new PlacedDefect(place + j, DefectDraw.Draw(model, draw)),
                    });
                }
            }
        }
    }
}
