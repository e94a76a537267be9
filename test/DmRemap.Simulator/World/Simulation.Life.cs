using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Simulator.Disks;

namespace DmRemap.Simulator.World;

/// <summary>The course of a run: format, several starts with their ends, the last judgement.</summary>
internal sealed partial class Simulation
{
    private const long Millisecond = 1_000_000;
    private const int FormatsMax = 4;
    private const int RefusalsMax = 3;

    private bool _isUndecidable;

    private bool HasCrashes => _config.Has(FaultKinds.PowerCuts) || _config.Has(FaultKinds.Kills);

    private void Live()
    {
        Format();
        for (int boot = 0; boot < _config.Boots && !_isUndecidable; boot++)
        {
            LiveOneBoot();
        }
        if (_isUndecidable)
        {
            return;
        }
        _misfortune.Calm();
        _crash.Clear();
        JudgeAll();
    }

    /// <summary>A crash in it leaves a set that is made again.</summary>
    private void Format()
    {
        for (int attempt = 0; attempt < FormatsMax; attempt++)
        {
            _watch.OnFormat();
            SimulatedSystem system = NewSystem(Spares);
            system.BeginFormat(NewEpoch());
            bool mayCrash = HasCrashes && attempt < FormatsMax - 1 && _dice.OneIn(10);
            _crash.Clear();
            if (mayCrash)
            {
                _crash.Set(_dice.Spread(60));
            }
            if (RunUntil(() => system.Phase != SystemPhase.Starting))
            {
                Require(system.Phase == SystemPhase.Stopped, "create", $"refused: {system.Refusal}");
                EndProcess();
                return;
            }
            Crash();
            TryStartOfHalfMadeSet();
        }
    }

    /// <summary>What a create that was cut off has left is no set, or an empty one.</summary>
    private void TryStartOfHalfMadeSet()
    {
        _crash.Clear();
        _history.OnFormat();
        SimulatedSystem system = NewSystem(Spares);
        system.BeginRecovery(NewEpoch());
        RunUntil(() => system.Phase != SystemPhase.Starting);
        bool isEmpty = system.Phase == SystemPhase.Refused || system.Device!.Table.Count == 0;
        Require(isEmpty, "create", "a set that was half made has rules");
        EndProcess();
    }

    private void LiveOneBoot()
    {
        bool wasClean = _wasLastStopClean;
        _wasLastStopClean = false;
        _crash.Clear();
        if (_config.Has(FaultKinds.MissingSpare) && _dice.OneIn(6))
        {
            TryStartWithout(_dice.Below(Spares.Length));
        }
        if (_config.Has(FaultKinds.OldImage))
        {
            TryOldImage();
        }
        if (_config.Has(FaultKinds.MetadataRuin) && wasClean && _dice.OneIn(3))
        {
            TryRuined();
        }
        if (_config.Has(FaultKinds.DegradedStarts) && wasClean && _asides.OneIn(2))
        {
            TryAlternately();
        }
        TryOneThatLeft();
        ChooseOffered();
        if (HasCrashes && !_dice.OneIn(4))
        {
            _crash.Draw();
        }
        if (Start() is not SimulatedSystem system)
        {
            return;
        }
        system.FinishChange();
        _workload.Begin(
            system.Device!,
            _config.OperationsPerBoot,
            _config.Has(FaultKinds.SpareChanges) ? () => StrikeOrChange(system) : _misfortune.Strike);
        if (!RunUntil(() => _workload.IsDone && (_dice.OneIn(20) || IsAnswered)))
        {
            NoteRemaps(system);
            Crash();
            return;
        }
        NoteRemaps(system);
        Stop(system);
    }

    private void StrikeOrChange(SimulatedSystem system)
    {
        _misfortune.Strike();
        ChangeSpares(system);
    }

    private bool IsAnswered => _workload.UnderWay == 0 && !_workload.IsMoving;

    /// <summary>Until the device serves; null when a crash came first.</summary>
    private SimulatedSystem? Start()
    {
        for (int refusals = 0; ; refusals++)
        {
            _misfortune.StrikeAtStart();
            _watch.OnStart(_offered);
            _excuses.OnStart();
            _model.OnStart();
            SimulatedSystem system = NewSystem(_offered);
            _universe.Trace.Add(TraceKind.Boot, _universe.Now, _recoveries);
            system.BeginRecovery(NewEpoch(), _offered.Length < Spares.Length, UnsettledPosition());
            if (!RunUntil(() => system.Phase != SystemPhase.Starting))
            {
                _wasStartCutOff = true;
                Crash();
                return null;
            }
            if (system.Phase == SystemPhase.Serving)
            {
                _wasStartCutOff = false;
                _lastServed = system;
                _recoveries++;
                return system;
            }
            if (HasHalfGeneration(system))
            {
                _isUndecidable = true;
                EndProcess();
                return null;
            }
            if (NeedsMissingSpare(system))
            {
                // As the refusal says: with the missing spare it must go on.
                EndProcess();
                _offered = Spares;
                continue;
            }
            // Only a metadata write that failed or hung may stop a start, and then the next may succeed.
            bool isExcused = system.Refusal!.Kind == MetadataRefusalKind.WriteFailed
                && _excuses.ExcusesWrite(IoStatus.MetadataUnavailable) && refusals < RefusalsMax;
            Require(isExcused, "P3", $"the start was refused: {system.Refusal}");
            EndProcess();
            _misfortune.Calm();
        }
    }

    /// <summary>
    /// The one refusal that nobody is to blame for, and that ends a run: others went on without a spare whose
    /// newest generation is in a part of its copies only (its last writes landed after the process had died).
    /// Whether somebody relied on it cannot be told from copies, some of which may be lost.
    /// </summary>
    private static bool HasHalfGeneration(SimulatedSystem system)
    {
        if (system.Refusal is not { Kind: MetadataRefusalKind.Diverged, Spare: >= 0 } refusal)
        {
            return false;
        }
        Superblock newest = system.Copies[refusal.Spare].Newest!;
        byte named = newest.Set.Members[newest.MemberIndex].BadCopies;
        bool isHalf = false;
        foreach (CopyReading copy in system.Copies[refusal.Spare].Copies)
        {
            isHalf |= copy.Superblock is Superblock older
                && older.State.Generation < newest.State.Generation
                && (named & (1 << older.CopyIndex)) == 0;
        }
        return isHalf;
    }

    /// <summary>
    /// A start was cut off when its superblocks named a record as head that nobody had acknowledged, and that
    /// only the spare holds which is missing now: the others cannot know that it was not acknowledged.
    /// </summary>
    private bool NeedsMissingSpare(SimulatedSystem system) =>
        _wasStartCutOff && _offered.Length < Spares.Length
        && system.Refusal is { Kind: MetadataRefusalKind.JournalDamaged };

    private void Stop(SimulatedSystem system)
    {
        bool isIdle = IsAnswered;
        long began = _universe.Now;
        long quietAt = Math.Max(_primary.QuietAt(), LastQuiet());
        bool areDisksAnswering = quietAt < began + (1_000 * Millisecond);
        long deadline = began + ((isIdle ? Budget.IdleStopMs : Budget.BusyStopMs) * Millisecond);
        bool isImpatient = _asides.OneIn(4);
        deadline = isImpatient ? began + (_asides.Spread(Budget.IdleStopMs) * Millisecond) : deadline;
        _workload.IsStopping = true;
        _excuses.IsStopping = true;
        system.BeginStop();
        bool isOver = RunUntil(
            () => system.Phase == SystemPhase.Stopped || _universe.Now > deadline);
        if (!isOver || system.Phase != SystemPhase.Stopped)
        {
            Require(
                !isOver || !areDisksAnswering || isImpatient, "P4",
                $"a stop took {(_universe.Now - began) / Millisecond} ms although all disks answer");
            if (isOver)
            {
                GiveUp(system);
            }
            // What the real program does at its deadline: the rest is left to recovery.
            Crash();
            return;
        }
        _universe.Trace.Add(TraceKind.Stopped, _universe.Now, system.WasCleanStop ? 1 : 0);
        Require(_workload.UnderWay == 0, "stop", $"{_workload.UnderWay} requests were never answered");
        if (system.WasFlushed && system.WasCleanStop)
        {
            Require(system.TimersSet == 0, "stop", $"{system.TimersSet} timers are left");
            int left = _primary.InFlightInTime + Array.FindAll(
                _disks, spare => HasLeft(spare) && !system.IsErasing(spare)).Length;
            Require(left == 0, "stop", $"{InFlight()} operations are left");
            _model.Flushed(_model.Tick());
            NoteImageAge();
            _wasLastStopClean = true;
        }
        else
        {
            bool isExcused = _excuses.ExcusesFlush(IoStatus.DeviceError)
                || _excuses.ExcusesWrite(IoStatus.MetadataUnavailable);
            Require(isExcused, "stop", "not clean, and no disk failed");
        }
        EndProcess();
        if (_config.Has(FaultKinds.PowerCuts) && _dice.OneIn(2))
        {
            CutPower();
        }
        _misfortune.StrikeWhileOff(_offered);
    }

    /// <summary>
    /// The deadline of a stop: whoever waits for a commit is woken, whatever the disks do; then the device
    /// may have a while for what that lets end.
    /// </summary>
    private void GiveUp(SimulatedSystem system)
    {
        long soon = _universe.Now + (Budget.WakeMs * Millisecond);
        _excuses.IsGivenUp = true;
        system.GiveUp();
        bool isOver = RunUntil(() => system.CommitsPending == 0 || _universe.Now > soon);
        Require(
            !isOver || system.CommitsPending == 0, "A4",
            $"{system.CommitsPending} commits still wait after they were cancelled");
        long until = _universe.Now + (_asides.Spread(Budget.BusyStopMs) * Millisecond);
        RunUntil(() => system.Phase == SystemPhase.Stopped || _universe.Now > until);
    }

    private static bool HasLeft(SimulatedDisk spare) => spare.InFlightInTime > 0;

    /// <summary>Calm disks: the table and every sector are what they may be, and stay so.</summary>
    private void JudgeAll()
    {
        _offered = Spares;
        if (Start() is not SimulatedSystem system)
        {
            // Refused as undecidable: no crash is due here.
            return;
        }
        system.FinishChange();
        for (int pass = 0; pass < 2; pass++)
        {
            ReadEverything(system);
        }
        Stop(system);
        Require(_universe.Process is null, "stop", "the last stop did not end");
    }

    private void ReadEverything(SimulatedSystem system)
    {
        _workload.AskForEverything(system.Device!);
        RunUntil(() => IsAnswered);
    }
}
