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
        _offered = _spares;
        if (!_config.Has(FaultKinds.DegradedStarts) || _spares.Length == 1)
        {
            return;
        }
        _watch.OnStart(_spares);
        int ahead = _watch.Furthest();
        // One that is ahead of the others when power is cut is the more interesting to be without.
        int missing = ahead >= 0 && !_asides.OneIn(4) ? ahead : _asides.Below(_spares.Length);
        if (!_asides.Percent(ahead >= 0 ? 80 : 25))
        {
            return;
        }
        if (_spares[missing].IsDirty)
        {
            return;
        }
        bool isSafe = false;
        for (int i = 0; i < _spares.Length; i++)
        {
            // One that was only just being counted in when power was cut does not stand for the others.
            isSafe |= i != missing && _watch.IsActive(i) && (_lastServed?.IsCounted(i) ?? true);
        }
        if (isSafe)
        {
            _offered = AllBut(missing);
        }
    }

    private SimulatedDisk[] AllBut(int missing) =>
        [.. _spares[..missing], .. _spares[(missing + 1)..]];

    /// <summary>
    /// Two spares, each started without the other, now this one, now that one: each may be; both together are
    /// refused, whichever went further. Afterwards everything is as it was.
    /// </summary>
    private void TryAlternately()
    {
        if (_spares.Length == 1 || Array.Exists(_spares, IsUnsettled))
        {
            return;
        }
        int one = _asides.Below(_spares.Length);
        int other = (one + _asides.Between(1, _spares.Length - 1)) % _spares.Length;
        _watch.OnStart(_spares);
        if (!_watch.IsActive(one) || !_watch.IsActive(other))
        {
            return;
        }
        List<Page>[] images = Array.ConvertAll(_spares, spare => spare.TakeImage());
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
                [_spares[one], _spares[other]], $"spares {one} and {other} were started without each other");
        }
        PutBack(images);
    }

    /// <summary>True: it served.</summary>
    private bool StartAlone(int spare)
    {
        _watch.OnStart([_spares[spare]]);
        SimulatedSystem system = NewSystem([_spares[spare]]);
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
            _spares[i].RestoreImage(images[i]);
            _spares[i].DropImage(images[i]);
        }
    }

    /// <summary>
    /// A start that must be refused, and must write nothing; but a spare that the others have given up is not
    /// missed.
    /// </summary>
    private void TryStartWithout(int missing)
    {
        if (_spares.Length == 1)
        {
            return;
        }
        // What the others say: that it was just being counted in again is known to nobody but itself.
        _watch.OnStart(AllBut(missing));
        if (_watch.IsActive(missing))
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
        SimulatedDisk spare = _spares[_imageOf];
        if (_spares.Length == 1 || spare.IsDirty)
        {
            return;
        }
        if (_image.Count == 0)
        {
            _imageOf = _dice.Below(_spares.Length);
            _isImageOld = false;
            if (!_spares[_imageOf].IsDirty)
            {
                _image.AddRange(_spares[_imageOf].TakeImage());
            }
            return;
        }
        _watch.OnStart(_spares);
        bool isTold = false;
        for (int i = 0; i < _spares.Length; i++)
        {
            isTold |= i != _imageOf && _watch.IsActive(i) && _isImageOld;
        }
        if (!isTold || !_dice.OneIn(2))
        {
            // Kept: a start without it may come between, or several.
            return;
        }
        List<Page> now = spare.TakeImage();
        spare.RestoreImage(_image);
        MustBeRefused(_spares, $"spare {_imageOf} is as it was before the last stop with it");
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
        if (_image.Count > 0 && _offered.Length == _spares.Length)
        {
            _watch.OnStart(_spares);
            _isImageOld |= _watch.IsActive(_imageOf);
        }
    }

    /// <summary>
    /// Damage beyond all claims: the start may refuse. What it may not do is go on with another table: that
    /// is looked at where the table is adopted. Afterwards everything is as it was.
    /// </summary>
    private void TryRuined()
    {
        if (Array.Exists(_spares, IsUnsettled))
        {
            return;
        }
        List<Page>[] images = Array.ConvertAll(_spares, spare => spare.TakeImage());
        int[] errors = Array.ConvertAll(_spares, spare => spare.Troubles.MediumReadErrors);
        Array.ForEach(_spares, _misfortune.Ruin);
        _watch.OnStart(_spares);
        SimulatedSystem system = NewSystem(_spares);
        system.BeginRecovery(NewEpoch());
        RunUntil(() => system.Phase != SystemPhase.Starting);
        EndProcess();
        PutBack(images);
        for (int i = 0; i < errors.Length; i++)
        {
            _spares[i].RestoreReadable();
            _spares[i].Troubles.MediumReadErrors = errors[i];
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
