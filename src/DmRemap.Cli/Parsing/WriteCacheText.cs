using DmRemap.Core.Flushing;

namespace DmRemap.Cli.Parsing;

/// <summary>What `--write-cache` takes.</summary>
internal static class WriteCacheText
{
    public const string Form = "auto|off|fua|keep";

    public static bool TryParse(string text, out WriteCachePolicy policy)
    {
        WriteCachePolicy? known = text switch
        {
            "auto" => WriteCachePolicy.Auto,
            "off" => WriteCachePolicy.Off,
            "fua" => WriteCachePolicy.Fua,
            "keep" => WriteCachePolicy.Keep,
            _ => null,
        };
        policy = known ?? WriteCachePolicy.Auto;
        return known is not null;
    }

    public static string Of(WriteCachePolicy policy) => policy switch
    {
        WriteCachePolicy.Off => "off",
        WriteCachePolicy.Fua => "fua",
        WriteCachePolicy.Keep => "keep",
        WriteCachePolicy.Auto or _ => "auto",
    };
}
