using DmRemap.Control.Contracts;

namespace DmRemap.Cli.Output;

/// <summary>Colours, for a terminal that has them. Meaning never rests on colour alone.</summary>
internal readonly record struct Paint(bool HasColour)
{
    public string Good(string text) => Wrap(text, "32");

    public string Of(Severity severity, string text) => severity switch
    {
        Severity.Critical => Wrap(text, "1;31"),
        Severity.Warning => Wrap(text, "33"),
        _ => text,
    };

    private string Wrap(string text, string code) => HasColour ? $"\u001b[{code}m{text}\u001b[0m" : text;
}
