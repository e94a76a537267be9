using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;

namespace DmRemap.Cli.Lab;

/// <summary>What the lab says no to.</summary>
internal static class LabRefusals
{
    public static RefusalException TooManyDefects(string name) => new(new Refusal(
        "DMR-LAB-TOO-MANY-DEFECTS",
        ExitCode.Usage,
        name,
        $"That would be more than {DefectMap.DefectsMax} bad physical sectors, which is what a disk of the "
            + "lab can have. Nothing was added.",
        "Make a shorter list, or larger physical sectors (--physical)."));

    public static RefusalException BadList(string path, FaultRuleError error) => new(new Refusal(
        "DMR-LAB-LIST-INVALID",
        ExitCode.Usage,
        path,
        $"{path}: {error}.",
        "docs/lab.md says what each kind of list looks like."));

    public static RefusalException BadRun(string name, string text, string why) => new(new Refusal(
        MessageIds.BadArguments,
        ExitCode.Usage,
        name,
        $"\"{text}\" is no defect: {why}.",
        "Write FIRST[-LAST] [KIND] [tries=K] [delay=MS] [lasting], in sectors of 512 bytes; KIND is one of "
            + $"{string.Join(", ", DefectKinds.Names)}."));

    public static RefusalException Unreadable(string path, string why) => new(new Refusal(
        "DMR-LAB-FILE",
        ExitCode.Failed,
        path,
        $"{path} cannot be used by the lab: {why.TrimEnd('.')}.",
        "Check the path and its permissions."));

    public static RefusalException NotAFile(string path) => new(new Refusal(
        "DMR-LAB-NOT-A-FILE",
        ExitCode.RefusedForSafety,
        path,
        $"{path} is no regular file, and what is written to a disk of the lab is lost in part on purpose.",
        "Give a file with --file, for instance a copy of the disk; or leave it out."));

    public static Refusal NotRunning(string name) => new(
        "DMR-LAB-NOT-RUNNING",
        ExitCode.NoSuchDevice,
        name,
        $"There is no disk \"{name}\" in the lab.",
        $"Start it with: dmremap lab serve {name} --size 1G --model nearline. `dmremap lab list` shows all.");

    public static RefusalException OfUsage(string name, string message, string remedy) =>
        new(new Refusal(MessageIds.Usage, ExitCode.Usage, name, message, remedy));
}
