using System.Collections.Generic;
using DmRemap.Simulator.Disks;

namespace DmRemap.Simulator.World;

/// <summary>Spares that are missing, come back, or come back as they once were.</summary>
internal sealed partial class Simulation
{
    private SimulatedDisk[] _offered = [];
    private readonly List<Page> _image = [];
    private int _imageOf;
    private int _imageAt;
    private int _cleanStops;
    private bool _wasLastStopClean;

    /// <summary>
    /// Which spares this start is given: all, or all but one where the others hold the whole history without
    /// it.
    /// </summary>
    private void ChooseOffered()
    {
        _offered = _spares;
        _excuses.IsDegraded = false;
        if (!_config.Has(FaultKinds.DegradedStarts) || _spares.Length == 1 || !_dice.OneIn(4))
        {
            return;
        }
        _watch.OnStart(_spares);
        int missing = _dice.Below(_spares.Length);
        bool isSafe = false;
        for (int i = 0; i < _spares.Length; i++)
        {
            isSafe |= i != missing && _watch.IsActive(i);
        }
        if (isSafe)
        {
            _offered = [.. _spares[..missing], .. _spares[(missing + 1)..]];
            _excuses.IsDegraded = true;
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
        _watch.OnStart(_spares);
        if (_watch.IsActive(missing))
        {
            MustBeRefused(
                [.. _spares[..missing], .. _spares[(missing + 1)..]], $"spare {missing} is missing");
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
            _imageAt = _cleanStops;
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
            // Another one that counts, and a stop since then by which it knows how far this one had come.
            isTold |= i != _imageOf && _watch.IsActive(i) && _cleanStops > _imageAt;
        }
        if (isTold && _dice.OneIn(2) && _watch.IsActive(_imageOf))
        {
            List<Page> now = spare.TakeImage();
            spare.RestoreImage(_image);
            MustBeRefused(_spares, $"spare {_imageOf} is {_cleanStops - _imageAt} stops old");
            spare.RestoreImage(now);
            spare.DropImage(now);
        }
        spare.DropImage(_image);
    }

    /// <summary>
    /// Damage beyond all claims: the start may refuse. What it may not do is go on with another table: that
    /// is looked at where the table is adopted. Afterwards everything is as it was.
    /// </summary>
    private void TryRuined()
    {
        if (System.Array.Exists(_spares, spare => spare.IsDirty || spare.HasFailedMetadata))
        {
            return;
        }
        List<Page>[] images = System.Array.ConvertAll(_spares, spare => spare.TakeImage());
        System.Array.ForEach(_spares, _misfortune.Ruin);
        _watch.OnStart(_spares);
        SimulatedSystem system = NewSystem(_spares);
        system.BeginRecovery(NewEpoch());
        RunUntil(() => system.Phase != SystemPhase.Starting);
        EndProcess();
        for (int i = 0; i < images.Length; i++)
        {
            _spares[i].RestoreImage(images[i]);
            _spares[i].DropImage(images[i]);
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
