using System;
using System.Threading.Tasks;
using DmRemap.Cli.Output;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Engine.Metadata;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Composition;

/// <summary>What a start is compared with.</summary>
internal sealed record StartExpectation
{
    public required DeviceRecord Record { get; init; }

    public required HostHistory History { get; init; }

    /// <summary>What this machine last saw; null: nothing.</summary>
    public required HistoryPoint? Witnessed { get; init; }

    /// <summary>What the main device says of itself now.</summary>
    public required PrimaryFingerprint Main { get; init; }

    /// <summary>The main device is replaced on purpose: who it is is not compared.</summary>
    public bool ReplacesMain { get; init; }

    public bool AcceptsChangedMain { get; init; }

    /// <summary>Null: a set that lacks records is refused before it is judged.</summary>
    public AgreedLoss? AgreedLoss { get; init; }

    public required Action<string> Say { get; init; }
}

/// <summary>
/// The last questions before a set is written to: are the spares the newest ones, is the main device the one
/// they belong to, and has it been left alone since the last clean stop (F-16)? After an unclean stop the
/// last one has no answer: our own writes came after what was recorded. On the loop's thread.
/// </summary>
internal sealed class StartJudge(IEventLoop loop, IBlockDevice main, StartExpectation expected)
    : IMetadataRecoveryOwner, IWitnessReadingOwner
{
    private readonly TaskCompletionSource<MetadataRecovery> _ended =
        new(TaskCreationOptions.RunContinuationsAsynchronously);

    private MetadataRecovery? _recovery;

    /// <summary>What is done with a set that may be used.</summary>
    public Action<MetadataRecovery> OnAccepted { get; init; } = recovery => recovery.Continue();

    public Task<MetadataRecovery> Ended => _ended.Task;

    /// <summary>In words of our own, when the recovery was declined.</summary>
    public Refusal? Refusal { get; private set; }

    /// <summary>Once recovered: durable on every active spare.</summary>
    public HistoryPoint Begun { get; private set; }

    void IMetadataRecoveryOwner.OnFound(MetadataRecovery recovery)
    {
        _recovery = recovery;
        SetDescription set = recovery.Found!.Newest.Set;
        Refusal = RefusalOfMoreLost(recovery.Reading)
            ?? expected.History.Judge(
                expected.Witnessed, recovery.FoundPoint, set.Past,
                isLossAgreed: recovery.Reading.JournalDamage is not null)
            ?? RefusalOfForgottenMemory(set)
            ?? RefusalOfOtherMain(set.Primary);
        if (Refusal is not null)
        {
            Decline();
            return;
        }
        SuperblockState state = recovery.Found.Newest.State;
        if (state.IsCleanStop && !state.PrimaryWitness.IsNone)
        {
            // A copy of the disk may hold anything where the disk had bad sectors.
            new WitnessReading(
                loop, main, recovery.Table!, this, state.PrimaryWitness, _ => expected.ReplacesMain)
                .Begin(Duration.Zero);
        }
        else
        {
            OnAccepted(recovery);
        }
    }

    void IWitnessReadingOwner.OnWitnessRead(WitnessReading reading)
    {
        PrimaryWitness stopped = _recovery!.Found!.Newest.State.PrimaryWitness;
        int place = stopped.FirstDifference(reading.Witness);
        if (place >= 0)
        {
            Refusal = RefusalOfChangedMain(place);
        }
        if (Refusal is null)
        {
            OnAccepted(_recovery);
        }
        else
        {
            Decline();
        }
    }

    void IMetadataRecoveryOwner.OnRecovered(MetadataRecovery recovery)
    {
        if (recovery.Recovered is RecoveredSet set)
        {
            Begun = new HistoryPoint(set.Store.Epoch, set.Store.Generation, set.Store.Sequence);
        }
        _ended.SetResult(recovery);
    }

    private void Decline() =>
        _recovery!.Decline(new MetadataRefusal(MetadataRefusalKind.Declined, -1, Refusal!.Message));

    /// <summary>
    /// A copied image or a disk that tells no serial number now contradicts nothing: it is served, and said.
    /// </summary>
    private Refusal? RefusalOfOtherMain(PrimaryIdentity recorded)
    {
        DeviceRecord record = expected.Record;
        PrimaryFingerprint before = PrimaryFingerprint.FromText(recorded.Bytes, recorded.Text);
        if (expected.ReplacesMain)
        {
            return null;
        }
        try
        {
            before.RequireMatch(record.MainPath, expected.Main);
        }
        catch (RefusalException e)
        {
            return e.Refusal;
        }
        if (before.Compare(expected.Main, out string difference) != FingerprintMatch.Same)
        {
            expected.Say($"warning: whether {record.MainPath} is still the main device of {record.Name} is "
                + $"not proven: {difference}. If it is its copy, made on purpose: `dmremap rebind "
                + $"{record.Name} --main {record.MainPath}`, when the device is stopped, records that.");
        }
        return null;
    }

    private Refusal? RefusalOfForgottenMemory(SetDescription set)
    {
        DeviceRecord record = expected.Record;
        bool wasServed = set.Past.Length > 0;
        return wasServed && MemoryDisk.IsMeant(record.MainPath)
            ? MemoryDisk.Forgotten(record.Name, record.MainPath)
            : null;
    }

    private Refusal? RefusalOfMoreLost(MetadataReading found)
    {
        if (expected.AgreedLoss is not AgreedLoss agreed
            || agreed.Covers(found.JournalDamage, found.Chain!))
        {
            return null;
        }
        string name = expected.Record.Name;
        JournalDamage damage = found.JournalDamage!;
        return new Refusal(
            "DMR-REPAIR-MORE-LOST",
            ExitCode.RefusedForSafety,
            name,
            $"{name}: more journal records are lost than was agreed to: then, records between "
                + $"{agreed.Lost.First} and {agreed.Lost.Last}; now, records between {damage.First} and "
                + $"{damage.Last}, or ones behind them that could be read then.",
            "Nothing was changed. A spare is getting worse, or somebody writes to it: look at the kernel "
                + $"log. `dmremap repair {name} --accept-loss` shows what is lost now and asks again.");
    }

    private Refusal? RefusalOfChangedMain(int place)
    {
        DeviceRecord record = expected.Record;
        long at = WitnessPlaces.RangeOf(place, 0, main.Geometry.Bytes.Value).Start;
        string what = $"the main device {record.MainPath} was written without dm-remap since the last clean "
            + $"stop (the first difference is at or behind byte {at})";
        long units = _recovery!.Table!.Count;
        if (expected.AcceptsChangedMain)
        {
            expected.Say($"warning: {record.Name}: {what}; going on, as --accept-changed-main asks.");
            return null;
        }
        return new Refusal(
            "DMR-MAIN-CHANGED",
            ExitCode.RefusedForSafety,
            record.Name,
            $"{record.Name}: {what}. Remapped blocks ({Amounts.Plural(units, "unit")} now) would show older "
                + "content than the rest, and a file system with parts of two ages destroys itself.",
            "Nothing was changed. Bring the main device back to what it was at the stop, if there is a copy. "
                + $"To go on with both as they are: `dmremap {AcceptingCommand()} --accept-changed-main`, "
                + "and check the file system before it is mounted.");
    }

    /// <summary>What was asked for, as it is asked for again.</summary>
    private string AcceptingCommand() => expected.ReplacesMain
        ? $"rebind {expected.Record.Name} --main {expected.Record.MainPath}"
        : $"serve {expected.Record.Name}";
}
