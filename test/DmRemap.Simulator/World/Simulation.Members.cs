using System;
using System.Collections.Generic;
using DmRemap.Simulator.Disks;

namespace DmRemap.Simulator.World;

/// <summary>Spares that are missing, come back, or come back as they once were.</summary>
internal sealed partial class Simulation
{
    private SimulatedDisk[] _offered = [];
    private readonly List<Page> _image = [];
    private int _imageOf;
    private bool _isImageOld;
    private bool _wasLastStopClean;
    private bool _wasStartCutOff;
    private SimulatedSystem? _lastServed;

    /// <summary>
    /// Which spares this start is given: all, or all but one where the others hold the whole history without
    /// it. One that has something in its cache stays: a flush without it covers nothing of that.
    /// </summary>
    private void ChooseOffered()
    {
        _offered = Spares;
        if (!_config.Has(FaultKinds.DegradedStarts) || Spares.Length == 1 || _roster.Unsettled is not null)
        {
            return;
        }
        _watch.OnStart(Spares);
        int ahead = Array.FindIndex(Spares, spare => spare.Index == _watch.Furthest());
        // One that is ahead of the others when power is cut is the more interesting to be without.
        int missing = ahead >= 0 && !_asides.OneIn(4) ? ahead : _asides.Below(Spares.Length);
        if (!_asides.Percent(ahead >= 0 ? 80 : 25))
        {
            return;
        }
        if (Spares[missing].IsDirty)
        {
            return;
        }
        bool isSafe = false;
        for (int i = 0; i < Spares.Length; i++)
        {
            // One that was only just being counted in when power was cut does not stand for the others.
            isSafe |= i != missing && _watch.IsActive(Spares[i].Index)
                && (_lastServed?.IsCounted(Spares[i].Index) ?? true);
        }
        if (isSafe)
        {
            _offered = AllBut(missing);
        }
    }

    private SimulatedDisk[] AllBut(int missing) =>
        [.. Spares[..missing], .. Spares[(missing + 1)..]];

    /// <summary>
    /// Two spares, each started without the other, now this one, now that one: each may be; both together are
    /// refused, whichever went further. Afterwards everything is as it was.
    /// </summary>
    private void TryAlternately()
    {
        if (Spares.Length == 1 || Array.Exists(Spares, IsUnsettled) || _roster.Unsettled is not null)
        {
            return;
        }
        int one = _asides.Below(Spares.Length);
        int other = (one + _asides.Between(1, Spares.Length - 1)) % Spares.Length;
        _watch.OnStart(Spares);
        if (!_watch.IsActive(Spares[one].Index) || !_watch.IsActive(Spares[other].Index))
        {
            return;
        }
        List<Page>[] images = Array.ConvertAll(Spares, spare => spare.TakeImage());
        _misfortune.Calm();
        int rounds = _asides.Between(1, 3);
        bool haveBoth = true;
        for (int i = 0; i < rounds && haveBoth; i++)
        {
            haveBoth &= i > 0 && _asides.OneIn(2) || StartAlone(one);
            haveBoth &= i > 0 && _asides.OneIn(2) || StartAlone(other);
        }
        if (haveBoth)
        {
            MustBeRefused(
                [Spares[one], Spares[other]], $"spares {one} and {other} were started without each other");
        }
        PutBack(images);
    }

    /// <summary>True: it served.</summary>
    private bool StartAlone(int spare)
    {
        _watch.OnStart([Spares[spare]]);
        SimulatedSystem system = NewSystem([Spares[spare]]);
        system.BeginRecovery(NewEpoch(), allowsMissing: true);
        RunUntil(() => system.Phase != SystemPhase.Starting);
        bool isServing = system.Phase == SystemPhase.Serving;
        if (isServing && _asides.OneIn(2))
        {
            system.BeginStop();
            RunUntil(() => system.Phase == SystemPhase.Stopped);
        }
        EndProcess();
        return isServing;
    }

    private static bool IsUnsettled(SimulatedDisk spare) => spare.IsDirty || spare.HasFailedMetadata;

    private void PutBack(List<Page>[] images)
    {
        for (int i = 0; i < images.Length; i++)
        {
            Spares[i].RestoreImage(images[i]);
            Spares[i].DropImage(images[i]);
        }
    }

    /// <summary>
    /// A start that must be refused, and must write nothing; but a spare that the others have given up is not
    /// missed.
    /// </summary>
    private void TryStartWithout(int missing)
    {
        if (Spares.Length == 1 || missing >= Spares.Length || _roster.Unsettled is not null)
        {
            return;
        }
        // What the others say: that it was just being counted in again is known to nobody but itself.
        _watch.OnStart(AllBut(missing));
        if (_watch.IsActive(Spares[missing].Index))
        {
            MustBeRefused(AllBut(missing), $"spare {missing} is missing");
        }
    }

    /// <summary>
    /// Put one of several spares back to what it held some starts ago: that start is refused, and writes
    /// nothing; then it is as it was.
    /// </summary>
    private void TryOldImage()
    {
        SimulatedDisk spare = _disks[_imageOf];
        if (_image.Count > 0 && Array.IndexOf(Spares, spare) < 0)
        {
            // It has left the set.
            spare.DropImage(_image);
        }
        if (Spares.Length == 1 || spare.IsDirty || _roster.Unsettled is not null)
        {
            return;
        }
        if (_image.Count == 0)
        {
            _imageOf = Spares[_dice.Below(Spares.Length)].Index;
            _isImageOld = false;
            if (!_disks[_imageOf].IsDirty)
            {
                _image.AddRange(_disks[_imageOf].TakeImage());
            }
            return;
        }
        _watch.OnStart(Spares);
        bool isTold = false;
        for (int i = 0; i < Spares.Length; i++)
        {
            isTold |= Spares[i].Index != _imageOf && _watch.IsActive(Spares[i].Index) && _isImageOld;
        }
        if (!isTold || !_dice.OneIn(2))
        {
            // Kept: a start without it may come between, or several.
            return;
        }
        List<Page> now = spare.TakeImage();
        spare.RestoreImage(_image);
        MustBeRefused(Spares, $"spare {_imageOf} is as it was before the last stop with it");
        spare.RestoreImage(now);
        spare.DropImage(now);
        spare.DropImage(_image);
    }

    /// <summary>
    /// After a clean stop: where it was with the spare of the image, and that counted, the others know how
    /// far it had come, also when they are started without it later.
    /// </summary>
    private void NoteImageAge()
    {
        if (_image.Count > 0 && _offered.Length == Spares.Length)
        {
            _watch.OnStart(Spares);
            _isImageOld |= _watch.IsActive(_imageOf);
        }
    }

    /// <summary>
    /// Damage beyond all claims: the start may refuse. What it may not do is go on with another table: that
    /// is looked at where the table is adopted. Afterwards everything is as it was.
    /// </summary>
    private void TryRuined()
    {
        if (Array.Exists(Spares, IsUnsettled) || _roster.Unsettled is not null)
        {
            return;
        }
        List<Page>[] images = Array.ConvertAll(Spares, spare => spare.TakeImage());
        int[] errors = Array.ConvertAll(Spares, spare => spare.Troubles.MediumReadErrors);
        Array.ForEach(Spares, _misfortune.Ruin);
        _watch.OnStart(Spares);
        SimulatedSystem system = NewSystem(Spares);
        system.BeginRecovery(NewEpoch());
        RunUntil(() => system.Phase != SystemPhase.Starting);
        EndProcess();
        PutBack(images);
        for (int i = 0; i < errors.Length; i++)
        {
            Spares[i].RestoreReadable();
            Spares[i].Troubles.MediumReadErrors = errors[i];
        }
    }

    private void MustBeRefused(SimulatedDisk[] offered, string why)
    {
        long written = _watch.SuperblocksWritten;
        _watch.OnStart(offered);
        SimulatedSystem system = NewSystem(offered);
        system.BeginRecovery(NewEpoch());
        RunUntil(() => system.Phase != SystemPhase.Starting);
        Require(
            system.Phase == SystemPhase.Refused && written == _watch.SuperblocksWritten, "P7",
            $"{why}, and the start went on: {system.Phase}, {system.Refusal}");
        EndProcess();
    }
}
