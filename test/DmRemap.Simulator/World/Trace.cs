using System.IO;

namespace DmRemap.Simulator.World;

internal enum TraceKind : byte
{
    None = 0,
    Timer,
    Boot,
    Recovered,
    Refused,
    Kill,
    PowerCut,
    Stop,
    Stopped,
    Submit,
    Land,
    Ask,
    Answer,
    Fault,
    Move,
    Commit,
    Publish,
    Suspend,
    Resume,
    Found,
    Rot,
    Spare,
}

/// <summary>
/// What happened in a run, as one number: two runs of one seed must have the same. Printed on request.
/// </summary>
internal sealed class Trace(TextWriter? printer)
{
    public ulong Hash { get; private set; }

    public long Count { get; private set; }

    public bool IsPrinting => printer is not null;

    public void Add(TraceKind kind, long a, long b = 0, long c = 0, long d = 0, string? text = null)
    {
        unchecked
        {
            ulong mixed = Hash ^ ((ulong)kind * 0x9E3779B97F4A7C15);
            mixed = Dice.Mix(mixed + (ulong)a);
            mixed = (mixed ^ (ulong)b) * 0xBF58476D1CE4E5B9;
            mixed = (mixed ^ (ulong)c) * 0x94D049BB133111EB;
            Hash = Dice.Mix(mixed ^ (ulong)d);
        }
        Count++;
        if (printer is not null && kind != TraceKind.Timer)
        {
            printer.WriteLine($"{a,16} {kind,-9} {b,8} {c,10} {d,8} {text}");
        }
    }
}
